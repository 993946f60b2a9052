"""The composition root: from settings to the connected parts of a daemon."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Collection, Mapping, Set
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from edgesync.config import Settings
from edgesync.daemon.basing import bases_in
from edgesync.daemon.certificates import Certificate
from edgesync.daemon.clock import SystemClock
from edgesync.daemon.connecting import connected, opened, reached
from edgesync.daemon.cycle import Bases, Copies, Cycle
from edgesync.daemon.forecast import Forecast
from edgesync.daemon.intake import Intake
from edgesync.daemon.layers import Place
from edgesync.daemon.loop import Loop
from edgesync.daemon.recollection import Recollection
from edgesync.daemon.scrub import Scrub
from edgesync.daemon.uploads import Uploads
from edgesync.daemon.wishes import audit_rules, pace_of, probe_rules, scrub_rules, tuning_of, wishes_of
from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, CopyResult, EngineChoice, StoreResult
from edgesync.domain.ports import Clock, Cluster, Glance, Journal
from edgesync.domain.site import BreakerState
from edgesync.domain.store import StoreId
from edgesync.domain.world import World
from edgesync.execute.engines import engines_on
from edgesync.execute.freeing import Freeing, Scene
from edgesync.execute.progress import ProgressBoard
from edgesync.execute.rbd.engine import RbdEngine
from edgesync.execute.record import Recorder
from edgesync.execute.repair import Wished
from edgesync.execute.runner import Runner
from edgesync.execute.stuck import Stuck
from edgesync.execute.tuning import Tuning
from edgesync.execute.verifier import Verifier
from edgesync.execute.workbench import Sightings, Workbench
from edgesync.expose.access import Access
from edgesync.expose.api import Api
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import ConfigHealth, Health, Picture, Showcase
from edgesync.journal import open_journal
from edgesync.observe.observer import Observer
from edgesync.observe.sites import Sites
from edgesync.plan.demand import engine_wished
from edgesync.plan.locks import Locks

Clusters = Mapping[StoreId, Cluster]
# Where no API is served.
NOBODY = Access(files=())


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
    mover: RbdEngine
    verifier: Verifier
    scrub: Scrub
    recorder: Recorder
    tuning: Tuning
    board: ProgressBoard
    freeing: Freeing
    intake: Intake
    api: Api

    async def configure(self, settings: Settings) -> None:
        """Go by other settings from now on; they differ in nothing that needs a restart."""
        self.tuning.replace(tuning_of(settings))
        self.observer.configure(full_every=timedelta(seconds=settings.polling.full_pass))
        self.loop.configure(pace_of(settings))
        self.cycle.configure(wishes_of(settings))
        self.scrub.configure(scrub_rules(settings))
        self.loop.wake()
        await self.sites.configure(self.sites.clusters, probes=probe_rules(settings), audit=audit_rules(settings))


def pools_of(settings: Settings) -> Mapping[StoreId, str]:
    """Where the images lie, of the stores whose Ceph is configured."""
    return {store: entry.ceph.pool for store, entry in settings.stores.items() if entry.ceph is not None}


def places_of(
    pools: Mapping[StoreId, str], clusters: Clusters, blocks: Mapping[StoreId, Blocks]
) -> Mapping[StoreId, Place]:
    return {
        store: Place(pool=pool, cluster=clusters[store], blocks=blocks[store])
        for store, pool in pools.items()
        if store in clusters and store in blocks
    }


def observer_of(settings: Settings, glance: Glance, clock: Clock, locks: Locks) -> Observer:
    return Observer(
        glance, clock, hub=settings.hub, full_every=timedelta(seconds=settings.polling.full_pass), locks=locks
    )


def sites_of(settings: Settings, clusters: Clusters, glance: Glance, journal: Journal, clock: Clock) -> Sites:
    return Sites(
        clusters, clock, journal, glance, probes=probe_rules(settings), audit=audit_rules(settings), rng=random.random
    )


def scene_of(
    picture: Picture | None, leaving: Set[tuple[ImageId, StoreId]], stores: Collection[StoreId]
) -> Scene | None:
    """What the background work on chains goes by; None before there is a picture."""
    if picture is None:
        return None
    return Scene(
        images=picture.world.images,
        sites=picture.world.sites,
        pauses=picture.ledger.pauses,
        leaving=leaving,
        shorten=picture.rules.rbd,
        max_fill={store: picture.settings_of(store).max_pool_fill for store in stores},
    )


def bases_by(
    freeing: Freeing, blocks: Mapping[StoreId, Blocks], pools: Mapping[StoreId, str], *, lasting: bool
) -> Bases:
    """What must not be pruned yet; where no background work looks at the sites, each turn does."""

    async def seen(world: World, leaving: Copies) -> Copies:
        concerned = {store for _, store in leaving}
        return await bases_in(world, {store: blocks[store] for store in concerned & blocks.keys()}, pools)

    async def held(world: World, leaving: Copies) -> Copies:
        waiting = freeing.held(leaving)
        if not world.full:
            return waiting
        # Pruning goes by complete looks at Glance alone: it is not left to the next of them.
        unjudged = {copy for copy in waiting - freeing.bases if _answers(world, copy[1])}
        return waiting - (unjudged - await seen(world, unjudged))

    return held if lasting else seen


def _answers(world: World, store: StoreId) -> bool:
    """Whether the site is known to answer."""
    site = world.sites.get(store)
    return site is not None and site.breaker.state is BreakerState.CLOSED


def wished_by(showcase: Showcase) -> Wished:
    """What whoever wants a copy says of its engine, by the last picture."""

    def wished(image: ImageId, store: StoreId) -> EngineChoice:
        seen = showcase.picture
        if seen is None:
            return EngineChoice.AUTO
        return engine_wished(image, store, ledger=seen.ledger, wants=seen.wants, topology=seen.world.topology)

    return wished


@asynccontextmanager
async def composed(
    settings: Settings, access: Access = NOBODY, certificate: Certificate | None = None, *, lasting: bool = True
) -> AsyncIterator[Daemon]:
    """A whole daemon on the real clock, Glance, Ceph and journal; the journal is claimed for it alone.

    `lasting` as in `assemble`.
    """
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        now = clock.now()
        showcase = Showcase(health=Health(started_at=now, config=ConfigHealth(loaded_at=now)))
        metrics = Metrics(showcase)
        if certificate is not None:
            certificate.watched_by(partial(metrics.certificate, "api"))
        journal = await open_journal(settings.journal.url, on_transaction=metrics.transaction)
        stack.push_async_callback(journal.close)
        await journal.claim()
        glance = await stack.enter_async_context(
            connected(
                settings,
                on_request=metrics.request,
                on_login=metrics.login,
                on_certificate=partial(metrics.certificate, "glance"),
            )
        )
        clusters = await stack.enter_async_context(reached(settings))
        blocks = await stack.enter_async_context(opened(settings, metrics.copies.sent))
        metrics.machinery.threads = {
            **{(store, "ceph"): cluster.threads for store, cluster in clusters.items()},
            **{(store, use): threads for store, pool in blocks.items() for use, threads in pool.threads.items()},
        }
        daemon = assemble(
            settings,
            glance=glance,
            clusters=clusters,
            blocks=blocks,
            journal=journal,
            clock=clock,
            showcase=showcase,
            metrics=metrics,
            access=access,
            lasting=lasting,
        )
        stack.callback(daemon.mover.close)
        stack.push_async_callback(daemon.sites.close)
        yield daemon


def assemble(
    settings: Settings,
    *,
    glance: Glance,
    clusters: Clusters,
    blocks: Mapping[StoreId, Blocks],
    journal: Journal,
    clock: Clock,
    showcase: Showcase,
    metrics: Metrics,
    access: Access = NOBODY,
    lasting: bool = True,
) -> Daemon:
    """Wire the parts together. Tests give their own Glance, clusters and clock.

    `lasting`: background work goes on beside the turns; a single run sees for itself what is layered on what.
    """
    locks = Locks()
    observer = observer_of(settings, glance, clock, locks)
    sites = sites_of(settings, clusters, glance, journal, clock)
    board = ProgressBoard()
    recollection = Recollection()
    tuning = tuning_of(settings)
    cycle: Cycle
    loop: Loop

    def ended(attempt: Attempt, entry: StoreResult, seconds: float) -> None:
        metrics.ended(attempt, entry, seconds)
        if entry.result in {CopyResult.COPIED, CopyResult.REMOVED, CopyResult.REVERTED}:
            sites.unverified(attempt.image, entry.store)
        if not attempt.work.brings:
            recollection.cared_for(attempt, entry, clock.now())
        image = showcase.picture.world.images.get(attempt.image) if showcase.picture else None
        if entry.result is CopyResult.COPIED and image is not None:
            recollection.copied(entry.store, attempt.engine, image.size or 0, seconds)

    metrics.machinery.allowed = lambda store: tuning.allowed(store, clock.now())
    recorder = Recorder(
        journal=journal,
        clock=clock,
        tuning=tuning,
        on_result=ended,
        on_change=lambda: cycle.ledger_changed(),
        on_stall=metrics.copies.stalled,
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

    def images() -> Mapping[ImageId, Image]:
        return showcase.picture.world.images if showcase.picture else {}

    pools = pools_of(settings)
    engines = engines_on(
        bench,
        pools=pools,
        blocks=blocks,
        journal=journal,
        images=images,
        wished=wished_by(showcase),
        memory=settings.rbd.memory,
        on_compared=metrics.compared,
    )
    verifier = Verifier(bench, engines.comparison, on_end=lambda: loop.wake())
    runner = Runner(engines.of, clock, on_end=lambda: loop.wake(), on_stuck=Stuck(bench))
    freeing = Freeing(
        blocks,
        journal,
        clock,
        tuning,
        pools=pools,
        hub=settings.hub,
        scene=lambda: scene_of(showcase.picture, cycle.leaving, blocks),
    )

    cycle = Cycle(
        observer=observer,
        sites=sites,
        journal=journal,
        recorder=recorder,
        runner=runner,
        verifier=verifier,
        board=board,
        recollection=recollection,
        clock=clock,
        wishes=wishes_of(settings),
        showcase=showcase,
        lags=metrics.lags,
        on_picture=metrics.seen,
        bases=bases_by(freeing, blocks, pools, lasting=lasting),
    )
    scrub = Scrub(showcase, sites, engines.comparison, clock, scrub_rules(settings), blocks)
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
        places=places_of(pools, clusters, blocks),
        halt=engines.blocks.halt,
        forecast=Forecast(journal, clusters, blocks, tuning, clock, hub=settings.hub),
        importer=Uploads(recorder=recorder, runner=runner, engine=engines.imports),
        methods=methods,
    )
    api = Api(
        showcase=showcase,
        journal=journal,
        counter=intake,
        metrics=metrics,
        access=access,
        max_rate=settings.api.max_rate,
    )
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
        mover=engines.blocks,
        verifier=verifier,
        scrub=scrub,
        recorder=recorder,
        tuning=tuning,
        board=board,
        freeing=freeing,
        intake=intake,
        api=api,
    )
