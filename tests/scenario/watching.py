"""Looks over the daemon's shoulder: whatever it does to Glance or a site must be right at the moment when it does it.

The daemon can't see what happens between its look and its deed. What a rival did less than SLACK ago is no excuse for
a lasting effect, but one for a request that Glance refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, Work
from edgesync.domain.ports import Cluster, Glance, Journal
from edgesync.domain.store import StoreId
from tests.fakes.cluster import PoolImage
from tests.fakes.glance import FakeImage
from tests.scenario.cutting import Scissors
from tests.scenario.stage import Outside, Stage

# Seconds.
SLACK = 30.0
GRACE = timedelta(minutes=15)
HUB = "central"

Check = Callable[..., Awaitable[None]]


class Overseer(Outside):
    """Judges every effect before it happens; `wrong` says what was wrong. Its scissors can cut the life off."""

    def __init__(self, stage: Stage) -> None:
        self.wrong: list[str] = []
        self.scissors = Scissors(0)
        self._stage = stage
        self._journal: Journal | None = None

    def journal(self, journal: Journal) -> Journal:
        self._journal = journal
        return self.scissors.journal(journal)

    def glance(self, glance: Glance) -> Glance:
        checks: dict[str, Check] = {
            "copy_image": self._copy,
            "delete_from_store": self._delete_copy,
            "delete_image": self._delete_image,
            "import_image": self._import,
        }
        return cast("Glance", _Judged(self.scissors.glance(glance), checks))

    def cluster(self, cluster: Cluster) -> Cluster:
        async def trash(name: str, *, delay: timedelta) -> None:
            await self._trash(cluster.store, name, delay)  # type: ignore[attr-defined]

        return cast("Cluster", _Judged(self.scissors.cluster(cluster), {"trash": trash}))

    # ---- the rules

    async def _copy(self, image: ImageId, stores: Sequence[StoreId], *, allow_failure: bool) -> None:
        attempt = await self._attempt(image)
        entry = self._entry(image)
        if entry is None:
            return
        self._expect(attempt is not None and attempt.work is Work.COPY, f"no attempt is open for the copy of {image}")
        self._expect(not self._locked(entry), f"a copy of {image} was sent to {stores} though it is locked")
        if self._rested(entry):
            self._expect(not set(stores) & set(entry.stores), f"{image} is in {entry.stores} and asked for {stores}")
            self._expect(HUB in entry.stores or list(stores) == [HUB], f"{image} goes to {stores} before the hub")
        if attempt is not None:
            self._expect(tuple(stores) == attempt.stores, f"{image}: {stores} asked for, {attempt.stores} written down")
            self._expect(allow_failure is attempt.allow_failure, f"{image}: all or nothing got lost")

    async def _import(self, image: ImageId, _: object, stores: Sequence[StoreId], **_named: bool) -> None:
        attempt = await self._attempt(image)
        self._expect(attempt is not None and attempt.work is Work.IMPORT, f"no attempt is open for the import {image}")
        self._expect(stores[0] == HUB, f"new image {image} goes to {stores[0]} first")

    async def _delete_copy(self, image: ImageId, store: StoreId) -> None:
        attempt = await self._attempt(image)
        entry = self._entry(image)
        if entry is None:
            return
        rightful = attempt is not None and (
            attempt.work in {Work.REMOVE, Work.UNLIST} or (attempt.work is Work.COPY and not attempt.allow_failure)
        )
        self._expect(rightful and attempt is not None and store in attempt.stores, f"{image} at {store}: deleted why?")
        self._expect(store != HUB or not self._stage.pool(HUB).has(image), f"the hub's good copy of {image} deleted")
        self._expect(not self._locked(entry), f"{image} at {store} deleted though it is locked")
        if self._rested(entry):
            self._expect(len(entry.stores) > 1, f"the last copy of {image} deleted")

    async def _delete_image(self, image: ImageId) -> None:
        attempt = await self._attempt(image)
        entry = self._entry(image)
        mine = attempt is not None and attempt.work is Work.IMPORT
        self._expect(mine, f"image {image} deleted, which is not ours")
        if entry is not None and attempt is not None:
            useful = entry.status == "active" and attempt.allow_failure and bool(entry.stores)
            self._expect(not useful, f"image {image} deleted though it has copies in {entry.stores}")

    async def _trash(self, store: str, name: str, delay: timedelta) -> None:
        attempt = await self._attempt(ImageId(name))
        pool = self._stage.pool(store)
        if not pool.has(name):
            return
        self._expect(delay >= timedelta(hours=1), f"{name} can't be restored from {store}'s trash")
        self._expect(
            attempt is not None and attempt.work in {Work.TRASH, Work.UNLIST} and attempt.stores == (store,),
            f"no attempt is open for trashing {name} at {store}",
        )
        rbd, entry = pool.image(name), self._entry(name)
        self._expect(not rbd.watchers, f"{name} at {store} trashed while it is open")
        self._expect(not rbd.children, f"{name} at {store} trashed with clones")
        self._expect(entry is None or not self._locked(entry), f"{name} at {store} trashed under a lock")
        if entry is not None and store in entry.stores:
            self._listed(store, rbd, entry)
        else:
            await self._orphan(store, rbd, entry)

    def _listed(self, store: str, rbd: PoolImage, entry: FakeImage) -> None:
        good = rbd.snapshot and rbd.size == entry.size
        if self._rested(entry):
            self._expect(not good, f"a good copy of {entry.id} at {store} trashed")
        self._expect(store != HUB, f"the hub's copy of {entry.id} trashed")

    async def _orphan(self, store: str, rbd: PoolImage, entry: FakeImage | None) -> None:
        assert self._journal is not None
        old = rbd.created_at <= self._stage.clock.now() - GRACE
        self._expect(old, f"{rbd.name} at {store} trashed though it is young")
        copy = (ImageId(rbd.name), StoreId(store))
        ours = copy in await self._journal.attempted([copy])
        self._expect(entry is not None or ours, f"{rbd.name} at {store} trashed, and it isn't ours")

    # ---- what is there

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(f"{self._stage.clock.now():%H:%M:%S} {otherwise}")

    async def _attempt(self, image: ImageId) -> Attempt | None:
        assert self._journal is not None
        attempts = (await self._journal.ledger()).attempts
        return next((attempt for attempt in attempts if attempt.image == image), None)

    def _entry(self, image: str) -> FakeImage | None:
        self._stage.fake.update()
        return self._stage.fake.sim.images.get(image)

    def _locked(self, entry: FakeImage) -> bool:
        """Whether somebody's lock has been in force for long enough to be known."""
        task = self._stage.fake.sim.tasks.get(entry.lock or "")
        if task is None:
            return False
        now = self._stage.clock.now()
        expired = (now - task.updated_at).total_seconds() >= self._stage.fake.sim.timings.lock_expiry
        return not expired and (now - task.created_at).total_seconds() > SLACK

    def _rested(self, entry: FakeImage) -> bool:
        """Whether nothing has happened to the image lately."""
        return (self._stage.clock.now() - entry.updated_at).total_seconds() > SLACK


class _Judged:
    """Passes everything on, and lets some calls be judged first."""

    def __init__(self, behind: object, checks: Mapping[str, Check]) -> None:
        self._behind = behind
        self._checks = checks

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._behind, name)
        check = self._checks.get(name)
        if check is None:
            return method

        async def judged(*arguments: Any, **named: Any) -> Any:
            await check(*arguments, **named)
            return await method(*arguments, **named)

        return judged
