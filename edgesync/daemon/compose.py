"""The composition root: from settings to the connected parts of a daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from edgesync.clients.glance import GlanceClient
from edgesync.clients.keystone import OpenStackAuth
from edgesync.config import Settings
from edgesync.daemon.clock import SystemClock
from edgesync.daemon.cycle import Cycle, Wishes
from edgesync.daemon.intake import Intake
from edgesync.daemon.loop import Loop, Pace
from edgesync.domain.ports import Clock, Glance, Journal
from edgesync.execute.copy_image import CopyImageEngine, Sightings
from edgesync.execute.progress import ProgressBoard
from edgesync.execute.record import Recorder
from edgesync.execute.runner import Runner
from edgesync.expose.api import Api
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Showcase
from edgesync.journal import open_journal
from edgesync.observe.observer import Observer
from edgesync.plan.budget import Budget
from edgesync.plan.retry import Backoff

# Operation, status, seconds: told of every exchange with Glance.
OnRequest = Callable[[str, str, float], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Daemon:
    """The parts that somebody outside needs to hold."""

    glance: Glance
    journal: Journal
    clock: Clock
    showcase: Showcase
    cycle: Cycle
    loop: Loop
    runner: Runner
    recorder: Recorder
    board: ProgressBoard
    intake: Intake
    api: Api


def wishes_of(settings: Settings) -> Wishes:
    return Wishes(
        policies=settings.policies,
        budget=Budget(
            imports=settings.limits.imports,
            per_store=settings.limits.imports_per_store,
            stores=settings.stores,
        ),
        retention=timedelta(seconds=settings.journal.retention),
        hub_from=settings.where("hub"),
    )


def observer_of(settings: Settings, glance: Glance, clock: Clock) -> Observer:
    return Observer(glance, clock, hub=settings.hub, full_every=timedelta(seconds=settings.polling.full_pass))


@asynccontextmanager
async def connected(settings: Settings, on_request: OnRequest = lambda *_: None) -> AsyncIterator[GlanceClient]:
    """A Glance client with the settings' credentials."""
    files = [str(settings.clouds_file)] if settings.clouds_file else None
    auth = OpenStackAuth(cloud=settings.cloud, config_files=files, region=settings.region)
    try:
        async with GlanceClient(
            auth,
            deadline=settings.glance.timeout,
            page_size=settings.glance.page_size,
            on_request=on_request,
        ) as glance:
            yield glance
    finally:
        await auth.close()


@asynccontextmanager
async def composed(settings: Settings) -> AsyncIterator[Daemon]:
    """A whole daemon on the real clock, Glance and journal; the journal is claimed for it alone."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        showcase = Showcase(health=Health(started_at=clock.now()))
        metrics = Metrics(showcase)
        journal = await open_journal(settings.journal.url)
        stack.push_async_callback(journal.close)
        await journal.claim()
        glance = await stack.enter_async_context(connected(settings, metrics.request))
        yield assemble(settings, glance=glance, journal=journal, clock=clock, showcase=showcase, metrics=metrics)


def assemble(
    settings: Settings, *, glance: Glance, journal: Journal, clock: Clock, showcase: Showcase, metrics: Metrics
) -> Daemon:
    """Wire the parts together. Tests give their own Glance and clock."""
    observer = observer_of(settings, glance, clock)
    board = ProgressBoard()
    cycle: Cycle
    loop: Loop
    recorder = Recorder(
        journal=journal,
        clock=clock,
        backoff=Backoff(first=settings.retry.first, ceiling=settings.retry.ceiling, attempts=settings.retry.attempts),
        on_result=metrics.copied,
        on_change=lambda: cycle.ledger_changed(),
    )
    engine = CopyImageEngine(
        glance,
        recorder,
        clock,
        board,
        Sightings(saw=observer.saw, lost=observer.lost),
        poll=settings.polling.active,
    )
    runner = Runner(engine, clock, on_end=lambda: loop.wake())
    cycle = Cycle(
        observer=observer,
        journal=journal,
        recorder=recorder,
        runner=runner,
        board=board,
        clock=clock,
        wishes=wishes_of(settings),
        showcase=showcase,
    )
    pace = Pace(active=settings.polling.active, idle=settings.polling.idle)
    loop = Loop(cycle, clock, pace, on_tick=metrics.tick)

    def job_came() -> None:
        cycle.ledger_changed()
        loop.wake()

    intake = Intake(showcase=showcase, observer=observer, journal=journal, clock=clock, on_job=job_came)
    api = Api(showcase=showcase, journal=journal, counter=intake, metrics=metrics)
    return Daemon(
        glance=glance,
        journal=journal,
        clock=clock,
        showcase=showcase,
        cycle=cycle,
        loop=loop,
        runner=runner,
        recorder=recorder,
        board=board,
        intake=intake,
        api=api,
    )
