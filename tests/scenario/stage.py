"""A whole daemon on the fake Glance and a virtual clock: hours pass in milliseconds, and anything can be broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgesync.clients.glance import GlanceClient
from edgesync.config import PollingSettings, RetrySettings, Settings
from edgesync.config.schema import JournalSettings
from edgesync.daemon.compose import Daemon, assemble
from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, Event, EventKind, HistoryFilter, Job, JobState
from edgesync.domain.policy import Match, Policy
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Showcase
from edgesync.expose.requests import CopyRequest
from edgesync.journal import SqlJournal, open_journal
from tests.fakes.glance import FakeGlance, Timings, VirtualClock
from tests.fakes.glance.records import MIB

GOLDEN = Policy(name="golden", match=Match(tags=frozenset({"golden"})), stores=None)
# Virtual seconds after which something that should have happened has not.
PATIENCE = 900.0


class HeldJournal:
    """A journal during whose work virtual time stands still: it works in threads, which the clock can't see."""

    def __init__(self, journal: SqlJournal, clock: VirtualClock) -> None:
        self._journal = journal
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)

        async def held(*arguments: Any, **named: Any) -> Any:
            with self._clock.hold():
                return await method(*arguments, **named)

        return held


@dataclass(kw_only=True)
class Stage:
    """The fake, and the daemon that runs on it (again and again, if it is killed)."""

    fake: FakeGlance
    clock: VirtualClock
    journal_file: Path
    policies: tuple[Policy, ...]
    daemon: Daemon | None = None

    @property
    def running(self) -> Daemon:
        assert self.daemon is not None
        return self.daemon

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Daemon]:
        """One life of the daemon, from start to a death without any farewell."""
        settings = Settings(
            hub=StoreId("central"),
            policies=self.policies,
            journal=JournalSettings(url=f"sqlite+aiosqlite:///{self.journal_file}"),
            polling=PollingSettings.model_validate({"active": "500ms", "idle": "30s", "full_pass": "5m"}),
            retry=RetrySettings.model_validate({"first": "1m", "ceiling": "1h", "attempts": 5}),
        )
        showcase = Showcase(health=Health(started_at=self.clock.now()))
        metrics = Metrics(showcase)
        journal = cast("Journal", HeldJournal(await open_journal(settings.journal.url), self.clock))
        await journal.claim()
        async with GlanceClient(
            self.fake.auth("first", "second"), on_request=metrics.request, sleep=self.clock.sleep
        ) as glance:
            self.daemon = assemble(
                settings,
                glance=glance,
                clusters={},
                journal=journal,
                clock=self.clock,
                showcase=showcase,
                metrics=metrics,
            )
            looping = asyncio.create_task(self.daemon.loop.run())
            try:
                yield self.daemon
            finally:
                looping.cancel()
                with suppress(asyncio.CancelledError):
                    await looping
                await self.daemon.runner.stop()
                await self.daemon.sites.close()
                await journal.close()

    def add_golden(self, name: str = "rhel", *, mebibytes: int = 64, stores: Sequence[str] = ("central",)) -> ImageId:
        return self.fake.add_image(name=name, size=mebibytes * MIB, tags=["golden"], stores=list(stores))

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

    async def events(self, *kinds: EventKind) -> list[Event]:
        """Those of these kinds, oldest first."""
        found = await self.running.journal.history(HistoryFilter(limit=1000))
        return [event for event in reversed(found) if event.kind in kinds]

    async def attempts(self, image: str) -> tuple[Attempt, ...]:
        return await self.running.journal.attempts(image=ImageId(image))

    async def jobs(self, state: JobState | None = None) -> tuple[Job, ...]:
        return await self.running.journal.jobs(state=state)


@asynccontextmanager
async def set_stage(
    folder: Path,
    *,
    policies: Sequence[Policy] = (GOLDEN,),
    stores: Sequence[str] = ("central", "dcn0", "dcn1"),
    timings: Timings | None = None,
) -> AsyncIterator[Stage]:
    clock = VirtualClock()
    async with FakeGlance(stores, clock=clock, timings=timings) as fake:
        yield Stage(fake=fake, clock=clock, journal_file=folder / "journal.db", policies=tuple(policies))
