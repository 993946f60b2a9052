"""One turn of the daemon: observe, plan, start, record.

`plan`, `once` and `run` are the same turn stopped after planning, run to convergence, or repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import replace
from datetime import datetime

import structlog

from edgesync.daemon.forgetting import Forgetting, verified_and_gone
from edgesync.daemon.gaps import GapKeeper
from edgesync.daemon.recollection import Recollection
from edgesync.daemon.situating import situate
from edgesync.daemon.wishes import Wishes
from edgesync.domain.action import Check, Follow, Plan, SettleJob, Start
from edgesync.domain.image import ImageId
from edgesync.domain.job import Event, EventKind
from edgesync.domain.policy import Policy
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.store import StoreId, Topology
from edgesync.domain.world import Ledger, World
from edgesync.errors import ConfigError, ConflictError, EdgesyncError
from edgesync.execute.progress import ProgressBoard
from edgesync.execute.record import Recorder
from edgesync.execute.runner import Runner
from edgesync.execute.verifier import Verifier
from edgesync.expose.lag import Lags
from edgesync.expose.picture import Picture, Showcase
from edgesync.observe.observer import Observer, Sighting
from edgesync.observe.sites import Sites
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Situation
from edgesync.plan.upkeep import leaving
from edgesync.plan.wants import Wants, update_wants

log = structlog.get_logger(__name__)

Copies = Set[tuple[ImageId, StoreId]]
# Of copies that are leaving those that must stay for now.
Bases = Callable[[World, Copies], Awaitable[Copies]]


async def nobody_looks(_world: World, _leaving: Copies) -> Copies:
    """Where nothing is layered on anything."""
    return frozenset()


def check_hub(topology: Topology, wishes: Wishes) -> None:
    """ConfigError when the store that every copy comes from does not exist."""
    if topology.hub not in topology.stores:
        known = ", ".join(sorted(topology.stores)) or "none"
        raise ConfigError(
            [f"{wishes.hub_from}: hub: expected a store of this Glance ({known}), found {topology.hub!r}"],
            remedy="set hub to the id of the central site's store; `glance stores-info` lists them",
        )


def decide(situation: Situation, board: ProgressBoard) -> Picture:
    """Plan, and put everything there is to show into one record."""
    return Picture(situation=situation, plan=make_plan(situation), progress=board.entries, stalls=board.stalls)


class Cycle:
    """The state that lives from one tick to the next, and the tick itself."""

    def __init__(
        self,
        *,
        observer: Observer,
        sites: Sites,
        journal: Journal,
        recorder: Recorder,
        runner: Runner,
        verifier: Verifier,
        board: ProgressBoard,
        recollection: Recollection,
        clock: Clock,
        wishes: Wishes,
        showcase: Showcase,
        lags: Lags,
        on_picture: Callable[[Picture], None],
        bases: Bases = nobody_looks,
    ) -> None:
        """`on_picture` brings the lags up to date, among others.

        `bases`: of copies that are leaving those that others are layered on, or may be: nobody has looked yet.
        """
        self._observer = observer
        self._sites = sites
        self._recollection = recollection
        self._journal = journal
        self._recorder = recorder
        self._runner = runner
        self._verifier = verifier
        self._board = board
        self._clock = clock
        self._wishes = wishes
        self._bases = bases
        # True when the wants have to be found anew for all images: the policies changed.
        self._anew = True
        self._wants = Wants()
        self._ledger: Ledger | None = None
        # Counts `ledger_changed`.
        self._changes = 0
        self._showcase = showcase
        self._on_picture = on_picture
        self._gaps = GapKeeper(journal, lags)
        self._forgetting = Forgetting(journal, clock)
        # Copies that pruning takes away, as of the last full pass.
        self.leaving: Copies = frozenset()
        # What kept the last turn from going well.
        self.error: EdgesyncError | None = None

    @property
    def busy(self) -> bool:
        """True while something moves: the next look should come soon."""
        plan = self._showcase.picture.plan if self._showcase.picture else Plan()
        passing = any(waiting.reason.passes for waiting in plan.waiting)
        return bool(self._runner.images or self._verifier.running or plan.actions) or passing

    @property
    def policies(self) -> tuple[Policy, ...]:
        return self._wishes.policies

    def configure(self, wishes: Wishes) -> None:
        """Go by other wishes from the next turn on."""
        self._wishes = wishes
        self._anew = True

    def ledger_changed(self) -> None:
        """The journal was written to: read it again before the next plan."""
        self._ledger = None
        self._changes += 1

    async def tick(self, *, forgive_before: datetime | None = None) -> Plan | None:
        """One turn; None when Glance could not be seen, or has no hub, or the journal failed: the next tries again."""
        try:
            plan = await self.plan(forgive_before=forgive_before)
            if plan is None:
                return None
            await self._start(plan)
            await self._gaps.turn()
            await self._forget()
        except EdgesyncError as error:
            # The journal's, or there is no hub: what Glance refuses is dealt with further down.
            log.error("turn broken off", why=error.message, remedy=error.remedy)  # noqa: TRY400 - a sentence for people
            self._trouble(error)
            return None
        now = self._clock.now()
        self._showcase.health = replace(self._showcase.health, ticked_at=now, tried_at=now, trouble="", remedy="")
        self.error = None
        return plan

    async def plan(self, *, forgive_before: datetime | None = None) -> Plan | None:
        """The first half of a turn: look, and decide. Writes nothing but events. None when Glance could not be seen.

        Raises ConfigError when the hub is none of its stores, and what the journal raises.
        """
        try:
            sighting = await self._observer.look(skip=self._runner.images)
            world, wishes = sighting.world, self._wishes
            # Before anything that may fail: what changed or went is told only this once.
            self._forgetting.lost(sighting.gone)
            self._sites.lost(sighting.gone)
            self._wants = self._wants_in(world)
        except EdgesyncError as error:
            await self._blind(error)
            return None
        await self._seeing()
        await self._tell_stores(sighting)
        check_hub(world.topology, wishes)
        world = await self._with_sites(world)
        # Before and after: what ends or begins while the ledger is read must not look like something left behind.
        working = self._runner.images
        ledger = await self._current_ledger()
        working |= self._runner.images
        situation = await situate(
            self._journal,
            world,
            self._wants,
            ledger,
            # Not by policies that came in since the wants were found: to these, copies would look unwanted.
            wishes,
            self._recollection,
            now=self._clock.now(),
            followed=frozenset(attempt.id for attempt in ledger.attempts if attempt.image in working),
            stalled=frozenset(self._board.stalls),
            forgive_before=forgive_before,
            locations=self._observer.shows_locations,
            checking=self._verifier.running,
            bases=frozenset(),
        )
        if world.full:
            self.leaving = leaving(situation)
        situation = replace(situation, bases=await self._bases(world, self.leaving))
        await self._gaps.recall()
        picture = decide(situation, self._board)
        self._showcase.picture = picture
        self._on_picture(picture)
        return picture.plan

    def _wants_in(self, world: World) -> Wants:
        seen = replace(world, changed=None) if self._anew else world
        self._anew = False
        return update_wants(self._wants, seen, self._wishes.policies, edge_origin=self._wishes.rules.edge_origin)

    async def _with_sites(self, world: World) -> World:
        """The world with what is known of the sites; what has become of them is told."""
        self._sites.see(world.images, world.topology)
        await self._sites.first()
        sites = self._sites.sites(world.topology.stores)
        await self._tell(self._sites.events())
        return replace(world, sites=sites)

    async def _current_ledger(self) -> Ledger:
        """The journal's, remembered until it changes; one that changed while it was read serves this once."""
        if self._ledger is not None:
            return self._ledger
        changes = self._changes
        ledger = await self._journal.ledger()
        if changes == self._changes:
            self._ledger = ledger
        return ledger

    async def _start(self, plan: Plan) -> None:
        for action in plan.actions:
            match action:
                case SettleJob():
                    await self._recorder.settle(action)
                case Follow():
                    self._runner.follow(action.attempt)
                case Start():
                    await self._open(action)
                case Check():
                    self._verifier.begin(action)

    async def _forget(self) -> None:
        picture = self._showcase.picture
        if picture is not None:
            await self._forget_copies(picture.world)
        if await self._forgetting.turn(picture.world.images if picture else (), self._wishes.retention):
            self.ledger_changed()

    async def _forget_copies(self, world: World) -> None:
        """What was found of copies that somebody has deleted says nothing of those that may come to their places."""
        known = {store: await self._sites.verifications(store) for store in self._sites.clusters}
        if gone := verified_and_gone(world, known):
            await self._journal.forget_copies(gone)
            for image, store in gone:
                self._sites.unverified(image, store)

    async def _open(self, action: Start) -> None:
        picture = self._showcase.picture
        image = picture.world.images.get(action.image) if picture else None
        try:
            # None: one that has yet to be imported, or whose leftovers are cleared away.
            attempt = await self._recorder.open(action, image)
        except ConflictError as conflict:
            log.info("not started", image=action.image, why=conflict.message)
            return
        if picture is not None:
            self._recollection.started(action, picture.ledger, self._clock.now())
        self._runner.begin(attempt)

    async def _blind(self, error: EdgesyncError) -> None:
        news = self._showcase.health.trouble != error.message
        self._trouble(error)
        self._showcase.health = replace(self._showcase.health, sees_glance=False)
        if news:
            log.error("cannot see Glance", why=error.message, remedy=error.remedy)
            await self._tell([self._event(EventKind.GLANCE_UNREACHABLE, error.message)])

    async def _seeing(self) -> None:
        if not self._showcase.health.sees_glance:
            await self._tell([self._event(EventKind.GLANCE_BACK, "Glance answers again")])
            log.info("Glance answers again")
            self._showcase.health = replace(self._showcase.health, sees_glance=True)

    def _trouble(self, error: EdgesyncError) -> None:
        self._showcase.health = replace(
            self._showcase.health, trouble=error.message, remedy=error.remedy, tried_at=self._clock.now()
        )
        self.error = error

    async def _tell_stores(self, sighting: Sighting) -> None:
        hub = sighting.world.topology.hub
        events = [
            replace(self._event(EventKind.STORE_VANISHED, f"Glance no longer lists the store {store}"), store=store)
            for store in sorted(sighting.vanished)
        ]
        if self._showcase.picture is not None:
            events += [
                replace(self._event(EventKind.STORE_APPEARED, f"Glance lists a new store, {store}"), store=store)
                for store in sorted(sighting.appeared)
            ]
        for event in events:
            log.warning(event.message, store=event.store, hub=hub)
        await self._tell(events)

    def _event(self, kind: EventKind, message: str) -> Event:
        return Event(at=self._clock.now(), kind=kind, message=message)

    async def _tell(self, events: Sequence[Event]) -> None:
        if events:
            await self._journal.add_events(events)
