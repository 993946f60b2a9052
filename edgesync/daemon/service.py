"""The three ways to run: `run` for ever, `once` to convergence, `plan` without touching anything."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import structlog

from edgesync import __version__
from edgesync.config import Settings
from edgesync.daemon.basing import bases_in
from edgesync.daemon.clock import SystemClock
from edgesync.daemon.compose import Clusters, Daemon, composed, observer_of, pools_of, sites_of
from edgesync.daemon.connecting import connected, opened, reached
from edgesync.daemon.cycle import check_hub, decide
from edgesync.daemon.doors import doors_of, serving
from edgesync.daemon.forecast import Forecast
from edgesync.daemon.pruning import pruning_policies
from edgesync.daemon.recollection import recalled
from edgesync.daemon.reloading import Read, Reloader
from edgesync.daemon.situating import situate
from edgesync.daemon.systemd import Systemd, in_a_line
from edgesync.daemon.wishes import tuning_of, wishes_of
from edgesync.domain.block_ports import Blocks
from edgesync.domain.job import Event, EventKind
from edgesync.domain.ports import Clock, Glance, Journal
from edgesync.domain.store import StoreId, Topology
from edgesync.errors import EdgesyncError, TransientError
from edgesync.execute.beside import beside
from edgesync.execute.progress import ProgressBoard
from edgesync.execute.runner import HandedOver
from edgesync.expose.picture import Picture
from edgesync.journal import open_journal
from edgesync.observe.sites import Sites
from edgesync.plan.locks import Locks
from edgesync.plan.wants import Wants, update_wants

log = structlog.get_logger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Shows people how a single run goes on, until it is cancelled.
Watch = Callable[[Daemon], Coroutine[Any, Any, None]]
# Of the newest attempts, as many tell what a daemon remembers of the last day's.
RECALLED = 1000


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
    # What goes on in Glance or waits; the next run takes it up.
    left: HandedOver


async def run(settings: Settings, read: Read) -> None:
    """Be the daemon until SIGTERM or SIGINT; at SIGHUP, `read` the configuration again."""
    async with (
        doors_of(settings) as doors,
        composed(settings, doors.access, doors.certificate) as daemon,
        # The API first: while Glance is slow to answer, it says so.
        serving(settings, daemon.api.application(), doors),
        beside(doors=doors.run()),
    ):
        await _live(settings, daemon, read)


async def _live(settings: Settings, daemon: Daemon, read: Read) -> None:
    systemd = Systemd(os.environ)
    reloader = Reloader(daemon, settings, read, systemd.reloading)
    with _on_signals(STOP_SIGNALS, daemon.loop.stop), _on_signals((signal.SIGHUP,), reloader.ask):
        await daemon.loop.unless_stopped(_check_cloud(settings, daemon))
        async with (
            _lived(daemon),
            beside(
                reloading=reloader.run(),
                freeing=daemon.freeing.run(),
                scrub=daemon.scrub.run(),
                systemd=systemd.attend(lambda: in_a_line(daemon.showcase), lambda: daemon.loop.turning_for),
            ),
        ):
            systemd.ready()
            try:
                await daemon.loop.run()
            finally:
                systemd.stopping()


async def once(settings: Settings, *, deadline: float, watch: Watch) -> Outcome:
    """Make every wanted copy that can be made now. `watch` runs beside it, for people."""
    async with composed(settings, lasting=False) as daemon:
        watching = asyncio.create_task(watch(daemon))
        ending = Ending.INTERRUPTED
        try:
            with _on_signals(STOP_SIGNALS, daemon.loop.stop):
                async with asyncio.timeout(deadline):
                    if await daemon.loop.run_once(daemon.clock.now()):
                        ending = Ending.CONVERGED
        except TimeoutError:
            ending = Ending.TIMED_OUT
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await daemon.verifier.stop()
            left = await daemon.runner.stop()
        return Outcome(ending=ending, picture=daemon.showcase.picture, left=left)


async def plan(settings: Settings) -> Picture:
    """Look and decide; change nothing. A daemon may be at work beside it."""
    journal = await open_journal(settings.journal.url, readonly=True)
    try:
        async with connected(settings) as glance, reached(settings) as clusters, opened(settings) as blocks:
            await glance.check()
            return await planned(settings, glance, clusters, blocks, journal, SystemClock())
    finally:
        await journal.close()


async def planned(
    settings: Settings,
    glance: Glance,
    clusters: Clusters,
    blocks: Mapping[StoreId, Blocks],
    journal: Journal,
    clock: Clock,
) -> Picture:
    """What a daemon would plan that has been at work here. What it did lately, the journal tells."""
    wishes = wishes_of(settings)
    observer = observer_of(settings, glance, clock, Locks())
    world = (await observer.look()).world
    check_hub(world.topology, wishes)
    async with _watched(sites_of(settings, clusters, glance, journal, clock)) as sites:
        sites.see(world.images, world.topology)
        await sites.first(audit=True)
        world = replace(world, sites=sites.sites(world.topology.stores))
    ledger = await journal.ledger()
    situation = await situate(
        journal,
        world,
        update_wants(Wants(), world, wishes.policies, edge_origin=wishes.rules.edge_origin),
        ledger,
        wishes,
        recalled(await journal.attempts(limit=RECALLED), world.images),
        now=clock.now(),
        followed=frozenset(attempt.id for attempt in ledger.attempts),
        locations=observer.shows_locations,
        # Nothing else is done with them than to prune.
        bases=await bases_in(world, blocks, pools_of(settings)) if pruning_policies(wishes.policies) else frozenset(),
    )
    picture = decide(situation, ProgressBoard())
    forecast = Forecast(journal, clusters, blocks, tuning_of(settings), clock, hub=settings.hub)
    return replace(picture, ways=await forecast.of(picture.plan.starts, world.images))


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
async def _lived(daemon: Daemon) -> AsyncIterator[None]:
    """Events at both ends of the daemon's life; running imports are handed over to the next one."""
    await _tell(daemon, EventKind.DAEMON_STARTED, f"edgesync {__version__} started")
    try:
        yield
    finally:
        await daemon.verifier.stop()
        left = await daemon.runner.stop()
        told = f"stopped; {left.sentence}" if left.sentence else "stopped"
        log.info(told)
        try:
            await _tell(daemon, EventKind.DAEMON_STOPPED, told)
        except EdgesyncError as error:
            log.error("event not recorded", kind=EventKind.DAEMON_STOPPED, why=error.message, remedy=error.remedy)  # noqa: TRY400 - a sentence for people


async def _tell(daemon: Daemon, kind: EventKind, message: str) -> None:
    await daemon.journal.add_events([Event(at=daemon.clock.now(), kind=kind, message=message)])


@asynccontextmanager
async def _watched(sites: Sites) -> AsyncIterator[Sites]:
    try:
        yield sites
    finally:
        await sites.close()


@contextmanager
def _on_signals(numbers: Iterable[signal.Signals], then: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, then)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
