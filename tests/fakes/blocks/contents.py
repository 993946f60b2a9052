"""What an RBD image's objects hold, kept as RADOS keeps them: those never written are holes, or show the parent."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from edgesync.domain.blocks import KIB, MIB, Extent, Layout
from edgesync.domain.layers import Layer

# What edgesync's images are made with: layering, exclusive-lock, object-map, fast-diff, deep-flatten.
FEATURES = 61
OBJECT = 8 * MIB


@dataclass(eq=False, kw_only=True, slots=True)
class Contents:
    """One image. Data is immutable, so that snapshots share it."""

    layout: Layout
    # By index; shorter than an object where its end was never written.
    objects: dict[int, bytes] = field(default_factory=dict)
    # The snapshot `snap`, once it was taken.
    snap: dict[int, bytes] | None = None
    # Seen, its snapshot, through what has no object here.
    parent: Contents | None = None
    # Offsets of bytes that the disks have lost, until their object is written anew.
    lost: set[int] = field(default_factory=set)
    # Bytes that writes fetched from the parent, because they covered no whole object.
    copied_up: int = 0

    @property
    def size(self) -> int:
        return self.layout.size

    def layer(self, *, snapshot: bool) -> dict[int, bytes]:
        return self.snap if snapshot and self.snap is not None else self.objects

    def read(self, offset: int, length: int, *, snapshot: bool) -> bytes:
        out = bytearray(length)
        objects = self.layer(snapshot=snapshot)
        for index, piece in self._cut(offset, length):
            at = piece.offset - offset
            if index in objects:
                start = piece.offset - index * self.layout.object_size
                data = objects[index][start : start + piece.length]
                out[at : at + len(data)] = data
            elif self.parent is not None:
                out[at : at + piece.length] = self.parent.read(piece.offset, piece.length, snapshot=True)
        return bytes(out)

    def readable(self, offset: int, length: int, *, snapshot: bool) -> bool:
        """Whether the disks have lost none of that."""
        objects = self.layer(snapshot=snapshot)
        for index, piece in self._cut(offset, length):
            if index in objects:
                if any(piece.offset <= at < piece.end for at in self.lost):
                    return False
            elif self.parent is not None and not self.parent.readable(piece.offset, piece.length, snapshot=True):
                return False
        return True

    def write(self, offset: int, data: bytes) -> None:
        for index, piece in self._cut(offset, len(data)):
            start = piece.offset - index * self.layout.object_size
            at = piece.offset - offset
            old = self._under(index, piece)
            new = bytearray(max(len(old), start + piece.length))
            new[: len(old)] = old
            new[start : start + piece.length] = data[at : at + piece.length]
            self.objects[index] = bytes(new)

    def extents(self, *, snapshot: bool) -> list[Extent]:
        """Whole objects, the parent's among them."""
        size = self.layout.object_size
        there = {index * size for index in self.layer(snapshot=snapshot)}
        if self.parent is not None:
            for extent in self.parent.extents(snapshot=True):
                there |= set(range(extent.offset // size * size, extent.end, size))
        return [Extent(offset=offset, length=min(size, self.size - offset)) for offset in sorted(there)]

    def held(self, *, parents: bool) -> int:
        """Bytes of the objects that there are, of the parent's that show through or without them."""
        if parents:
            return sum(extent.length for extent in self.extents(snapshot=False))
        step = self.layout.object_size
        return sum(min(step, self.size - index * step) for index in self.objects)

    def flatten(self) -> None:
        """Have everything that is seen of the parent, the snapshot too."""
        for layer, snapshot in ((self.snap, True), (self.objects, False)):
            if layer is not None:
                for extent in self.extents(snapshot=snapshot):
                    index = extent.offset // self.layout.object_size
                    layer.setdefault(index, self.read(extent.offset, extent.length, snapshot=snapshot))
        self.parent = None

    def corrupt(self, offset: int) -> None:
        """Flip the bits of one byte where it is stored; KeyError where nothing is."""
        index, start = divmod(offset, self.layout.object_size)
        for layer in (self.objects, self.snap or {}):
            data = bytearray(layer[index])
            data[start] ^= 0xFF
            layer[index] = bytes(data)

    def _cut(self, offset: int, length: int) -> Iterator[tuple[int, Extent]]:
        """By object."""
        while length:
            index, start = divmod(offset, self.layout.object_size)
            step = min(length, self.layout.object_size - start)
            yield index, Extent(offset=offset, length=step)
            offset, length = offset + step, length - step

    def _under(self, index: int, piece: Extent) -> bytes:
        """What an object holds before that is written to it: what the parent shows is copied up."""
        if index in self.objects or self.parent is None:
            return self.objects.get(index, b"")
        first = index * self.layout.object_size
        whole = Extent(offset=first, length=min(self.layout.object_size, self.size - first))
        if whole == piece:
            return b""
        self.copied_up += whole.length
        return self.parent.read(whole.offset, whole.length, snapshot=True)


def filled(data: bytes, *, object_size: int = OBJECT, features: int = FEATURES) -> Contents:
    """An image with that data, whole objects of zeros left out."""
    contents = Contents(layout=Layout(size=len(data), object_size=object_size, features=features))
    for start in range(0, len(data), object_size):
        piece = data[start : start + object_size]
        if piece.strip(b"\0"):
            contents.objects[start // object_size] = piece
    return contents


def made_up(name: str, size: int, written: int) -> Contents:
    """For an image that others have put there: the same data at every site, one object's memory for all of them."""
    contents = Contents(layout=Layout(size=size, object_size=OBJECT, features=FEATURES))
    data = random.Random(name).randbytes(64 * KIB) * (OBJECT // (64 * KIB))
    for start in range(0, min(size, written), OBJECT):
        length = min(OBJECT, size - start)
        contents.objects[start // OBJECT] = data if length == OBJECT else data[:length]
    return contents


def bottom_layer(contents: Contents, *, pool: str, name: str, rbd_id: str) -> Layer:
    """As if nothing could be seen of parent and clones."""
    own = contents.held(parents=False)
    return Layer(
        pool=pool,
        name=name,
        id=rbd_id,
        size=contents.size,
        own=own,
        shared=contents.held(parents=True) - own,
        clones=None,
    )
