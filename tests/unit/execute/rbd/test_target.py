"""One site's copy in the making: what is found of it, and what can be gone on with."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edgesync.domain.blocks import KIB, MIB, Digests, Layout, block_size, digests_of, of_zeros
from edgesync.domain.image import ImageId, temporary_name
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.target import Base, Target
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import HandClock

IMAGE = ImageId("id-img")
TEMPORARY = temporary_name(IMAGE)
SIZE = 16 * MIB
LAYOUT = Layout(size=SIZE, object_size=8 * MIB, features=61)


@pytest.fixture
def blocks() -> FakeBlocks:
    return FakeBlocks(FakeCluster("dcn0", clock=HandClock()))


@pytest.fixture
def target(blocks: FakeBlocks) -> Target:
    return Target(StoreId("dcn0"), blocks, IMAGE, trash_delay=timedelta(hours=1))


@pytest.mark.parametrize("snapshot", [True, False])
async def test_whether_there_is_something_under_our_name_takes_one_call(
    blocks: FakeBlocks, target: Target, snapshot: bool
) -> None:
    calls: list[tuple[str, str]] = []

    async def before(method: str, name: str) -> None:
        calls.append((method, name))

    blocks.before = before
    assert not await target.begun()
    blocks.put(TEMPORARY, b"data", snapshot=snapshot)
    assert await target.begun()
    assert [name for _, name in calls] == [TEMPORARY, TEMPORARY]


async def test_half_a_copy_of_somebody_elses_has_no_name_yet(blocks: FakeBlocks, target: Target) -> None:
    assert not await target.has_name()
    blocks.cluster.put_partial(IMAGE)
    assert not await target.has_name()
    blocks.cluster.remove(IMAGE)
    blocks.put(IMAGE, b"data")
    assert await target.has_name()


@pytest.mark.parametrize(("object_size", "kept"), [(64 * KIB, True), (2 * MIB, True), (8 * MIB, False)])
async def test_a_clone_is_gone_on_with_unless_its_objects_are_larger_than_what_is_written_at_once(
    blocks: FakeBlocks, target: Target, object_size: int, kept: bool
) -> None:
    blocks.put("base", b"x" * SIZE)
    await blocks.clone("base", TEMPORARY, object_size=object_size)
    prepared = await target.prepare(LAYOUT, block_size(SIZE))
    assert prepared.unit == (object_size if kept else 0)
    assert bool(blocks.cluster.trashed) is not kept


async def test_a_clone_of_something_smaller_is_given_its_size(blocks: FakeBlocks, target: Target) -> None:
    blocks.put("base", b"x" * MIB)
    block = block_size(SIZE)
    held = Digests(size=SIZE, block=block, values=digests_of(b"x" * MIB + bytes(SIZE - MIB), block))
    base = Base(image=ImageId("base"), object_size=64 * KIB, grow_to=SIZE, held=held)
    prepared = await target.prepare(LAYOUT, block, base)
    assert (prepared.have, prepared.unit) == (held, 64 * KIB)
    assert await blocks.digests(TEMPORARY, block, snapshot=False) == held


@pytest.mark.parametrize("size", [SIZE - 1, MIB])
async def test_a_clone_whose_maker_died_before_it_had_its_size_is_given_it(
    blocks: FakeBlocks, target: Target, size: int
) -> None:
    blocks.put("base", b"x" * size)
    await blocks.clone("base", TEMPORARY, object_size=64 * KIB)
    prepared = await target.prepare(LAYOUT, block_size(SIZE))
    assert (prepared.have.size, prepared.unit) == (SIZE, 64 * KIB)
    assert await blocks.digests(TEMPORARY, block_size(SIZE), snapshot=False) == prepared.have
    assert not blocks.cluster.trashed


@pytest.mark.parametrize(("size", "layered"), [(SIZE - 1, False), (SIZE + 1, False), (SIZE + 1, True)])
async def test_what_has_another_size_makes_room(blocks: FakeBlocks, target: Target, size: int, layered: bool) -> None:
    if layered:
        blocks.put("base", b"x" * size)
        await blocks.clone("base", TEMPORARY, object_size=64 * KIB)
    else:
        blocks.put(TEMPORARY, b"x" * size, snapshot=False)
    prepared = await target.prepare(LAYOUT, block_size(SIZE))
    assert prepared.have == of_zeros(SIZE, block_size(SIZE))
    assert [entry.image.name for entry in blocks.cluster.trashed] == [TEMPORARY]


async def test_a_snapshot_that_nobody_came_to_protect_is_protected_before_the_copy_is_taken_for_complete(
    blocks: FakeBlocks, target: Target
) -> None:
    blocks.put(TEMPORARY, b"data")
    blocks.cluster.find(TEMPORARY).protected = False
    want = await blocks.digests(TEMPORARY, block_size(4), snapshot=True)
    assert await target.sealed(want)
    assert blocks.cluster.find(TEMPORARY).protected
