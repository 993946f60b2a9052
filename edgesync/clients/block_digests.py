"""Takes the digests of an RBD image: on the OSDs, object by object and layer by layer; what they can't tell is read."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, TypeVar

from edgesync.domain.blocks import MIB, Digests, Extent, digests_of, of_zeros, runs
from edgesync.errors import PermanentError

if TYPE_CHECKING:
    from edgesync.clients.block_handles import Handles
    from edgesync.clients.checksum import Told
    from edgesync.clients.rbd_handle import Handle

T = TypeVar("T")

# What one call asks about: what an OSD reads in a moment, and as many objects as answer at once.
BATCH_BYTES = 32 * MIB
BATCH_OBJECTS = 128
# What one call reads.
READ = 4 * MIB
# Calls at a time.
AT_ONCE = 4
# Layers of a chain that are looked into; what lies deeper is read through the image.
DEEPEST = 16


class Digesting:
    """One image's digests in the making."""

    def __init__(self, handles: Handles, handle: Handle, block: int) -> None:
        self._handles = handles
        self._handle = handle
        self._block = block
        self._size = handle.layout.size
        self._values = of_zeros(self._size, block).values
        # 1 for each block that a layer has told of, so that those below are not seen there.
        self._covered = bytearray(len(self._values))
        # 1 for each block that has to be read.
        self._unclear = bytearray(len(self._values))
        self._what = f"take the digests of RBD image {handle.name}"

    async def digests(self) -> Digests:
        await self._look_into(self._handle, self._size)
        unclear = runs(_marked(self._unclear), block=self._block, size=self._size)
        step = max(READ, self._block)
        await _each(self._read, (piece for extent in unclear for piece in _pieces(extent, step)))
        return Digests(size=self._size, block=self._block, values=self._values)

    async def _look_into(self, layer: Handle, limit: int, *, depth: int = 1) -> None:
        """What the layer has itself, as far as it is seen, in bytes; then what is seen of those below it."""
        extents = await self._handles.extents(layer, parents=False)
        size = layer.place.object_size
        objects = [piece for extent in extents for piece in _pieces(_cut(extent, limit), size) if self._seen(piece)]
        await _each(lambda batch: self._ask(layer, batch), _batches(objects))
        below = Extent(offset=0, length=min(limit, layer.overlap))
        if not self._seen(below):
            return
        try:
            if depth < DEEPEST:
                async with self._handles.opened(layer.name, lambda _: layer.parent()) as parent:
                    await self._look_into(parent, below.length, depth=depth + 1)
                return
        except PermanentError:
            # Its pool is none of ours, say. The image itself may be read nevertheless.
            pass
        self._note(below, None)

    def _seen(self, extent: Extent) -> bool:
        return self._covered.find(0, *self._blocks(extent)) >= 0

    def _blocks(self, extent: Extent) -> tuple[int, int]:
        """Where they begin and end."""
        return extent.offset // self._block, -(-extent.end // self._block)

    async def _ask(self, layer: Handle, objects: Sequence[Extent]) -> None:
        told = await self._handles.run(
            self._what, lambda pool: pool.sums.told(self._what, layer.place, objects, self._block)
        )
        for extent, answer in zip(objects, told or repeat(None), strict=False):
            if answer is None or answer.values is not None:
                self._note(extent, answer)

    def _note(self, extent: Extent, told: Told | None) -> None:
        """Of an object that is there; None: what it holds can't be told."""
        first, end = self._blocks(extent)
        known = 0
        unclear: Iterable[int] = range(first, end)
        if told is not None and told.values is not None:
            known = len(told.values)
            self._take(first, told.values)
            # The object may end inside a block, and the image inside its last.
            unclear = {first + known} if told.partial else set()
            if extent.length % self._block:
                unclear.add(end - 1)
        for position in unclear:
            self._unclear[position] |= not self._covered[position]
        self._covered[first:end] = b"\1" * (end - first)

    def _take(self, first: int, values: array[int]) -> None:
        end = first + len(values)
        if self._covered.find(1, first, end) < 0:
            self._values[first:end] = values
            return
        for position, digest in enumerate(values, first):
            if not self._covered[position]:
                self._values[position] = digest

    async def _read(self, piece: Extent) -> None:
        data = await self._handles.run(self._what, lambda _: self._handle.read(piece.offset, piece.length))
        first, end = self._blocks(piece)
        self._values[first:end] = digests_of(data, self._block)


async def _each(work: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    """Do it for each, a few at a time; the first failure ends it."""
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _batches(objects: Sequence[Extent]) -> Iterator[Sequence[Extent]]:
    start = total = 0
    for position, extent in enumerate(objects):
        total += extent.length
        if total >= BATCH_BYTES or position + 1 - start == BATCH_OBJECTS:
            yield objects[start : position + 1]
            start, total = position + 1, 0
    if start < len(objects):
        yield objects[start:]


def _pieces(extent: Extent, step: int) -> Iterator[Extent]:
    for offset in range(extent.offset, extent.end, step):
        yield Extent(offset=offset, length=min(step, extent.end - offset))


def _cut(extent: Extent, limit: int) -> Extent:
    return Extent(offset=extent.offset, length=max(0, min(extent.end, limit) - extent.offset))


def _marked(flags: bytearray) -> Iterator[int]:
    position = flags.find(1)
    while position >= 0:
        yield position
        position = flags.find(1, position + 1)
