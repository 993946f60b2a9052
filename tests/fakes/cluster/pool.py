"""One store's pool: RBD images that a test puts there, and what a test says is wrong with the cluster."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edgesync.clients.ceph_refusals import Refusals
from edgesync.domain.ports import Clock
from edgesync.domain.site import Capacity, RbdImage
from edgesync.domain.store import CephSettings, StoreId

GIB = 2**30


@dataclass(kw_only=True, slots=True)
class PoolImage:
    """One RBD image. Tests may change any field at any time."""

    name: str
    id: str
    size: int
    # Bytes of the objects written so far: less than `size` in half a copy.
    written: int
    snapshot: bool
    protected: bool
    created_at: datetime
    watchers: int
    children: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trashed:
    """What was moved into the trash, and for how long it can be restored at least."""

    image: PoolImage
    delay: timedelta
    at: datetime


class FakeCluster:
    """Satisfies `edgesync.domain.ports.Cluster`; everything else is for tests.

    A cluster that is down costs each call its deadline of the clock's time; one that is up again by then answers.
    """

    def __init__(
        self,
        store: str,
        *,
        clock: Clock,
        deadline: float = 5.0,
        pool: str = "images",
        total: int = 100 * GIB,
        fsid: str = "",
    ) -> None:
        self.store = StoreId(store)
        self.pool = pool
        self.fsid = fsid
        self.images: dict[str, PoolImage] = {}
        self.trashed: list[Trashed] = []
        # Images that were never made whole, and whether they are listed: they can be neither opened nor made.
        self.remains: dict[str, bool] = {}
        # Whole ones that are listed, and can't be opened by their names.
        self.nameless: dict[str, PoolImage] = {}
        self.total = total
        # Bytes that something else than images occupies.
        self.other = 0
        # False: figures are missing, everything else works.
        self.manager = True
        # False: Ceph's client may not touch the pool.
        self.permitted = True
        # True: what changes something is done, but its answer never comes.
        self.answers_lost = False
        self.closed = False
        self.clock = clock
        self.deadline = deadline
        self._down = False
        settings = CephSettings(conf=f"/etc/ceph/{store}.conf", user="edgesync", pool=pool)
        self.refusals = Refusals(store=self.store, settings=settings, deadline=deadline)

    # ---- what a test does to it

    def down(self) -> None:
        """Nothing answers: paused OSDs, a cut line."""
        self._down = True

    def up(self) -> None:
        self._down = False

    def fill(self, share: float = 1.0) -> None:
        """Occupy that share of the pool, images included."""
        self.other = max(0, round(self.total * share) - self._written)

    def put(
        self,
        name: str,
        size: int = GIB,
        *,
        written: int | None = None,
        snapshot: bool = True,
        protected: bool = True,
        created_at: datetime | None = None,
        watchers: int = 0,
        children: Sequence[str] = (),
        rbd_id: str = "",
    ) -> PoolImage:
        """Put an image there, replacing one of that name: a finished copy made now, unless told otherwise."""
        image = PoolImage(
            name=name,
            id=rbd_id or secrets.token_hex(8),
            size=size,
            written=size if written is None else written,
            snapshot=snapshot,
            protected=snapshot and protected,
            created_at=created_at or self.clock.now(),
            watchers=watchers,
            children=tuple(children),
        )
        self.images[name] = image
        return image

    def put_partial(self, name: str, size: int = GIB, *, written: int = 0, watchers: int = 0) -> PoolImage:
        """Half a copy: being written while `watchers` is 1, left behind by a crash when it is 0."""
        return self.put(name, size, written=written, snapshot=False, watchers=watchers)

    def remove(self, name: str) -> None:
        """Take it away at once; nothing happens when it isn't there."""
        self.images.pop(name, None)

    def bin(self, name: str) -> None:
        """Somebody moves it into the trash, whoever needs it."""
        self.trashed.append(Trashed(image=self.images.pop(name), delay=timedelta(), at=self.clock.now()))

    # ---- the protocol

    async def probe(self) -> Capacity | None:
        await self.reach("reach the monitors")
        if not self.manager:
            return None
        used = self._written + self.other
        return Capacity(used=used, available=max(0, self.total - used))

    @property
    def full(self) -> bool:
        return self._written + self.other >= self.total

    async def names(self) -> frozenset[str]:
        await self.reach("list the RBD images")
        # One that was half renamed can be opened by two names, and has one in the directory.
        whole = {name for name, image in self.images.items() if image.name == name}
        return frozenset(whole.union(name for name, listed in self.remains.items() if listed))

    async def inspect(self, name: str) -> RbdImage:
        await self.reach(f"look at RBD image {name}")
        image = self.find(name)
        return RbdImage(
            name=image.name,
            id=image.id,
            size=image.size,
            snapshot=image.snapshot,
            protected=image.snapshot and image.protected,
            watchers=image.watchers,
            children=image.children if image.snapshot else (),
            created_at=image.created_at,
        )

    async def written(self, name: str) -> int:
        await self.reach(f"measure RBD image {name}")
        return self.find(name).written

    async def trash(self, name: str, *, delay: timedelta) -> None:
        what = f"move RBD image {name} into the trash"
        await self.reach(what)
        image = self.find(name)
        if image.watchers:
            raise self.refusals.in_use(what, f"{image.watchers} client(s) have it open for writing")
        if image.snapshot and image.children:
            raise self.refusals.in_use(what, f"it has clones: {', '.join(image.children)}")
        del self.images[name]
        self.trashed.append(Trashed(image=image, delay=delay, at=self.clock.now()))
        await self.answer(what)

    async def protect(self, name: str) -> None:
        what = f"protect the snapshot of RBD image {name}"
        await self.reach(what)
        image = self.find(name)
        if not image.snapshot:
            raise self.refusals.no_snapshot(name)
        image.protected = True
        await self.answer(what)

    async def close(self) -> None:
        self.closed = True

    # ---- for what looks into the same pool

    @property
    def _written(self) -> int:
        """What is in the trash goes on occupying its space."""
        images = [*self.images.values(), *(entry.image for entry in self.trashed)]
        return sum(image.written for image in images)

    async def reach(self, what: str) -> None:
        if self._down:
            await self.clock.sleep(self.deadline)
        if self._down:
            raise self.refusals.silent(what)
        if not self.permitted:
            raise self.refusals.forbidden(what)

    async def answer(self, what: str) -> None:
        if self.answers_lost:
            await self.clock.sleep(self.deadline)
            raise self.refusals.silent(what)

    def find(self, name: str) -> PoolImage:
        if name not in self.images:
            raise self.refusals.no_image(name)
        return self.images[name]
