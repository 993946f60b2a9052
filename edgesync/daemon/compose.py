"""The composition root: from settings to the connected parts of a daemon."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from edgesync.clients.cluster import CephCluster
from edgesync.clients.glance import GlanceClient
from edgesync.clients.keystone import OpenStackAuth
from edgesync.config import Settings
from edgesync.daemon.clock import SystemClock
from edgesync.daemon.cycle import Cycle
from edgesync.daemon.intake import Intake
from edgesync.daemon.loop import Loop
from edgesync.daemon.recollection import Recollection
from edgesync.daemon.uploads import Uploads
from edgesync.daemon.wishes import audit_rules, pace_of, probe_rules, tuning_of, wishes_of
from edgesync.domain.job import Attempt, CopyResult, StoreResult
from edgesync.domain.ports import Clock, Cluster, Glance, Journal
from edgesync.domain.store import StoreId
from edgesync.execute.engines import engines_on
from edgesync.execute.progress import ProgressBoard
from edgesync.execute.record import Recorder
from edgesync.execute.runner import Runner
from edgesync.execute.stuck import Stuck
from edgesync.execute.tuning import Tuning
from edgesync.execute.workbench import Sightings, Workbench
from edgesync.expose.api import Api
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import ConfigHealth, Health, Showcase
from edgesync.journal import open_journal
from edgesync.observe.observer import Observer
from edgesync.observe.sites import Sites
from edgesync.plan.locks import Locks

# Operation, status, seconds: told of every exchange with Glance.
OnRequest = Callable[[str, str, float], None]
Clusters = Mapping[StoreId, Cluster]


@dataclass(frozen=True, kw_only=True, slots=True)
class Daemon:
    """The parts that somebody outside needs to hold."""

    glance: Glance
    journal: Journal
    clock: Clock
    showcase: Showcase
    observer: Observer
    sites: Sites
    cycle: Cycle
    loop: Loop
    runner: Runner
    recorder: Recorder
    tuning: Tuning
    board: ProgressBoard
    intake: Intake
    api: Api

    async def configure(self, settings: Settings) -> None:
        """Go by other settings from now on; they differ in nothing that needs a restart."""
        tuning = tuning_of(settings)
        self.tuning.poll, self.tuning.stall_after = tuning.poll, tuning.stall_after
        self.tuning.trash_delay, self.tuning.backoff = tuning.trash_delay, tuning.backoff
        self.observer.configure(full_every=timedelta(seconds=settings.polling.full_pass))
        self.loop.configure(pace_of(settings))
        self.cycle.configure(wishes_of(settings))
        self.loop.wake()
        await self.sites.configure(self.sites.clusters, probes=probe_rules(settings), audit=audit_rules(settings))


def observer_of(settings: Settings, glance: Glance, clock: Clock, locks: Locks) -> Observer:
    return Observer(
        glance, clock, hub=settings.hub, full_every=timedelta(seconds=settings.polling.full_pass), locks=locks
    )


def sites_of(settings: Settings, clusters: Clusters, glance: Glance, journal: Journal, clock: Clock) -> Sites:
    return Sites(
        clusters,
        clock,
        journal,
        glance,
        probes=probe_rules(settings),
        audit=audit_rules(settings),
        rng=random.random,
    )


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
async def reached(settings: Settings) -> AsyncIterator[Clusters]:
    """A client for the cluster of each store that says how to reach its Ceph; nothing is connected yet."""
    clusters = {
        store: CephCluster(store, entry.ceph, deadline=settings.probes.deadline)
        for store, entry in settings.stores.items()
        if entry.ceph is not None
    }
    try:
        yield clusters
    finally:
        await asyncio.gather(*(cluster.close() for cluster in clusters.values()))


@asynccontextmanager
async def composed(settings: Settings) -> AsyncIterator[Daemon]:
    """A whole daemon on the real clock, Glance, Ceph and journal; the journal is claimed for it alone."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        now = clock.now()
        showcase = Showcase(health=Health(started_at=now, config=ConfigHealth(loaded_at=now)))
        metrics = Metrics(showcase)
        journal = await open_journal(settings.journal.url)
        stack.push_async_callback(journal.close)
        await journal.claim()
        glance = await stack.enter_async_context(connected(settings, metrics.request))
        clusters = await stack.enter_async_context(reached(settings))
        daemon = assemble(
            settings,
            glance=glance,
            clusters=clusters,
            journal=journal,
            clock=clock,
            showcase=showcase,
            metrics=metrics,
        )
        stack.push_async_callback(daemon.sites.close)
        yield daemon


def assemble(
    settings: Settings,
    *,
    glance: Glance,
    clusters: Clusters,
    journal: Journal,
    clock: Clock,
    showcase: Showcase,
    metrics: Metrics,
) -> Daemon:
    """Wire the parts together. Tests give their own Glance, clusters and clock."""
    locks = Locks()
    observer = observer_of(settings, glance, clock, locks)
    sites = sites_of(settings, clusters, glance, journal, clock)
    board = ProgressBoard()
    recollection = Recollection()
    tuning = tuning_of(settings)
    cycle: Cycle
    loop: Loop

    def ended(attempt: Attempt, entry: StoreResult, seconds: float) -> None:
        metrics.ended(attempt.work, entry.store, entry.result, seconds)
        if not attempt.work.brings:
            recollection.cared_for(attempt, entry, clock.now())
        image = showcase.picture.world.images.get(attempt.image) if showcase.picture else None
        if entry.result is CopyResult.COPIED and image is not None:
            recollection.copied(entry.store, image.size or 0, seconds)

    recorder = Recorder(
        journal=journal, clock=clock, tuning=tuning, on_result=ended, on_change=lambda: cycle.ledger_changed()
    )
    bench = Workbench(
        glance=glance,
        recorder=recorder,
        clock=clock,
        board=board,
        sightings=Sightings(saw=observer.saw, lost=observer.lost),
        sites=sites,
        clusters=clusters,
        hub=settings.hub,
        locks=locks,
        tuning=tuning,
    )
    pools = {store: entry.ceph.pool for store, entry in settings.stores.items() if entry.ceph is not None}
    engines = engines_on(bench, pools=pools)
    runner = Runner(engines.by_work, clock, on_end=lambda: loop.wake(), on_stuck=Stuck(bench))
    cycle = Cycle(
        observer=observer,
        sites=sites,
        journal=journal,
        recorder=recorder,
        runner=runner,
        board=board,
        recollection=recollection,
        clock=clock,
        wishes=wishes_of(settings),
        showcase=showcase,
    )
    loop = Loop(cycle, clock, pace_of(settings), on_tick=metrics.tick)

    def asked() -> None:
        cycle.ledger_changed()
        loop.wake()

    async def methods() -> Collection[str]:
        if glance.level is None:
            await glance.check()
        return glance.level.methods if glance.level is not None else ()

    intake = Intake(
        showcase=showcase,
        observer=observer,
        journal=journal,
        clock=clock,
        on_job=asked,
        policies=lambda: cycle.policies,
        clusters=clusters,
        importer=Uploads(recorder=recorder, runner=runner, engine=engines.imports),
        methods=methods,
    )
    api = Api(showcase=showcase, journal=journal, counter=intake, metrics=metrics)
    return Daemon(
        glance=glance,
        journal=journal,
        clock=clock,
        showcase=showcase,
        observer=observer,
        sites=sites,
        cycle=cycle,
        loop=loop,
        runner=runner,
        recorder=recorder,
        tuning=tuning,
        board=board,
        intake=intake,
        api=api,
    )
