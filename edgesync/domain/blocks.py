"""What an image consists of, block by block: the ground on which the rbd engine decides what to send.

A digest is XXH64 with seed 0 of one block, the very number that `rados_checksum` makes an OSD compute (tried on 16.2).
So two sites can be compared, a copy be taken up where it broke off, and a second version be told from the first,
without moving the data.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import xxhash

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# What is compared, left out as zeros, and sent.
SMALLEST_BLOCK = 64 * KIB
# Of one image: its digests take 8 MiB then, and larger images have larger blocks.
MOST_BLOCKS = 1 << 20
# Of runs of zeros that are remembered: whole blocks, and the odd last ones of some images.
LENGTHS = 64


# Stands for the digest of a block that can't be read, and differs from all: that data have it is as likely as that two
# blocks which differ share their digest.
UNREADABLE = 0x9E3779B97F4A7C15


def block_size(size: int) -> int:
    """The block of an image of so many bytes: 64 KiB up to 64 GiB, then the next power of two that will do."""
    block = SMALLEST_BLOCK
    while size > block * MOST_BLOCKS:
        block *= 2
    return block


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """A piece of an image, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How an RBD image is cut into objects."""

    # Bytes.
    size: int
    # Bytes, a power of two.
    object_size: int
    # RBD's feature bits.
    features: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """One digest for each block of an image; the last block ends where the image does."""

    size: int
    block: int
    values: array[int]

    def __post_init__(self) -> None:
        if len(self.values) != -(-self.size // self.block):
            raise ValueError(f"{len(self.values)} digests for {self.size} bytes in blocks of {self.block}")

    def differing(self, other: Digests) -> Iterator[Extent]:
        """Where another image of that size and block has other data: runs of blocks, in order."""
        if (self.size, self.block) != (other.size, other.block):
            raise ValueError("digests of images that differ in size or block")
        return runs(differing(self.values, other.values), block=self.block, size=self.size)


def of_zeros(size: int, block: int) -> Digests:
    """What an image reads as that was made and never written."""
    whole, tail = divmod(size, block)
    values = array("Q", [zero_digest(block)]) * whole
    if tail:
        values.append(zero_digest(tail))
    return Digests(size=size, block=block, values=values)


@lru_cache(maxsize=LENGTHS)
def _zeros(length: int) -> bytes:
    return bytes(length)


@lru_cache(maxsize=LENGTHS)
def zero_digest(length: int) -> int:
    """The digest of so many zeros."""
    return xxhash.xxh64_intdigest(_zeros(length))


def digests_of(data: bytes, block: int) -> array[int]:
    """The digests of a piece that begins at a block's beginning."""
    values = array("Q")
    view = memoryview(data)
    zeros, digest_of_zeros = _zeros(block), zero_digest(block)
    for start in range(0, len(data), block):
        # A comparison is many times faster than a digest, and ends at the first byte that isn't zero.
        if data.startswith(zeros, start):
            values.append(digest_of_zeros)
        else:
            values.append(xxhash.xxh64_intdigest(view[start : start + block]))
    return values


def differing(one: array[int], other: array[int]) -> Iterator[int]:
    """The positions at which two of the same length differ."""
    if one == other:
        return iter(())
    return (position for position, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


def runs(blocks: Iterable[int], *, block: int, size: int, start: int = 0) -> Iterator[Extent]:
    """Neighbouring blocks as one extent, counted from `start`; none goes beyond the image's end."""
    first = last = None
    for position in blocks:
        if last is not None and position == last + 1:
            last = position
            continue
        if first is not None and last is not None:
            yield _extent(first, last, block, size, start)
        first = last = position
    if first is not None and last is not None:
        yield _extent(first, last, block, size, start)


def _extent(first: int, last: int, block: int, size: int, start: int) -> Extent:
    offset = start + first * block
    return Extent(offset=offset, length=min(start + (last + 1) * block, size) - offset)


def widened(extents: Iterable[Extent], *, unit: int, size: int) -> Iterator[Extent]:
    """The extents made to cover whole objects of `unit` bytes, neighbours joined: in order, as they come in order.

    A write of a whole object of a clone needs nothing from its parent; of a part, librbd first copies the rest up.
    """
    pending: Extent | None = None
    for extent in extents:
        offset = extent.offset // unit * unit
        end = min(-(-extent.end // unit) * unit, size)
        if pending is not None and offset <= pending.end:
            pending = Extent(offset=pending.offset, length=max(end, pending.end) - pending.offset)
            continue
        if pending is not None:
            yield pending
        pending = Extent(offset=offset, length=end - offset)
    if pending is not None:
        yield pending


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownDigests:
    """An image's digests as the journal keeps them: taken from data whose hash was Glance's."""

    # Glance's `os_hash_algo` and `os_hash_value` at that time.
    hash_algo: str
    hash_value: str
    digests: Digests


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """When a copy was last compared with its image's digests, and what came of it."""

    at: datetime
    sound: bool
    # The damaged ranges, for people; empty when it is sound.
    damage: str = ""
    # Ceph's own id of the RBD image that was compared: of another one this says nothing.
    rbd_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flattening:
    """A clone that a cluster's manager makes independent of its parent, or will: inside the site."""

    # RBD's name of it, as it was when this was asked for.
    image: str
    # False: it waits for its turn.
    running: bool
    # Between 0 and 1.
    progress: float = 0.0
    # What went wrong at the last try; the manager tries again by itself.
    trouble: str = ""
