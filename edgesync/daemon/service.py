"""The three ways to run: `run` for ever, `once` to convergence, `plan` without touching anything."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import structlog
from aiohttp import web

from edgesync import __version__
from edgesync.config import Settings
from edgesync.daemon.clock import SystemClock
from edgesync.daemon.compose import Daemon, composed, connected, observer_of, wishes_of
from edgesync.daemon.cycle import check_hub, decide
from edgesync.domain.job import Event, EventKind
from edgesync.domain.store import Topology
from edgesync.errors import ConfigError, TransientError
from edgesync.execute.progress import ProgressBoard
from edgesync.expose.picture import Picture
from edgesync.journal import open_journal
from edgesync.plan.situation import Situation
from edgesync.plan.wants import Wants, update_wants

log = structlog.get_logger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Shows people how a single run goes on, until it is cancelled.
Watch = Callable[[Daemon], Coroutine[Any, Any, None]]
# Seconds for open HTTP requests to end when the daemon stops.
FAREWELL = 5.0


class Ending(Enum):
    """Why a single run ended."""

    CONVERGED = "every copy that could be made has had its try"
    TIMED_OUT = "time was up"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a single run ended."""

    ending: Ending
    picture: Picture | None
    # Imports that go on in Glance; the next run follows them.
    left_running: int


async def run(settings: Settings) -> None:
    """Be the daemon until SIGTERM or SIGINT."""
    # The API first: while Glance is slow to answer, it says so.
    async with composed(settings) as daemon, _serving(settings, daemon):
        with _stopping(daemon.loop.stop):
            await daemon.loop.unless_stopped(_check_cloud(settings, daemon))
            async with _lived(daemon):
                await daemon.loop.run()


async def once(settings: Settings, *, deadline: float, watch: Watch) -> Outcome:
    """Make every wanted copy that can be made now. `watch` runs beside it, for people."""
    async with composed(settings) as daemon:
        watching = asyncio.create_task(watch(daemon))
        ending = Ending.INTERRUPTED
        try:
            with _stopping(daemon.loop.stop):
                async with asyncio.timeout(deadline):
                    if await daemon.loop.run_once(daemon.clock.now()):
                        ending = Ending.CONVERGED
        except TimeoutError:
            ending = Ending.TIMED_OUT
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            left = await daemon.runner.stop()
        return Outcome(ending=ending, picture=daemon.showcase.picture, left_running=left)


async def plan(settings: Settings) -> Picture:
    """Look and decide; change nothing. A daemon may be at work beside it."""
    clock = SystemClock()
    wishes = wishes_of(settings)
    journal = await open_journal(settings.journal.url, readonly=True)
    try:
        async with connected(settings) as glance:
            await glance.check()
            world = (await observer_of(settings, glance, clock).look()).world
            check_hub(world.topology, wishes)
            ledger = await journal.ledger()
            situation = Situation(
                world=world,
                wants=update_wants(Wants(), world, wishes.policies),
                ledger=ledger,
                budget=wishes.budget,
                now=clock.now(),
                followed=frozenset(attempt.id for attempt in ledger.attempts),
            )
            return decide(situation, ProgressBoard())
    finally:
        await journal.close()


async def _check_cloud(settings: Settings, daemon: Daemon) -> None:
    """Refuse to start on what waiting can't mend; a Glance that is merely away is waited for."""
    try:
        version = await daemon.glance.check()
        stores = await daemon.glance.stores()
    except TransientError as error:
        log.warning("Glance does not answer yet", why=error.message, remedy=error.remedy)
    else:
        check_hub(Topology(hub=settings.hub, stores={store.id: store for store in stores}), wishes_of(settings))
        log.info("Glance answers", version=version, hub=settings.hub)


@asynccontextmanager
async def _serving(settings: Settings, daemon: Daemon) -> AsyncIterator[None]:
    runner = web.AppRunner(daemon.api.application(), access_log=None, shutdown_timeout=FAREWELL)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.api.host, settings.api.port).start()
        except OSError as error:
            place = settings.where("api", "listen")
            raise ConfigError(
                [f"{place}: api.listen: expected a free address, found {settings.api.listen}: {error.strerror}"],
                remedy="is another edgesync running? Otherwise choose another port",
            ) from error
        log.info("listening", url=f"http://{settings.api.listen}", version=__version__)
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _lived(daemon: Daemon) -> AsyncIterator[None]:
    """Events at both ends of the daemon's life; running imports are handed over to the next one."""
    await _tell(daemon, EventKind.DAEMON_STARTED, f"edgesync {__version__} started")
    try:
        yield
    finally:
        left = await daemon.runner.stop()
        told = f"stopped; left running in Glance, to be followed at the next start: {left}" if left else "stopped"
        await _tell(daemon, EventKind.DAEMON_STOPPED, told)
        log.info(told)


async def _tell(daemon: Daemon, kind: EventKind, message: str) -> None:
    await daemon.journal.add_events([Event(at=daemon.clock.now(), kind=kind, message=message)])


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
