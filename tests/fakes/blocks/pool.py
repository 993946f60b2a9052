"""The contents of the images in a `FakeCluster`'s pool: both show the same images, and fail together."""

from __future__ import annotations

import copy
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edgesync.domain.blocks import UNREADABLE, Digests, Extent, Flattening, Layout, digests_of
from edgesync.domain.layers import Layer, PoolLayers
from edgesync.errors import EdgesyncError
from tests.fakes.blocks.contents import OBJECT, Contents, bottom_layer, filled, made_up
from tests.fakes.cluster import FakeCluster, PoolImage

# For so long a dead client's watch is there, and with it its lock.
WATCH = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """One write that edgesync asked for."""

    image: str
    offset: int
    length: int


async def _nothing(_method: str, _image: str) -> None:
    pass


class FakeBlocks:
    """Satisfies `edgesync.domain.block_ports.Blocks`; everything else is for tests.

    A cluster that is down, or takes no writes for want of space, costs each call the deadline.
    """

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.store = cluster.store
        # What was written, in order, and how many bytes were read.
        self.sent: list[Sent] = []
        self.fetched = 0
        # Called before anything is done: the method's name and the image's. It may raise, wait, or break something.
        self.before: Callable[[str, str], Awaitable[None]] = _nothing
        # What the manager has to flatten, and does when told to.
        self.flattening: dict[str, Flattening] = {}
        # False: our key may not give the manager orders.
        self.manages = True
        # The cluster's other pools with the disks in them, and those that our key may not touch.
        self.disks: dict[str, dict[str, Contents]] = {"vms": {}, "volumes": {}}
        self.forbidden: set[str] = set()
        # Images that are listed, and can't be opened to look at them.
        self.headless: set[str] = set()
        # Disks that a look at all of them leaves out.
        self.left_out = 0
        self.closed = False
        self._contents: dict[str, Contents] = {}
        self._faults: dict[int, EdgesyncError | None] = {}
        self._writes = 0
        # Until when a dead writer's lock holds, by image id.
        self._locked: dict[str, datetime] = {}
        # By image id.
        self._writers: dict[str, list[FakeImage]] = {}

    # ---- what a test does to it

    def put(self, name: str, data: bytes, *, object_size: int = OBJECT, snapshot: bool = True) -> Contents:
        """Put an image there: a finished copy, or half a one without its snapshot."""
        contents = filled(data, object_size=object_size)
        image = self.cluster.put(name, len(data), snapshot=snapshot)
        if snapshot:
            contents.snap = dict(contents.objects)
        self._contents[image.id] = contents
        self._count(image)
        return contents

    def contents(self, name: str) -> Contents:
        return self._of(self.cluster.images[name])

    def data(self, name: str, *, snapshot: bool = True) -> bytes:
        contents = self.contents(name)
        return contents.read(0, contents.size, snapshot=snapshot)

    def fail_write(self, count: int, error: EdgesyncError | None = None) -> None:
        """The write of that number from now on, 1 for the next, fails so; without an error it hangs."""
        self._faults[self._writes + count] = error

    def leave_locked(self, name: str) -> None:
        """A writer of it is killed: its lock holds until its watch ends."""
        self._locked[self.cluster.images[name].id] = self.cluster.clock.now() + WATCH

    def leave_half_made(self, name: str, *, listed: bool = True) -> None:
        """Whoever made it was killed: it can be neither opened nor made."""
        self.cluster.remains[name] = listed

    def leave_half_trashed(self, name: str, *, trashed: bool) -> None:
        """It is listed and can't be opened."""
        self.leave_half_made(name)
        if trashed:
            self.cluster.bin(name)
        else:
            self.cluster.nameless[name] = self.cluster.images.pop(name)

    def leave_half_renamed(self, name: str, to: str, *, listed: bool) -> None:
        """Whoever renamed it was killed, before (`listed`: after) the directory had the new name: it has two."""
        image = self.cluster.images[to] = self.cluster.images[name]
        image.name = to if listed else name

    def resize(self, name: str, size: int) -> None:
        """Make it smaller, or larger: what it gains are zeros."""
        image, contents = self.cluster.images[name], self.contents(name)
        image.size = size
        contents.layout = replace(contents.layout, size=size)

    def again(self) -> FakeBlocks:
        """Another client of the same pool."""
        other = copy.copy(self)
        other.closed = False
        return other

    def flatten_now(self) -> None:
        """The manager does all that it has to."""
        for name in list(self.flattening):
            self._orphan(self.cluster.images[name])
            self.contents(name).flatten()
            self._count(self.cluster.images[name])
        self.flattening.clear()

    # ---- the protocol

    @asynccontextmanager
    async def reading(self, name: str) -> AsyncIterator[FakeImage]:
        await self._reach("reading", f"open RBD image {name}", name)
        image = self._with_snapshot(name)
        yield FakeImage(self, image, self._of(image), snapshot=True)

    @asynccontextmanager
    async def writing(self, name: str, *, take_over: bool = False) -> AsyncIterator[FakeImage]:
        await self._reach("writing", f"open RBD image {name}", name)
        image = self.cluster.find(name)
        writers = self._writers.setdefault(image.id, [])
        if take_over:
            self._cut_off_others(image)
        opened = FakeImage(self, image, self._of(image), snapshot=False)
        writers.append(opened)
        image.watchers += 1
        try:
            yield opened
        finally:
            writers.remove(opened)
            image.watchers -= 1

    async def create(self, name: str, layout: Layout) -> None:
        what = f"create RBD image {name}"
        await self._reach("create", what, name)
        self._free(what, name)
        await self._room(what)
        image = self.cluster.put_partial(name, layout.size)
        self._contents[image.id] = Contents(layout=layout)
        await self.cluster.answer(what)

    async def clone(self, base: str, name: str, *, object_size: int) -> None:
        what = f"clone RBD image {base}"
        await self._reach("clone", what, name)
        parent = self._with_snapshot(base)
        if not parent.protected:
            raise self.cluster.refusals.unprotected(base)
        self._free(what, name)
        await self._room(what)
        under = self._of(parent)
        layout = Layout(size=parent.size, object_size=object_size, features=under.layout.features)
        image = self.cluster.put_partial(name, parent.size)
        self._contents[image.id] = Contents(layout=layout, parent=under)
        parent.children = (*parent.children, self._spec(name))
        await self.cluster.answer(what)

    async def grow(self, name: str, size: int) -> None:
        what = f"enlarge RBD image {name}"
        await self._reach("grow", what, name)
        if self.cluster.find(name).size < size:
            await self._room(what)
            self.resize(name, size)
        await self.cluster.answer(what)

    async def disk(self, base: str, pool: str, name: str, *, object_size: int) -> None:
        what = f"clone RBD image {base} to {pool}/{name}"
        await self._reach("disk", what, name)
        if pool not in self.disks:
            raise self.cluster.refusals.no_such_pool(what, pool)
        if pool in self.forbidden:
            raise self.cluster.refusals.forbidden(what)
        parent = self._with_snapshot(base)
        if not parent.protected:
            raise self.cluster.refusals.unprotected(base)
        if name in self.disks[pool]:
            raise self.cluster.refusals.taken(what, name, pool=pool)
        await self._room(what)
        under = self._of(parent)
        layout = Layout(size=parent.size, object_size=object_size, features=under.layout.features)
        self.disks[pool][name] = Contents(layout=layout, parent=under)
        parent.children = (*parent.children, f"{pool}/{name}")
        await self.cluster.answer(what)

    async def digests(self, name: str, block: int, *, snapshot: bool) -> Digests:
        await self._reach("digests", f"open RBD image {name}", name)
        image = self._with_snapshot(name) if snapshot else self.cluster.find(name)
        contents = self._of(image)
        values = digests_of(contents.read(0, image.size, snapshot=snapshot), block)
        for position, offset in enumerate(range(0, image.size, block)):
            if not contents.readable(offset, min(block, image.size - offset), snapshot=snapshot):
                values[position] = UNREADABLE
        return Digests(size=image.size, block=block, values=values)

    async def seal(self, name: str, *, take_over: bool = False) -> None:
        what = f"take the snapshot of RBD image {name}"
        await self._reach("seal", what, name)
        image = self.cluster.find(name)
        if take_over:
            self._cut_off_others(image)
        await self._unlocked(what, image)
        if not image.snapshot:
            await self._room(what)
            contents = self._of(image)
            contents.snap = dict(contents.objects)
        image.snapshot = image.protected = True
        await self.cluster.answer(what)

    async def location(self, name: str) -> str:
        await self._reach("location", f"tell where {name} is", name)
        return f"rbd://{self.cluster.fsid}/{self.cluster.pool}/{name}/snap"

    async def rename(self, name: str, to: str) -> None:
        what = f"rename RBD image {name}"
        await self._reach("rename", what, name)
        image = self.cluster.find(name)
        self._free(what, to)
        del self.cluster.images[name]
        image.name = to
        self.cluster.images[to] = image
        old, new = self._spec(name), self._spec(to)
        for other in self._everything():
            other.children = tuple(new if child == old else child for child in other.children)
        await self.cluster.answer(what)

    async def tidy(self, name: str, other: str) -> None:
        await self._reach("tidy", f"look what is left of RBD image {name}", name)
        self.cluster.remains.pop(name, None)
        if (nameless := self.cluster.nameless.pop(name, None)) is not None:
            self.cluster.images[name] = nameless
        one, two = self.cluster.images.get(name), self.cluster.images.get(other)
        if one is not None and one is two:
            del self.cluster.images[other if one.name == name else name]

    async def trash(self, name: str, *, delay: timedelta) -> None:
        await self.before("trash", name)
        image = self.cluster.images.get(name)
        if image is not None and self._locked.get(image.id, self.cluster.clock.now()) > self.cluster.clock.now():
            raise self.cluster.refusals.in_use(
                f"move RBD image {name} into the trash", "a dead client's watch is there"
            )
        await self.cluster.trash(name, delay=delay)

    async def children(self, name: str) -> tuple[str, ...]:
        await self._reach("children", f"look for clones of RBD image {name}", name)
        return tuple(sorted(self.cluster.find(name).children))

    async def parent(self, name: str) -> str | None:
        await self._reach("parent", f"look for the parent of RBD image {name}", name)
        parent = self._parent(self.cluster.find(name))
        return None if parent is None else self._spec(parent.name)

    async def layers(self, *, measured: bool = True) -> PoolLayers:
        await self._reach("layers", "list the RBD images", "")
        found = [
            self._layer(self.cluster.pool, image.name, image.id, self._of(image), tuple(sorted(image.children)))
            for image in self.cluster.images.values()
            if image.name not in self.headless
        ]
        found += [
            self._layer(pool, name, f"{pool}-{name}", contents, ())
            for pool, disks in self.disks.items()
            for name, contents in disks.items()
            if pool not in self.forbidden
        ]
        if not measured:
            found = [replace(layer, own=None, shared=None) for layer in found]
        unseen = {self._spec(name): self.cluster.refusals.no_image(name).message for name in sorted(self.headless)}
        return PoolLayers(
            layers=tuple(sorted(found, key=lambda layer: layer.spec)), unseen=unseen, left_out=self.left_out
        )

    async def flatten(self, name: str) -> None:
        what = f"have RBD image {name} flattened"
        await self._reach("flatten", what, name)
        if self._parent(self.cluster.find(name)) is None:
            return
        await self._managed(what)
        self.flattening.setdefault(name, Flattening(image=name, running=False))
        await self.cluster.answer(what)

    async def tasks(self) -> tuple[Flattening, ...]:
        what = "list the manager's tasks"
        await self._reach("tasks", what, "")
        await self._managed(what)
        return tuple(self.flattening.values())

    async def close(self) -> None:
        self.closed = True

    # ---- inside

    async def write(self, opened: FakeImage, offset: int, data: bytes) -> None:
        image = opened.image
        what = f"write RBD image {image.name}"
        await self._reach("write", what, image.name)
        if opened.cut_off:
            raise self.cluster.refusals.lost(what, OSError("blocklisted"))
        self._writes += 1
        if self._writes in self._faults:
            error = self._faults.pop(self._writes)
            if error is None:
                await self.cluster.clock.sleep(self.cluster.deadline)
                error = self.cluster.refusals.silent(what)
            raise error
        await self._unlocked(what, image)
        await self._room(what)
        if offset + len(data) > image.size:
            raise self.cluster.refusals.changed(what, OSError("invalid argument"))
        self._of(image).write(offset, data)
        self._count(image)
        self.sent.append(Sent(image=image.name, offset=offset, length=len(data)))
        await self.cluster.answer(what)

    async def read(self, image: PoolImage, offset: int, length: int, *, snapshot: bool) -> bytes:
        what = f"read RBD image {image.name}"
        await self._reach("read", what, image.name)
        if not self._of(image).readable(offset, length, snapshot=snapshot):
            raise self.cluster.refusals.lost_data(what, OSError("input/output error"), offset=offset, length=length)
        self.fetched += length
        return self._of(image).read(offset, length, snapshot=snapshot)

    async def extents(self, image: PoolImage, *, snapshot: bool) -> Sequence[Extent]:
        await self._reach("extents", f"look which objects RBD image {image.name} has", image.name)
        return self._of(image).extents(snapshot=snapshot)

    async def _reach(self, method: str, what: str, name: str) -> None:
        await self.before(method, name)
        if self.closed:
            raise self.cluster.refusals.closed(what)
        await self.cluster.reach(what)

    def _cut_off_others(self, image: PoolImage) -> None:
        self._locked.pop(image.id, None)
        for other in self._writers.get(image.id, ()):
            other.cut_off |= other.blocks is not self

    async def _unlocked(self, what: str, image: PoolImage) -> None:
        def left() -> float:
            return (
                (self._locked[image.id] - self.cluster.clock.now()).total_seconds() if image.id in self._locked else 0
            )

        if left() > 0:
            await self.cluster.clock.sleep(min(left(), self.cluster.deadline))
        if left() > 0:
            raise self.cluster.refusals.refused(what, OSError("read-only"), errno.EROFS)

    async def _managed(self, what: str) -> None:
        if not self.manages:
            raise self.cluster.refusals.forbidden(what)
        if not self.cluster.manager:
            await self.cluster.clock.sleep(self.cluster.deadline)
            raise self.cluster.refusals.silent(what)

    async def _room(self, what: str) -> None:
        """A full cluster refuses nothing: it holds writes back."""
        if self.cluster.full:
            await self.cluster.clock.sleep(self.cluster.deadline)
        if self.cluster.full:
            raise self.cluster.refusals.silent(what)

    def _of(self, image: PoolImage) -> Contents:
        if image.id not in self._contents:
            contents = made_up(image.name, image.size, image.written)
            if not image.snapshot:
                # Somebody else is writing it: it will hold more.
                return contents
            contents.snap = dict(contents.objects)
            self._contents[image.id] = contents
        return self._contents[image.id]

    def _layer(self, pool: str, name: str, rbd_id: str, contents: Contents, children: tuple[str, ...]) -> Layer:
        parent = self._image_of(contents.parent)
        layer = bottom_layer(contents, pool=pool, name=name, rbd_id=rbd_id)
        if not any(child.partition("/")[0] in self.forbidden for child in children):
            layer = replace(layer, clones=children)
        return layer if parent is None else replace(layer, parent=self._spec(parent.name), parent_id=parent.id)

    def _count(self, image: PoolImage) -> None:
        contents = self._of(image)
        image.written = len(contents.objects) * contents.layout.object_size

    def _with_snapshot(self, name: str) -> PoolImage:
        image = self.cluster.find(name)
        if not image.snapshot:
            raise self.cluster.refusals.no_snapshot(name)
        return image

    def _free(self, what: str, name: str) -> None:
        if name in self.cluster.images or name in self.cluster.remains:
            raise self.cluster.refusals.taken(what, name)

    def _spec(self, name: str) -> str:
        return f"{self.cluster.pool}/{name}"

    def _everything(self) -> list[PoolImage]:
        """What is in the trash lives on as a parent."""
        return [*self.cluster.images.values(), *(entry.image for entry in self.cluster.trashed)]

    def _parent(self, image: PoolImage) -> PoolImage | None:
        return self._image_of(self._of(image).parent)

    def _image_of(self, under: Contents | None) -> PoolImage | None:
        if under is None:
            return None
        return next(other for other in self._everything() if self._contents.get(other.id) is under)

    def _orphan(self, image: PoolImage) -> None:
        if (parent := self._parent(image)) is not None:
            parent.children = tuple(child for child in parent.children if child != self._spec(image.name))


class FakeImage:
    """Satisfies `Reading` and `Writing`."""

    def __init__(self, blocks: FakeBlocks, image: PoolImage, contents: Contents, *, snapshot: bool) -> None:
        self.blocks = blocks
        self.image = image
        # Somebody has taken over.
        self.cut_off = False
        self.layout = contents.layout
        self._snapshot = snapshot

    async def extents(self) -> Sequence[Extent]:
        return await self.blocks.extents(self.image, snapshot=self._snapshot)

    async def read(self, offset: int, length: int) -> bytes:
        return await self.blocks.read(self.image, offset, length, snapshot=self._snapshot)

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        await self.blocks.write(self, offset, bytes(data))

    async def write_all(self, pieces: Sequence[tuple[int, bytes | memoryview]]) -> None:
        for offset, data in pieces:
            await self.write(offset, data)
