"""A whole daemon on the fake Glance and a virtual clock: hours pass in milliseconds, and anything can be broken."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import aiosqlite.core
import yaml

from edgesync.clients.glance import GlanceClient
from edgesync.config import Settings, load
from edgesync.daemon.compose import Daemon, assemble
from edgesync.domain.block_ports import Blocks
from edgesync.domain.copy import CopyState, WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, Event, EventKind, HistoryFilter, Job, JobState
from edgesync.domain.policy import Match, Policy
from edgesync.domain.ports import Cluster, Glance, Journal
from edgesync.domain.store import StoreId
from edgesync.expose.matrix import copy_view
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Picture, Showcase
from edgesync.expose.requests import CopyRequest
from edgesync.expose.views import CopyView
from edgesync.journal import SqlJournal, open_journal
from tests.fakes.blocks import FakeBlocks, made_up
from tests.fakes.credentials import known_access
from tests.fakes.glance import FakeGlance, Timings, VirtualClock
from tests.fakes.glance.records import MIB
from tests.scenario.pools import Pool, Pools

GOLDEN = Policy(name="golden", match=Match(tags=frozenset({"golden"})), stores=None)
STORES = ("central", "dcn0", "dcn1")
# Where files are in memory; None: wherever the system puts temporary ones.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - folders in it have random names
# Virtual seconds after which something that should have happened has not.
PATIENCE = 900.0
# The configuration that every stage has, unless its own says otherwise.
DOCUMENT: Mapping[str, Any] = {
    "hub": "central",
    "polling": {"active": "500ms", "idle": "30s", "full_pass": "5m"},
    "retry": {"first": "1m", "ceiling": "1h", "attempts": 5},
}


class Inline(Executor):
    """Does at once what threads would do: they work in real time, of which the clock knows nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*arguments, **named))
        return done


class AtOnce:
    """Where aiosqlite puts work for its thread: done here and now, and answered in a later round as the thread does."""

    def put_nowait(self, work: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = work
        try:
            result = function()
        except sqlite3.Error as error:
            answer = partial(aiosqlite.core.set_exception, e=error)
        else:
            answer = partial(aiosqlite.core.set_result, result=result)
        if future is not None:
            future.get_loop().call_soon(answer, future)


class Unneeded:
    """The thread, to which nothing is left to do."""

    def __init__(self, **_: Any) -> None:
        self.daemon = True

    def start(self) -> None:
        pass


class HeldJournal:
    """A journal during whose work virtual time stands still: it takes more rounds than the clock waits for."""

    def __init__(self, journal: SqlJournal, clock: VirtualClock) -> None:
        self._journal = journal
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)

        async def held(*arguments: Any, **named: Any) -> Any:
            with self._clock.hold():
                return await method(*arguments, **named)

        return held


class Outside:
    """Everything outside the daemon as it sees it; a test that wants to interfere overrides a method."""

    def journal(self, journal: Journal) -> Journal:
        return journal

    def glance(self, glance: Glance) -> Glance:
        return glance

    def cluster(self, cluster: Cluster) -> Cluster:
        return cluster

    def blocks(self, blocks: Blocks) -> Blocks:
        return blocks


@dataclass(kw_only=True)
class Stage:
    """The fake, and the daemon that runs on it (again and again, if it is killed)."""

    fake: FakeGlance
    clock: VirtualClock
    folder: Path
    policies: tuple[Policy, ...]
    # Laid over DOCUMENT, as it would be written in the configuration file.
    document: dict[str, Any]
    pools: Pools
    # Stores whose Ceph the daemon can ask; the pools are there all the same.
    ceph: frozenset[str]
    # What the rbd engine works with; empty: Glance makes all copies.
    blocks: Mapping[str, FakeBlocks] = field(default_factory=dict)
    outside: Outside = field(default_factory=Outside)
    daemon: Daemon | None = None
    # Moments at which something was to happen, and that have not come.
    awaited: list[str] = field(default_factory=list)

    @property
    def running(self) -> Daemon:
        assert self.daemon is not None
        return self.daemon

    @property
    def picture(self) -> Picture:
        picture = self.running.showcase.picture
        assert picture is not None
        return picture

    def settings(self) -> Settings:
        """As the daemon reads them from its file."""
        sites = {
            store: {"ceph": {"conf": f"/etc/ceph/{store}.conf", "user": "edgesync"}} for store in sorted(self.ceph)
        }
        journal = {"url": f"sqlite+aiosqlite:///{self.folder / 'journal.db'}"}
        engine = {"enabled": bool(self.blocks)}
        document = _laid_over({**DOCUMENT, "journal": journal, "stores": sites, "rbd": engine}, self.document)
        file = self.folder / "edgesync.yaml"
        file.write_text(yaml.safe_dump(document))
        return replace(load(file, environ={}), policies=self.policies)

    @asynccontextmanager
    async def life(self, *, single: bool = False) -> AsyncIterator[Daemon]:
        """One life of the daemon, from start to a death without any farewell; a `single` run's turns are the test's."""
        settings = self.settings()
        showcase = Showcase(health=Health(started_at=self.clock.now()))
        metrics = Metrics(showcase)
        held = HeldJournal(await open_journal(settings.journal.url), self.clock)
        journal = self.outside.journal(cast("Journal", held))
        await held.claim()
        async with GlanceClient(
            self.fake.auth("first", "second"), on_request=metrics.request, sleep=self.clock.sleep
        ) as glance:
            self.daemon = assemble(
                settings,
                glance=self.outside.glance(glance),
                clusters={StoreId(store): self.outside.cluster(self.pools[store]) for store in sorted(self.ceph)},
                blocks={StoreId(store): self.outside.blocks(pool) for store, pool in self.blocks.items()},
                journal=journal,
                clock=self.clock,
                showcase=showcase,
                metrics=metrics,
                access=known_access(),
                lasting=not single,
            )
            lasting = () if single else (self.daemon.loop, self.daemon.freeing)
            living = [asyncio.create_task(work.run()) for work in lasting]
            try:
                yield self.daemon
            finally:
                for task in living:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                await self.daemon.verifier.stop()
                await self.daemon.runner.stop()
                self.daemon.mover.close()
                await self.daemon.sites.close()
                await held.close()

    # ---- what a test does to the world

    def pool(self, store: str) -> Pool:
        return self.pools[store]

    def cut(self, store: str) -> None:
        """The site dies: Glance's writes hang, and Ceph does not answer."""
        self.fake.dead(store)
        self.pools[store].down()

    def heal(self, store: str) -> None:
        self.fake.revive(store)
        self.pools[store].up()

    def add_golden(self, name: str = "rhel", *, mebibytes: int = 64, stores: Sequence[str] = ("central",)) -> ImageId:
        return self.fake.add_image(name=name, size=mebibytes * MIB, tags=["golden"], stores=list(stores))

    def add_raw(
        self, name: str = "rhel", *, data: bytes | None = None, mebibytes: int = 16, tags: Sequence[str] = ("golden",)
    ) -> ImageId:
        """An image with the hash of its data at the hub: without `data`, of what everybody's copies are made of."""
        size = len(data) if data is not None else mebibytes * MIB
        image = self.fake.add_image(name=name, size=size, tags=list(tags))
        if data is not None:
            self.blocks["central"].put(image, data)
        else:
            data = made_up(image, size, size).read(0, size, snapshot=False)
        self.fake.change_image(image, hash_value=hashlib.sha512(data).hexdigest())
        return image

    async def until(self, holds: Callable[[], bool], what: str, *, within: float = PATIENCE) -> None:
        """Let virtual time pass until something holds."""
        left = within
        while not holds():
            assert left > 0, f"not within {within} s: {what}"
            await self.clock.sleep(0.25)
            left -= 0.25

    async def until_at(self, image: str, *stores: str) -> None:
        """Wait until the copies are there, and the journal knows."""
        await self.until(lambda: set(stores) <= set(self.fake.image(image).stores), f"{image} at {stores}")
        await self.until_recorded()

    async def until_recorded(self) -> None:
        """Wait until no attempt is open, neither in the journal nor in what is shown."""
        left = PATIENCE
        while (await self.running.journal.ledger()).attempts or self._shows_attempts():
            assert left > 0, "an attempt stays open"
            await self.clock.sleep(0.25)
            left -= 0.25

    def _shows_attempts(self) -> bool:
        picture = self.running.showcase.picture
        return picture is None or bool(picture.attempts)

    def imports(self, image: str) -> list[str]:
        """The stores of the imports that Glance accepted for an image, by anybody, in order: none comes twice."""
        return [store for name, stores in self.fake.accepted if name == image for store in stores]

    async def ask(self, image: str, *stores: str, allow_failure: bool = True) -> Job:
        request = CopyRequest(image=image, stores=stores, all_stores=not stores, allow_failure=allow_failure)
        await self.until(lambda: self.running.showcase.picture is not None, "first look")
        return (await self.running.intake.copy(request)).jobs[0]

    async def ended(self, job: Job) -> Job:
        """The job, once it has ended."""
        left = PATIENCE
        while True:
            now = await self.running.journal.job(job.id)
            if now.state.ended:
                return now
            assert left > 0, f"job did not end: {now}"
            await self.clock.sleep(0.5)
            left -= 0.5

    def copy(self, image: str, store: str) -> CopyView:
        """What is shown of one copy."""
        return copy_view(self.picture, self.picture.world.images[ImageId(image)], StoreId(store))

    def waits(self, image: str, store: str, reason: WaitReason) -> bool:
        """Whether the copy is shown as waiting for that reason."""
        if self.running.showcase.picture is None or image not in self.picture.world.images:
            return False
        view = self.copy(image, store)
        return view.state is CopyState.WAITING and any(
            reason is waiting.reason
            for waiting in self.picture.plan.waiting
            if waiting.image == image and store in waiting.stores
        )

    async def events(self, *kinds: EventKind) -> list[Event]:
        """Those of these kinds, oldest first."""
        found = await self.running.journal.history(HistoryFilter(limit=1000))
        return [event for event in reversed(found) if event.kind in kinds]

    async def attempts(self, image: str) -> tuple[Attempt, ...]:
        return await self.running.journal.attempts(image=ImageId(image))

    async def jobs(self, state: JobState | None = None) -> tuple[Job, ...]:
        return await self.running.journal.jobs(state=state)


# What is done in real time: virtual hours would go by meanwhile. And what the way to a thread and back would slow down.
HASTE = {
    "edgesync.execute.rbd.engine.ThreadPoolExecutor": Inline,
    "edgesync.execute.rbd.spread.PATIENCE": 0.05,
    "aiosqlite.core.SimpleQueue": AtOnce,
    "aiosqlite.core.Thread": Unneeded,
}


def _laid_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = _laid_over(base[key], value) if both else value
    return merged


@asynccontextmanager
async def set_stage(
    folder: Path,
    *,
    policies: Sequence[Policy] = (GOLDEN,),
    stores: Sequence[str] = STORES,
    timings: Timings | None = None,
    ceph: bool | Sequence[str] = True,
    blocks: bool = False,
    **document: Any,
) -> AsyncIterator[Stage]:
    """The rest is laid over the configuration: `set_stage(folder, ceph=False, stall={"after": "5m"})`.

    With `blocks` the rbd engine is there, and makes what copies it can.
    """
    clock = VirtualClock()
    async with FakeGlance(stores, clock=clock, timings=timings) as fake:
        reached = stores if ceph is True else ceph or ()
        fake.sim.show_locations = blocks
        pools = Pools(fake, stores)
        with ExitStack() as hasty:
            for name, value in HASTE.items():
                hasty.enter_context(patch(name, value))
            stage = Stage(
                fake=fake,
                clock=clock,
                folder=folder,
                policies=tuple(policies),
                document=document,
                pools=pools,
                ceph=frozenset(reached),
                blocks={store: FakeBlocks(pools[store]) for store in stores} if blocks else {},
            )
            yield stage
            assert stage.awaited == [], "these moments never came"
