"""Keeps the picture of all images up to date: a full list now and then, only the changed ones in between.

Relies on these behaviours of Glance (tried):
- `updated_at=gte:` lists 10,000 images in 35 ms where the whole list takes 6 s; the time has one-second resolution, and
  a transaction may commit late, so the window overlaps the one before.
- The import lock does not bump `updated_at`, the two lists do. An image that was seen moving is therefore shown one by
  one until it rests.
- Whose lock it is, and when it can be taken, is in the task that the lock names (`plan.locks`).
- A deleted image simply is not listed any more: only a full pass, or a 404 on showing it, tells.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.ports import Clock, Glance
from edgesync.domain.store import StoreId, Topology
from edgesync.domain.world import World
from edgesync.errors import EdgesyncError, NotFoundError, PermanentError, TransientError
from edgesync.plan.locks import Locks

log = structlog.get_logger(__name__)

OVERLAP = timedelta(seconds=5)
# Images shown one by one at a time, and in one pass: a pass stays short however many a rival moves at once.
SHOWN_AT_ONCE = 4
SHOWN_PER_PASS = 100
# The task behind somebody else's lock is looked at so often: it matters only an hour after its last update.
LOCK_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """What one pass found."""

    world: World
    appeared: frozenset[StoreId] = frozenset()
    vanished: frozenset[StoreId] = frozenset()
    # Images found to be gone since the sighting before.
    gone: frozenset[ImageId] = frozenset()


@dataclass(kw_only=True, slots=True)
class _Memory:
    images: dict[ImageId, Image] = field(default_factory=dict)
    # The newest `updated_at` seen, by Glance's clock; ours only bounds it.
    high_water: datetime | None = None
    full_at: datetime | None = None
    changed: set[ImageId] = field(default_factory=set)
    gone: set[ImageId] = field(default_factory=set)
    moving: set[ImageId] = field(default_factory=set)
    shown_last: str = ""
    locks: dict[ImageId, ImportTask] = field(default_factory=dict)
    # When each lock was last asked after.
    asked: dict[ImageId, datetime] = field(default_factory=dict)


class Observer:
    """Sees images and stores through Glance. One pass at a time."""

    def __init__(
        self, glance: Glance, clock: Clock, *, hub: StoreId, full_every: timedelta, locks: Locks | None = None
    ) -> None:
        self._locks = locks or Locks()
        self._glance = glance
        self._clock = clock
        self._full_every = full_every
        self._memory = _Memory()
        self._topology = Topology(hub=hub)
        # The topology of the last sighting: a pass that breaks off after it found new stores tells nobody of them.
        self._told = self._topology

    async def look(self, *, skip: frozenset[ImageId] = frozenset()) -> Sighting:
        """Make one pass. Images in `skip` are being watched by somebody who reports them through `saw`."""
        full = self._full_due()
        if full:
            await self._glance.check()
            topology = await self._read_topology()
            await self._list_all()
            self._topology = topology
        else:
            await self._list_changed()
        restless = self._restless(skip)
        await self._each(restless, self.show)
        await self._each(self._locks_due(restless), self._learn_lock)
        return self._sighting(full=full)

    def configure(self, *, full_every: timedelta) -> None:
        self._full_every = full_every

    @property
    def shows_locations(self) -> bool | None:
        """Whether Glance shows images with their locations; None before it was asked."""
        level = self._glance.level
        return None if level is None else level.shows_locations

    async def show(self, image_id: ImageId) -> Image | None:
        """Look at one image now; None when it is gone."""
        try:
            image = await self._glance.image(image_id)
        except NotFoundError:
            # People ask for ids that never were.
            if image_id in self._memory.images:
                self.lost(image_id)
            return None
        self.saw(image)
        return image

    def saw(self, image: Image) -> None:
        """Somebody else looked at this image."""
        if self._memory.images.get(image.id) == image:
            return
        self._memory.images[image.id] = image
        self._memory.changed.add(image.id)
        if image.moving:
            self._memory.moving.add(image.id)
        else:
            self._rests(image.id)

    def lost(self, image_id: ImageId) -> None:
        """Somebody else found that this image is gone."""
        self._memory.gone.add(image_id)
        if self._memory.images.pop(image_id, None) is not None:
            self._memory.changed.add(image_id)
            self._rests(image_id)

    def _rests(self, image_id: ImageId) -> None:
        """Nothing is being done to it any more, or it is gone."""
        self._memory.moving.discard(image_id)
        self._memory.locks.pop(image_id, None)
        self._memory.asked.pop(image_id, None)
        self._locks.forget(image_id)

    def _sighting(self, *, full: bool) -> Sighting:
        before, now = self._told, self._topology
        self._told = now
        gone, self._memory.gone = self._memory.gone, set()
        return Sighting(
            world=self._world(everything=before.writable != now.writable or not before.stores, full=full),
            appeared=frozenset(now.stores.keys() - before.stores.keys()),
            vanished=frozenset(before.stores.keys() - now.stores.keys()),
            gone=frozenset(gone),
        )

    def _full_due(self) -> bool:
        last = self._memory.full_at
        return last is None or self._clock.now() - last >= self._full_every

    async def _read_topology(self) -> Topology:
        stores = await self._glance.stores()
        return Topology(hub=self._topology.hub, stores={store.id: store for store in stores})

    async def _list_all(self) -> None:
        started = self._clock.now()
        known = frozenset(self._memory.images)
        listed: set[ImageId] = set()
        async for page in self._glance.images():
            for image in page:
                listed.add(image.id)
                self._take(image)
        # Pages shift when images come and go in between: only an image that can't be shown either is gone.
        await self._each(known - listed, self.show)
        self._memory.full_at = started

    async def _list_changed(self) -> None:
        since = self._memory.high_water
        async for page in self._glance.images(updated_since=since - OVERLAP if since else None):
            for image in page:
                self._take(image)

    def _take(self, image: Image) -> None:
        known = self._memory.images.get(image.id)
        if known is None or image.updated_at >= known.updated_at:
            self.saw(image)
        # A time in the future, by a clock gone wrong, would hide every later change.
        seen = min(image.updated_at, self._clock.now())
        if self._memory.high_water is None or seen > self._memory.high_water:
            self._memory.high_water = seen

    def _restless(self, skip: frozenset[ImageId]) -> list[ImageId]:
        """Images that were moving when last seen; those after the last ones shown come first."""
        moving = sorted(self._memory.moving - skip)
        start = bisect_right(moving, self._memory.shown_last)
        chosen = (moving[start:] + moving[:start])[:SHOWN_PER_PASS]
        self._memory.shown_last = chosen[-1] if chosen else ""
        return chosen

    def _locks_due(self, images: Iterable[ImageId]) -> list[ImageId]:
        """Those whose lock is new, or was asked after long ago."""
        now = self._clock.now()
        due = []
        for image_id in images:
            image = self._memory.images.get(image_id)
            if image is None or image.lock is None:
                continue
            task, asked = self._memory.locks.get(image_id), self._memory.asked.get(image_id)
            if task is None or task.id != image.lock or asked is None or now - asked >= LOCK_EVERY:
                due.append(image_id)
        return due

    async def _learn_lock(self, image_id: ImageId) -> None:
        """Find the task that holds the image. Not to know it blinds nobody: the lock is waited for, as it is."""
        self._memory.asked[image_id] = self._clock.now()
        try:
            tasks = await self._glance.tasks(image_id)
        except NotFoundError:
            self.lost(image_id)
            return
        except TransientError as error:
            log.warning("whose lock it is can't be seen", image=image_id, why=error.message)
            return
        image = self._memory.images.get(image_id)
        if image is None or image.lock is None:
            return
        if holder := self._locks.holder(image, tasks, self._clock.now()):
            self._memory.locks[image_id] = holder

    async def _each(self, images: Iterable[ImageId], look: Callable[[ImageId], Awaitable[object]]) -> None:
        gate = asyncio.Semaphore(SHOWN_AT_ONCE)

        async def guarded(image_id: ImageId) -> None:
            async with gate:
                try:
                    await look(image_id)
                except PermanentError as error:
                    # A damaged record must not hide the others; what was known of the image stands.
                    log.warning("image can't be shown", image=image_id, why=error.message, remedy=error.remedy)

        try:
            async with asyncio.TaskGroup() as group:
                for image_id in images:
                    group.create_task(guarded(image_id))
        except ExceptionGroup as failed:
            # Not `except*`: what that raises is a group again, which nobody waits for.
            errors, others = failed.split(EdgesyncError)
            if errors is None or others is not None:
                raise
            raise errors.exceptions[0] from failed

    def _world(self, *, everything: bool, full: bool) -> World:
        changed = frozenset(self._memory.changed)
        self._memory.changed = set()
        return World(
            topology=self._topology,
            images=self._memory.images,
            changed=None if everything else changed,
            at=self._clock.now(),
            locks={image: self._locks.as_held(image, task) for image, task in self._memory.locks.items()},
            full=full,
        )
