"""Disks in memory, as fast or as slow as a test wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgesync.domain.blocks import MIB, Digests, Extent, Layout, block_size, digests_of
from edgesync.errors import UnreachableError

SIZE = 33 * MIB + 7


def image(size: int = SIZE) -> bytes:
    """No two blocks alike, with holes between."""
    data = bytearray(size)
    for number, start in enumerate(range(0, size, 192 * 1024)):
        piece = number.to_bytes(8, "big") * 8192
        data[start : start + len(piece)] = piece
    return bytes(data[:size])


def digests(data: bytes) -> Digests:
    block = block_size(len(data))
    return Digests(size=len(data), block=block, values=digests_of(data, block))


@dataclass(eq=False)
class Disk:
    """Satisfies `Reading` and `Writing`."""

    data: bytearray
    reads: list[tuple[int, int]] = field(default_factory=list)
    writes: list[tuple[int, int]] = field(default_factory=list)
    # Nobody may write until it is set; and the number of the write that fails.
    open: asyncio.Event = field(default_factory=asyncio.Event)
    fails_at: int | None = None

    @property
    def layout(self) -> Layout:
        return Layout(size=len(self.data), object_size=8 * MIB, features=61)

    async def extents(self) -> Sequence[Extent]:
        return [Extent(offset=0, length=len(self.data))]

    async def read(self, offset: int, length: int) -> bytes:
        await asyncio.sleep(0)
        self.reads.append((offset, length))
        return bytes(self.data[offset : offset + length])

    async def write_all(self, pieces: Sequence[tuple[int, bytes | memoryview]]) -> None:
        for offset, data in pieces:
            await self.write(offset, data)

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        await self.open.wait()
        if self.fails_at is not None and len(self.writes) >= self.fails_at:
            raise UnreachableError("the line is cut")
        self.writes.append((offset, len(data)))
        self.data[offset : offset + len(data)] = data


def full(data: bytes) -> Disk:
    return Disk(bytearray(data))


def blank(size: int = SIZE, *, is_open: bool = True) -> Disk:
    disk = Disk(bytearray(size))
    if is_open:
        disk.open.set()
    return disk
