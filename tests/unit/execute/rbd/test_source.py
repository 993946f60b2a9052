"""What is read at the hub, and that nothing is handed out which has changed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from edgesync.domain.blocks import KIB, MIB, Extent
from edgesync.execute.rbd.source import CHUNK, Chunk, Source, SourceDamagedError
from tests.unit.execute.rbd.disks import SIZE, Disk, digests, full, image


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def data() -> bytes:
    return image()


async def read(
    disk: Disk, data: bytes, executor: Executor, wanted: Callable[[Chunk], bool] = lambda _: True
) -> list[Chunk]:
    """All that comes of a disk whose digests are known to be those of the data."""
    source = Source(disk, block=64 * KIB, executor=executor, known=digests(data), wanted=wanted)
    return [chunk async for chunk in source.chunks()]


async def test_data_with_the_known_digests_are_handed_out(data: bytes, executor: Executor) -> None:
    chunks = await read(full(data), data, executor)
    assert b"".join(bytes(chunk.part(chunk.offset, chunk.length)) for chunk in chunks) == data


@pytest.mark.parametrize("offset", [0, 9 * MIB + 70 * KIB, SIZE - 1])
async def test_data_that_have_changed_since_are_not_handed_out(data: bytes, executor: Executor, offset: int) -> None:
    disk = full(data)
    disk.data[offset] ^= 1
    with pytest.raises(SourceDamagedError, match=f"first at byte {offset // (64 * KIB) * 64 * KIB}") as damaged:
        await read(disk, data, executor)
    # Without it, a verdict is repeated that may be a day old.
    assert "`edgesync verify --deep`" in damaged.value.remedy


async def test_a_hole_where_there_were_data_is_damage(data: bytes, executor: Executor) -> None:
    class Holed(Disk):
        async def extents(self) -> Sequence[Extent]:
            return [Extent(offset=0, length=8 * MIB), Extent(offset=16 * MIB, length=SIZE - 16 * MIB)]

    disk = Holed(bytearray(data))
    with pytest.raises(SourceDamagedError, match=f"first at byte {8 * MIB + 64 * KIB}"):  # before it are zeros
        await read(disk, data, executor)
    assert all(not 8 * MIB <= offset < 16 * MIB for offset, _ in disk.reads)


async def test_a_hole_where_there_were_zeros_is_none(executor: Executor) -> None:
    class Holed(Disk):
        async def extents(self) -> Sequence[Extent]:
            return []

    zeros = bytes(5 * MIB + 3)
    assert all(chunk.data is None for chunk in await read(Holed(bytearray(zeros)), zeros, executor))


async def test_what_nobody_wants_is_neither_read_nor_judged(data: bytes, executor: Executor) -> None:
    disk = full(data)
    disk.data[9 * MIB] ^= 1
    chunks = await read(disk, data, executor, lambda chunk: chunk.offset != 8 * MIB)
    assert [chunk.offset for chunk in chunks if chunk.data is None] == [8 * MIB]
    assert (8 * MIB, CHUNK) not in disk.reads
