"""Only what is proven gets its snapshot back."""

from __future__ import annotations

from typing import cast

import pytest

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB, KnownDigests
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, UnreachableError
from edgesync.execute.rbd.sealing import Sealing
from tests.builders import image
from tests.fakes.block_notes import BlockNotes
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock

DCN0 = StoreId("dcn0")
SHOWN = image(stores=("central", "dcn0"), size=MIB)


async def half() -> tuple[FakeBlocks, BlockNotes, Sealing]:
    """A copy without its snapshot, and its digests in the journal."""
    blocks = FakeBlocks(FakeCluster("dcn0", clock=VirtualClock()))
    blocks.put(SHOWN.id, b"x" * MIB, snapshot=False)
    notes = BlockNotes()
    digests = await blocks.digests(SHOWN.id, 64 * KIB, snapshot=False)
    known = KnownDigests(hash_algo=SHOWN.hash_algo, hash_value=SHOWN.hash_value, digests=digests)
    await notes.keep_digests(SHOWN.id, known)
    return blocks, notes, Sealing({DCN0: cast("Blocks", blocks)}, cast("Journal", notes))


async def test_a_whole_copy_is_sealed_again() -> None:
    blocks, _, sealing = await half()
    assert await sealing.again(SHOWN, DCN0)
    found = blocks.cluster.images[SHOWN.id]
    assert (found.snapshot, found.protected, blocks.sent, blocks.fetched) == (True, True, [], 0)


@pytest.mark.parametrize("lack", ["data", "digests", "hash", "blocks", "right"])
async def test_without_proof_nothing_is_done(lack: str) -> None:
    blocks, notes, sealing = await half()
    match lack:
        case "data":
            blocks.contents(SHOWN.id).write(MIB - 1, b"y")
        case "digests":
            await notes.forget_image(SHOWN.id)
        case "hash":
            (known,) = notes.kept_digests.values()
            await notes.keep_digests(
                SHOWN.id, KnownDigests(hash_algo="sha512", hash_value="other", digests=known.digests)
            )
        case "blocks":
            sealing = Sealing({}, cast("Journal", notes))
        case _:
            blocks.cluster.permitted = False
    assert not await sealing.again(SHOWN, DCN0)
    assert not blocks.cluster.images[SHOWN.id].snapshot


async def test_a_silent_site_is_asked_again_later() -> None:
    blocks, _, sealing = await half()
    blocks.cluster.down()
    with pytest.raises(UnreachableError):
        await sealing.again(SHOWN, DCN0)

    async def refused(method: str, _image: str) -> None:
        if method == "seal":
            raise UnreachableError("cut")

    blocks.cluster.up()
    blocks.before = refused
    with pytest.raises(EdgesyncError, match="cut"):
        await sealing.again(SHOWN, DCN0)
