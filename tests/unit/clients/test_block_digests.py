"""An image's digests, where the OSDs refuse to compute, or have lost what they should compute them of."""

from __future__ import annotations

import random
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from edgesync.clients.block_digests import BATCH_BYTES, Digesting
from edgesync.clients.block_handles import Handles
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.checksum import Told
from edgesync.clients.osd_digests import OsdDigests
from edgesync.clients.rbd_blocks import RbdBlocks
from edgesync.clients.rbd_handle import Handle, Place
from edgesync.domain.blocks import KIB, MIB, UNREADABLE, Digests, Extent, Layout, digests_of
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import EdgesyncError, ForbiddenError, NotFoundError, PermanentError

T = TypeVar("T")

BLOCK, OBJECT = 64 * KIB, 8 * MIB
DATA = random.Random(7).randbytes(MIB) * (BATCH_BYTES // MIB)
REFUSALS = Refusals(
    store=StoreId("dcn0"), settings=CephSettings(conf="/etc/ceph/dcn0.conf", user="edgesync"), deadline=1.0
)


class Layer(Handle):
    """An open image of which everything is known."""

    def __init__(self, data: bytes, *, under: Layer | EdgesyncError | None = None) -> None:
        self.name = "ID"
        self.data = data
        self.layout = Layout(size=len(data), object_size=OBJECT, features=61)
        self.place = Place(pool="images", prefix="rbd_data.1", snapshot=None, object_size=OBJECT, striped=False)
        self.overlap = 0 if under is None else len(data)
        # Pieces that a clone has itself.
        self.own: list[Extent] = [] if under else [Extent(offset=0, length=len(data))]
        # Offsets of bytes that the disks have lost.
        self.lost: set[int] = set()
        self.reads: list[Extent] = []
        self._under = under

    def parent(self) -> Handle:
        assert self._under is not None
        if isinstance(self._under, EdgesyncError):
            raise self._under
        return self._under

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append(Extent(offset=offset, length=length))
        if any(offset <= at < offset + length for at in self.lost):
            raise REFUSALS.lost_data(f"read RBD image {self.name}", OSError("EIO"), offset=offset, length=length)
        return self.data[offset : offset + length]


class Osds(OsdDigests):
    """They compute, unless they refuse to, or have lost an object."""

    def __init__(self, layer: Layer, *, refuse: bool = False) -> None:
        self.layer = layer
        self.refuse = refuse
        self.asked = 0

    def told(self, what: str, place: Place, objects: Sequence[Extent], block: int) -> Sequence[Told | None] | None:
        assert what
        assert place.object_size == OBJECT
        self.asked += 1
        if self.refuse:
            return None
        if any(one.offset <= at < one.end for one in objects for at in self.layer.lost):
            return [None] * len(objects)
        return [Told(values=self._digests(one, block)) for one in objects]

    def _digests(self, one: Extent, block: int) -> array[int]:
        return digests_of(self.layer.data[one.offset : one.end], block)


class Pool(RbdBlocks):
    def __init__(self, osds: Osds) -> None:
        self.sums = osds


class Opened(Handles):
    """Images in the store's pool, without its threads."""

    def __init__(self, osds: Osds) -> None:
        self._pool = Pool(osds)

    async def run(self, what: str, work: Callable[[RbdBlocks], T], *, on: tuple[str, ...] = ()) -> T:
        assert what
        assert not on
        return work(self._pool)

    @asynccontextmanager
    async def opened(
        self, name: str, opening: Callable[[RbdBlocks], Handle], *, write: bool = False
    ) -> AsyncIterator[Handle]:
        assert name
        assert not write
        yield opening(self._pool)

    async def extents(self, handle: Handle, *, parents: bool) -> list[Extent]:
        assert isinstance(handle, Layer)
        assert not parents
        return handle.own


async def digests(layer: Layer, osds: Osds) -> Digests:
    return await Digesting(Opened(osds), layer, BLOCK).digests()


def expected(*lost: int) -> array[int]:
    values = digests_of(DATA, BLOCK)
    for at in lost:
        values[at // BLOCK] = UNREADABLE
    return values


async def test_osds_that_refuse_are_not_asked_for_every_piece() -> None:
    layer = Layer(DATA * 6)
    osds = Osds(layer, refuse=True)
    found = await digests(layer, osds)
    assert found.values == digests_of(DATA * 6, BLOCK)
    assert sum(read.length for read in layer.reads) == len(DATA * 6)
    # Those that were under way at once.
    assert osds.asked < len(DATA * 6) // BATCH_BYTES
    before = osds.asked
    osds.refuse = False
    await digests(layer, osds)
    assert osds.asked == before + len(DATA * 6) // BATCH_BYTES, "for the next image they are asked again"


async def test_blocks_that_can_not_be_read_are_told_apart_and_the_others_are_told() -> None:
    layer, lost = Layer(DATA), [5 * MIB, 5 * MIB + BLOCK + 9, len(DATA) - 1]
    layer.lost = set(lost)
    with capture_logs() as logs:
        found = await digests(layer, Osds(layer))
    assert found.values == expected(*lost)
    good = Digests(size=len(DATA), block=BLOCK, values=expected())
    assert list(good.differing(found)) == [
        Extent(offset=5 * MIB, length=2 * BLOCK),
        Extent(offset=len(DATA) - BLOCK, length=BLOCK),
    ]
    assert [f"its bytes {5 * MIB}-{5 * MIB + BLOCK - 1}" in entry["event"] for entry in logs] == [True, False, False]


async def test_where_only_reading_tells_unreadable_blocks_are_told_too() -> None:
    layer = Layer(DATA)
    layer.lost = {3 * MIB}
    assert (await digests(layer, Osds(layer, refuse=True))).values == expected(3 * MIB)


@pytest.mark.parametrize("trouble", [ForbiddenError("not our pool"), NotFoundError("flattened meanwhile")])
async def test_what_a_parent_does_not_tell_is_read(trouble: EdgesyncError) -> None:
    layer = Layer(DATA, under=trouble)
    assert (await digests(layer, Osds(layer))).values == expected()
    assert sum(read.length for read in layer.reads) == len(DATA)


async def test_other_trouble_with_a_parent_is_not_hushed_up() -> None:
    layer = Layer(DATA, under=PermanentError("as it is"))
    with pytest.raises(PermanentError, match="as it is"):
        await digests(layer, Osds(layer))
    assert layer.reads == []
