"""Takes the digests of an RBD image: on the OSDs, object by object and layer by layer; what they can't tell is read."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING

import structlog

from edgesync.clients.few_at_once import for_each
from edgesync.domain.blocks import MIB, UNREADABLE, Digests, Extent, digests_of, of_zeros, runs
from edgesync.errors import ForbiddenError, NotFoundError, UnreadableError

if TYPE_CHECKING:
    from edgesync.clients.block_handles import Handles
    from edgesync.clients.checksum import Told
    from edgesync.clients.rbd_handle import Handle

log = structlog.get_logger(__name__)

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
        # Layers of which the OSDs tell nothing.
        self._mute: set[Handle] = set()
        self._what = f"take the digests of RBD image {handle.name}"

    async def digests(self) -> Digests:
        await self._look_into(self._handle, self._size)
        unclear = runs(_marked(self._unclear), block=self._block, size=self._size)
        step = max(READ, self._block)
        await for_each((piece for extent in unclear for piece in _pieces(extent, step)), self._read, at_once=AT_ONCE)
        return Digests(size=self._size, block=self._block, values=self._values)

    async def _look_into(self, layer: Handle, limit: int, *, depth: int = 1) -> None:
        """What the layer has itself, as far as it is seen, in bytes; then what is seen of those below it."""
        extents = await self._handles.extents(layer, parents=False)
        size = layer.place.object_size
        objects = [piece for extent in extents for piece in _pieces(_cut(extent, limit), size) if self._seen(piece)]
        await for_each(_batches(objects), lambda batch: self._ask(layer, batch), at_once=AT_ONCE)
        below = Extent(offset=0, length=min(limit, layer.overlap))
        if not self._seen(below):
            return
        try:
            if depth < DEEPEST:
                async with self._handles.opened(layer.name, lambda _: layer.parent()) as parent:
                    await self._look_into(parent, below.length, depth=depth + 1)
                return
        except (ForbiddenError, NotFoundError):
            # Its pool is none of ours, or it is needed no more. The image itself can be read, or says why not.
            pass
        self._note(below, None)

    def _seen(self, extent: Extent) -> bool:
        return self._covered.find(0, *self._blocks(extent)) >= 0

    def _blocks(self, extent: Extent) -> tuple[int, int]:
        """Where they begin and end."""
        return extent.offset // self._block, -(-extent.end // self._block)

    async def _ask(self, layer: Handle, objects: Sequence[Extent]) -> None:
        told: Sequence[Told | None] | None = None
        if layer not in self._mute:
            told = await self._handles.run(
                self._what, lambda pool: pool.sums.told(self._what, layer.place, objects, self._block)
            )
        if told is None:
            self._mute.add(layer)
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
        first, end = self._blocks(piece)
        try:
            data = await self._handles.run(self._what, lambda _: self._handle.read(piece.offset, piece.length))
        except UnreadableError as error:
            if end - first > 1:
                for block in _pieces(piece, self._block):
                    await self._read(block)
                return
            log.warning(error.message)
            self._values[first] = UNREADABLE
        else:
            self._values[first:end] = digests_of(data, self._block)


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
