"""What of a new image a base does not hold, and what sending that takes for each size of the clone's objects.

The engine writes what differs, widened to whole objects of the clone: librbd then needs nothing of the parent. Whole
means the full object size (librbd's io/ObjectRequest.cc), so the short last object of an image of an odd size is copied
up all the same, through the client: read over the line, and written back beside the new data.

Blocks are marked with one byte each, 0 or 1, so that a million of them are compared and counted without a loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import ne

from edgesync.domain.blocks import MIB, Digests, of_zeros

# Digests compared at once: where two images are related, most such pieces are equal.
PIECE = 128
# A write of the engine ends where a multiple of this does: it is a part of one chunk that was read.
LONGEST_WRITE = 2 * MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What is sent to make an image."""

    # Of the image's objects, in bytes.
    object_size: int
    # Bytes over the line, those of a copied-up object included.
    sent: int
    # Calls of the engine, and objects that they make.
    writes: int
    objects: int


def whole(new: Digests) -> Load:
    """A full copy: all blocks but those of zeros. Its objects are no smaller than a write."""
    blocks = _Marked(marks=_changed(new, of_zeros(new.size, new.block)), unit=new.block, size=new.size)
    objects = blocks
    while objects.unit < LONGEST_WRITE:
        objects = objects.doubled()
    return Load(object_size=objects.unit, sent=blocks.length, writes=blocks.writes, objects=objects.number)


def loads(new: Digests, base: Digests, *, largest: int) -> tuple[Load, ...]:
    """What it takes on top of a base, for each object size from the digests' block to the largest; smallest first."""
    objects = _Marked(marks=_changed(new, held(new, base)), unit=new.block, size=new.size)
    found = []
    while objects.unit <= largest:
        copied_up = max(0, base.size - (new.size - objects.tail)) if objects.tail else 0
        found.append(
            Load(
                object_size=objects.unit,
                sent=objects.length + 2 * copied_up,
                writes=objects.writes,
                objects=objects.number,
            )
        )
        objects = objects.doubled()
    return tuple(found)


def held(new: Digests, base: Digests) -> Digests:
    """What a clone of the base holds once it was given the size of the new image. The base is no larger.

    Beyond the base are zeros. A block of which it holds only a part differs for sure: nobody knows that part's digest.
    """
    if base.block != new.block or base.size > new.size:
        raise ValueError("the base is larger, or its digests are of other blocks")
    if base.size == new.size:
        return base
    known, rest = divmod(base.size, base.block)
    values = base.values[:known]
    if rest:
        values.append(new.values[known] ^ 1)
    values.extend(of_zeros(new.size, new.block).values[len(values) :])
    return Digests(size=new.size, block=new.block, values=values)


def _changed(new: Digests, other: Digests) -> bytes:
    """Mark the blocks that differ. A million take 4 ms where few do, 45 ms where all do."""
    marks = bytearray(len(new.values))
    ours, theirs = memoryview(new.values), memoryview(other.values)
    for start in range(0, len(marks), PIECE):
        piece = slice(start, start + PIECE)
        if ours[piece] != theirs[piece]:
            marks[piece] = bytes(map(ne, ours[piece], theirs[piece]))
    return bytes(marks)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Marked:
    """Those pieces of an image that are sent."""

    # One byte for each piece, 0 or 1.
    marks: bytes
    # Bytes in a piece, and in the image.
    unit: int
    size: int

    @property
    def number(self) -> int:
        return self.marks.count(1)

    @property
    def tail(self) -> int:
        """Bytes of the last piece, if it is short and sent; else 0."""
        return self.size % self.unit if self.marks.endswith(b"\1") else 0

    @property
    def length(self) -> int:
        """Bytes of them all."""
        return self.number * self.unit - (self.unit - self.tail if self.tail else 0)

    @property
    def writes(self) -> int:
        """Runs of neighbours, cut where a write has to end."""
        runs = (b"\0" + self.marks).count(b"\0\1")
        step = max(1, LONGEST_WRITE // self.unit)
        before, after = _number(self.marks[step - 1 :: step]), _number(self.marks[step::step])
        return runs + (before & after).bit_count()

    def doubled(self) -> _Marked:
        """Pieces twice as large: each is sent if one of its halves is."""
        first, second = self.marks[::2], self.marks[1::2]
        marks = (_number(first) | _number(second)).to_bytes(len(first), "little")
        return _Marked(marks=marks, unit=2 * self.unit, size=self.size)


def _number(marks: bytes) -> int:
    return int.from_bytes(marks, "little")
