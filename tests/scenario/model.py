"""A world in which anything may happen, one step after the other, and a daemon in it.

Steps are pairs of a method's name and its arguments, so that hypothesis can shrink a long story to the few that matter.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from edgesync.domain.image import ImageId
from edgesync.domain.job import AttemptId, CopyResult, EventKind
from edgesync.domain.policy import Repair
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError
from edgesync.expose.requests import (
    CopyRequest,
    ImportRequest,
    PauseRequest,
    RemovalRequest,
    Scope,
    VerificationRequest,
)
from tests.fakes.glance import MIB, FakeImage, LoseAnswer, RefusalError, Reset
from tests.fakes.glance.faults import Fault
from tests.scenario.cutting import Scissors
from tests.scenario.stage import Stage
from tests.scenario.watching import HUB, Overseer

Step = tuple[str, tuple[Any, ...]]
# Tasks of a daemon at four stores: probers and auditors, one for each attempt, HTTP connections.
MOST_TASKS = 120
# Virtual seconds until everything must be well after the last fault: a lock's two hours, and some backoffs.
RECOVERY = 6 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Seed:
    """An image that is there in the beginning."""

    mebibytes: int
    golden: bool
    stores: tuple[str, ...]


class Model:
    """Takes steps, checks after each, and sees to a happy end."""

    def __init__(self, stage: Stage, seeds: Sequence[Seed]) -> None:
        self.stage = stage
        self.fake = stage.fake
        self.overseer = Overseer(stage)
        stage.outside = self.overseer
        self.images = [
            self.fake.add_image(
                id=str(uuid.UUID(int=number + 1, version=4)),
                name=f"image-{number}",
                size=seed.mebibytes * MIB,
                tags=["golden"] if seed.golden else [],
                stores=list(seed.stores),
            )
            for number, seed in enumerate(seeds)
        ]
        self.edges = [store for store in self.fake.sim.stores if store != HUB]
        self.glance_up = True
        self._life = AsyncExitStack()
        self._uris = 0
        # Imports that were seen stalled: those take no slot, and come back to more than there are.
        self._stalled: set[AttemptId] = set()

    async def play(self, steps: Sequence[Step]) -> None:
        try:
            await self.restart()
            for name, arguments in steps:
                await getattr(self, name)(*arguments)
                if self.overseer.scissors.cut:
                    await self.restart()
                await self.check()
            await self.end_well()
        finally:
            await self._life.aclose()

    # ---- the daemon

    async def restart(self) -> None:
        await self._life.aclose()
        self._life = AsyncExitStack()
        self.overseer.scissors = Scissors(0)
        await self._life.enter_async_context(self.stage.life())

    async def die(self, after: int) -> None:
        """The daemon is killed at its n-th step from now on."""
        scissors = self.overseer.scissors
        scissors.at = scissors.passed + after

    async def ask(self, request: Coroutine[Any, Any, Any]) -> Any:
        """What the daemon answers; None for a refusal, and when it dies before it answers."""
        asking = asyncio.create_task(request)
        falling = asyncio.create_task(self.overseer.scissors.fall())
        try:
            await asyncio.wait({asking, falling}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() and not asking.cancelled() else None
        except EdgesyncError:
            return None
        finally:
            asking.cancel()
            falling.cancel()
            await asyncio.gather(asking, falling, return_exceptions=True)

    # ---- time and outages

    async def wait(self, seconds: float) -> None:
        await self.stage.clock.sleep(seconds)

    async def cut(self, store: str) -> None:
        self.stage.cut(store)

    async def cut_off(self, store: str) -> None:
        self.fake.unreachable(store)
        self.stage.pool(store).down()

    async def heal(self, store: str) -> None:
        self.stage.heal(store)

    async def refuse_writes(self, store: str) -> None:
        self.fake.failing(store)

    async def take_writes(self, store: str) -> None:
        self.fake.healthy(store)

    async def crash_worker(self) -> None:
        self.fake.crash_worker()

    async def stop_glance(self) -> None:
        if self.glance_up:
            self.glance_up = False
            await self.fake.stop()

    async def start_glance(self) -> None:
        if not self.glance_up:
            self.glance_up = True
            await self.fake.start()

    async def lose_answer(self, operation: str) -> None:
        self.fake.faults.add(Fault(operation=operation, kind=LoseAnswer()))

    async def reset(self, operation: str) -> None:
        self.fake.faults.add(Fault(operation=operation, kind=Reset()))

    # ---- rivals, and people behind Glance's back

    def _there(self, number: int) -> FakeImage | None:
        self.fake.update()
        return self.fake.sim.images.get(self.images[number % len(self.images)])

    async def rival_copies(self, number: int, stores: Sequence[str], must_succeed: bool) -> None:
        if (image := self._there(number)) is not None:
            try:
                self.fake.rival_import(image.id, stores, must_succeed=must_succeed)
            except RefusalError:
                return

    async def rival_deletes_copy(self, number: int, store: str) -> None:
        if (image := self._there(number)) is not None:
            try:
                self.fake.sim.delete_from_store(image.id, store, self.stage.clock.now())
            except RefusalError:
                return

    async def delete_image(self, number: int) -> None:
        if (image := self._there(number)) is not None:
            self.fake.delete_image(image.id)

    async def deactivate(self, number: int) -> None:
        if (image := self._there(number)) is not None and image.status == "active":
            self.fake.deactivate(image.id)

    async def reactivate(self, number: int) -> None:
        if (image := self._there(number)) is not None and image.status == "deactivated":
            self.fake.reactivate(image.id)

    async def leave_orphan(self, number: int, store: str, hours: int, open_: bool) -> None:
        image = self._there(number)
        name = self.images[number % len(self.images)]
        if (image is not None and store in image.stores) or self.stage.pool(store).has(name):
            return
        left = self.stage.pool(store).put_partial(name, MIB, written=1, watchers=int(open_))
        left.created_at -= timedelta(hours=hours)

    async def leave_stranger(self, store: str) -> None:
        """Somebody's image of which neither Glance nor we know anything."""
        self.stage.pool(store).put(str(uuid.UUID(int=99, version=4)), MIB).created_at -= timedelta(days=9)

    async def tamper(self, number: int, store: str, how: str) -> None:
        image, pool = self._there(number), self.stage.pool(store)
        if image is None or store not in image.stores or not pool.has(image.id) or pool.image(image.id).children:
            return
        rbd = pool.image(image.id)
        if how == "remove":
            pool.remove(image.id)
        elif how == "unprotect":
            rbd.protected = False
        elif how == "unsnap":
            rbd.snapshot = rbd.protected = False
        else:
            rbd.size += MIB

    async def clone(self, number: int, store: str) -> None:
        image, pool = self._there(number), self.stage.pool(store)
        if image is not None and store in image.stores and pool.has(image.id) and pool.image(image.id).protected:
            self.stage.pools.clone(store, image.id)

    # ---- a person

    async def copy(self, number: int, stores: Sequence[str], allow_failure: bool, urgent: bool) -> None:
        request = CopyRequest(
            image=self.images[number % len(self.images)],
            stores=tuple(stores),
            all_stores=not stores,
            allow_failure=allow_failure,
            urgent=urgent,
        )
        await self.ask(self.stage.running.intake.copy(request))

    async def remove(self, number: int, store: str, pause: bool) -> None:
        image = self.images[number % len(self.images)]
        await self.ask(self.stage.running.intake.remove(RemovalRequest(image=image, store=store, pause=pause)))

    async def import_uri(self, stores: Sequence[str], allow_failure: bool, status: int) -> None:
        self._uris += 1
        uri = self.fake.serve(f"http://images.example/{self._uris}", size=20 * MIB, status=status)
        request = ImportRequest(
            name=f"web-{self._uris}", uri=uri, stores=tuple(stores), all_stores=not stores, allow_failure=allow_failure
        )
        await self.ask(self.stage.running.intake.import_image(request))

    async def import_file(self, stores: Sequence[str], allow_failure: bool, whole: bool) -> None:
        self._uris += 1
        request = ImportRequest(name=f"file-{self._uris}", file=True, stores=tuple(stores), allow_failure=allow_failure)
        taken = await self.ask(self.stage.running.intake.import_image(request))
        if taken is not None:
            await self.ask(self.stage.running.intake.receive(taken.jobs[0].id, _data(whole=whole), "alice"))

    async def verify(self, number: int, stores: Sequence[str], deep: bool, repair: bool) -> None:
        image = self.images[number % len(self.images)]
        request = VerificationRequest(image=image, stores=tuple(stores), deep=deep, repair=repair)
        await self.ask(self.stage.running.intake.verify(request))

    async def cancel(self, number: int) -> None:
        jobs = (await self.stage.running.journal.ledger()).jobs
        if jobs:
            await self.ask(self.stage.running.intake.cancel(jobs[number % len(jobs)].id, "model"))

    async def pause(self, number: int, store: str, everything: bool) -> None:
        image = self.images[number % len(self.images)]
        request = PauseRequest(all=True) if everything else PauseRequest(image=image, store=store)
        await self.ask(self.stage.running.intake.pause(request))

    async def resume(self) -> None:
        for pause in (await self.stage.running.journal.ledger()).pauses:
            scope = Scope(image=pause.image, store=pause.store, all=pause.image is None and pause.store is None)
            await self.ask(self.stage.running.intake.resume(scope))

    # ---- what must hold at any time

    async def check(self) -> None:
        assert self.overseer.wrong == []
        ledger = await self.stage.running.journal.ledger()
        images = Counter(attempt.image for attempt in ledger.attempts)
        assert not images or max(images.values()) == 1, "two attempts at one image"
        assert len(asyncio.all_tasks()) < MOST_TASKS
        self._stalled |= self.stage.running.board.stalls.keys()
        running = [one for one in ledger.attempts if one.work.brings and one.id not in self._stalled]
        limits = self.stage.settings().limits
        staged = [one for one in running if one.work.value == "import"]
        assert len(running) - len(staged) <= limits.imports
        into = Counter(store for attempt in running if attempt not in staged for store in attempt.stores)
        assert not into or max(into.values()) <= limits.imports_per_store
        for job in await self.stage.jobs():
            if job.state.ended and not job.allow_failure and job.work.value == "copy":
                results = {entry.result for entry in job.stores}
                assert CopyResult.COPIED not in results or len(results) == 1 or self._cloned(job.image), job

    def _cloned(self, image: str) -> bool:
        return any(name == image for _, name in self.fake.sim.trouble.in_use)

    # ---- the end

    async def end_well(self) -> None:
        """Everything is mended but what edgesync has to mend itself, and it does."""
        self.fake.faults.clear()
        await self.start_glance()
        for store in self.fake.sim.stores:
            self.stage.heal(store)
            self.fake.healthy(store)
            for rbd in list(self.stage.pool(store).images.values()):
                self._help(store, rbd.name)
        for number in range(len(self.images)):
            await self.reactivate(number)
        self.overseer.scissors.at = 0
        if self.overseer.scissors.cut:
            await self.restart()
        await self.resume()
        left = RECOVERY
        while why := await self._unwell():
            assert left > 0, why
            await self.stage.clock.sleep(30)
            assert self.overseer.wrong == []
            left -= 30
        await self._check_history()

    def _help(self, store: str, name: str) -> None:
        """A person closes what was left open, and clears away what edgesync can't see."""
        pool = self.stage.pool(store)
        rbd, image = pool.image(name), self.fake.sim.images.get(name)
        listed = image is not None and store in image.stores
        writing = any(run.image.id == name and run.opened and run.store == store for run in self.fake.sim.runs)
        if not writing:
            rbd.watchers = 0
            if not listed and store not in self.stage.ceph:
                pool.remove(name)
        if rbd.children:
            self.stage.pools.unclone(store, name)

    async def _unwell(self) -> str:
        """What is not as it should be; empty: nothing."""
        if self.stage.running.showcase.picture is None:
            return "nothing was seen yet"
        ledger = await self.stage.running.journal.ledger()
        if ledger.attempts:
            return f"open: {ledger.attempts}"
        if ledger.jobs:
            return f"waiting: {ledger.jobs}, {self.stage.picture.plan.waiting}"
        if trouble := self.stage.running.showcase.health.trouble:
            return trouble
        for image in list(self.fake.sim.images.values()):
            for store in sorted(self._wanted(image)):
                if (why := self._wrong_with(image, store)) and not self._excused(image.id, store):
                    return f"{image.id} at {store} {why}: {self._shown(image.id, store)}"
        return self._left_over()

    def _wanted(self, image: FakeImage) -> set[str]:
        """The stores where the copy must be good: those of a policy, and wherever Glance lists one."""
        if image.status != "active" or not image.stores:
            return set()
        policies = [policy for policy in self.stage.policies if policy.match.tags <= set(image.tags)]
        writable = frozenset(StoreId(store) for store in self.fake.sim.stores)
        targets = {store for policy in policies for store in policy.targets(writable)}
        return targets | set(image.stores)

    def _wrong_with(self, image: FakeImage, store: str) -> str:
        if store not in image.stores:
            return "is missing"
        if store not in self.stage.ceph:
            return ""
        rbd = self.stage.pool(store).images.get(image.id)
        if rbd is None:
            return "has no data"
        good = rbd.size == image.size and rbd.snapshot and rbd.protected and rbd.written == rbd.size
        return "" if good else f"is broken ({rbd})"

    def _excused(self, image: ImageId | str, store: str) -> bool:
        """Whether the daemon shows a lasting reason why a human has to look."""
        found = [site.findings.get(ImageId(image)) for site in self.stage.picture.world.sites.values()]
        findings = {finding.store: finding for finding in found if finding is not None}
        here = findings.get(StoreId(store))
        reported = here is not None and (
            (bool(here.obstacle) and not here.passing) or (here.defect.broken and self._repair() is Repair.REPORT)
        )
        # Without a good copy at the hub, which only a human can bring back, there is nothing to copy from.
        hub = findings.get(StoreId(HUB))
        hollow = hub is not None and hub.defect.broken and self._excused_hub(hub.obstacle)
        return reported or (hollow and store != HUB)

    def _excused_hub(self, obstacle: str) -> bool:
        return bool(obstacle) or self._repair() is Repair.REPORT

    def _repair(self) -> Repair:
        return self.stage.settings().audit.repair

    def _left_over(self) -> str:
        """RBD images that nobody knows, where edgesync can see them and has the proof that it needs."""
        for pool in self.stage.pools:
            if pool.store not in self.stage.ceph:
                continue
            for name in pool.images:
                image = self.fake.sim.images.get(name)
                if image is not None and pool.store in image.stores:
                    continue
                if not self._excused(name, pool.store):
                    return f"{name} is left at {pool.store}"
        return ""

    def _shown(self, image: str, store: str) -> str:
        if ImageId(image) not in self.stage.picture.world.images:
            return "unknown"
        return str(self.stage.copy(image, store))

    async def _check_history(self) -> None:
        jobs = await self.stage.running.journal.jobs(limit=1000)
        ends = Counter(event.job for event in await self.stage.events(EventKind.JOB_ENDED))
        told = {job.id for job in jobs if job.stores}
        assert {job: ends[job] for job in told} == dict.fromkeys(told, 1)


async def _data(*, whole: bool) -> AsyncIterator[bytes]:
    yield bytes(1000)
    if not whole:
        raise ConnectionResetError
    yield bytes(1000)
