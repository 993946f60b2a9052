"""What keeps a copy from starting, as far as images, sites and settings are concerned. Slots are another matter.

Every gate answers for many stores at once: a cloud of 10,000 images and 100 sites is planned anew each second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image, ImageId
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import Overrun, StoreId
from edgesync.plan.breaker import admits, explain
from edgesync.plan.budget import Room
from edgesync.plan.demand import Demand
from edgesync.plan.rollout import held_back
from edgesync.plan.situation import Situation
from edgesync.plan.wants import targets_of

Stores = frozenset[StoreId]
# Sites that a sentence names before it only counts them.
NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """Why copies wait; `until` where the end is known."""

    reason: WaitReason
    why: str
    until: datetime | None = None


Held = Iterator[tuple[Stores, Obstacle]]


class Gates:
    """The gates of one plan. What depends on a store alone is found out once."""

    def __init__(self, situation: Situation, room: Room) -> None:
        self._situation = situation
        self._room = room
        self._hub = situation.world.topology.hub
        self._attempts = {attempt.image: attempt for attempt in situation.ledger.attempts}
        self._down = {
            store: explain(site.breaker)
            for store, site in situation.world.sites.items()
            if not admits(site.breaker, situation.now, running=0)
        }
        self._shut = dict(self._shut_windows())
        self._told_down: dict[Stores, Obstacle] = {}
        self._failures: dict[ImageId, set[StoreId]] = {}
        for failed_image, store in situation.ledger.failures:
            self._failures.setdefault(failed_image, set()).add(store)
        self._leftovers: dict[ImageId, dict[StoreId, Finding]] = {}
        for site in situation.world.sites.values():
            for finding in site.findings.values():
                if finding.defect is Defect.ORPHAN:
                    self._leftovers.setdefault(finding.image, {})[site.store] = finding

    def of_image(self, image: Image) -> Obstacle | None:
        """What keeps every copy of this image from starting."""
        if not image.active:
            why = f"the image is {image.status}; only an active image can be copied"
            return Obstacle(reason=WaitReason.NOT_ACTIVE, why=why)
        if attempt := self._attempts.get(image.id):
            what = "copy" if attempt.work.brings else attempt.work
            why = f"the {what} to {', '.join(attempt.stores)} goes first: one action per image"
            return Obstacle(reason=WaitReason.IN_FLIGHT, why=why)
        if self._situation.locked(image):
            task = self._situation.world.locks.get(image.id)
            until = task.expires_at if task is not None and task.id == image.lock else None
            why = f"somebody else's import holds the image (task {image.lock})"
            if until is not None:
                why += f"; if its glance-api has died, the lock can be taken at {until:%H:%M} UTC"
            return Obstacle(reason=WaitReason.LOCK, why=why, until=until)
        return None

    def of_stores(self, demand: Demand, image: Image, stores: Stores) -> Held:
        """Those of the stores that can't be started now, each with its reason; what is left over is ready."""
        for held, obstacle in self.of_new_image(demand, stores):
            stores -= held
            yield held, obstacle
        for gate in (
            self._not_at_hub,
            self._too_late,
            self._failed,
            self._in_the_way,
            self._full,
            self._not_its_wave,
        ):
            for held, obstacle in gate(demand, image, stores):
                stores -= held
                yield held, obstacle

    def of_new_image(self, demand: Demand, stores: Stores) -> Held:
        """The same for an image that has no data yet: only what the stores themselves say."""
        for gate in (self._unknown, self._paused, self._dead, self._closed):
            for held, obstacle in gate(demand, stores):
                stores -= held
                yield held, obstacle

    def _unknown(self, _demand: Demand, stores: Stores) -> Held:
        unknown = stores - self._situation.world.topology.writable
        if unknown:
            why = "Glance does not list this store, or it is read-only"
            yield unknown, Obstacle(reason=WaitReason.NO_STORE, why=why)

    def _paused(self, demand: Demand, stores: Stores) -> Held:
        for pause in self._situation.ledger.pauses:
            held = frozenset(store for store in stores if pause.covers(demand.image, store))
            if held:
                stores -= held
                why = f"{pause.scope} is paused by {pause.by}" + (f": {pause.reason}" if pause.reason else "")
                yield held, Obstacle(reason=WaitReason.PAUSED, why=why)

    def _not_at_hub(self, _demand: Demand, image: Image, stores: Stores) -> Held:
        edges = stores - {self._hub}
        if edges and self._hub not in image.stores:
            why = f"the image is not at {self._hub} yet, and every copy comes from there"
            yield edges, Obstacle(reason=WaitReason.NOT_AT_HUB, why=why)

    def _dead(self, _demand: Demand, stores: Stores) -> Held:
        if self._hub in self._down:
            if stores:
                why = f"{self._hub}, from which every copy comes, {self._down[self._hub]}"
                yield stores, Obstacle(reason=WaitReason.STORE_DOWN, why=why)
        elif down := stores.intersection(self._down):
            if down not in self._told_down:
                self._told_down[down] = self._of_down(down)
            yield down, self._told_down[down]

    def _of_down(self, down: Stores) -> Obstacle:
        names = sorted(down)
        if len(names) == 1:
            why = f"the site {self._down[names[0]]}"
        else:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            why = f"{', '.join(names[:NAMED])}{more} do not answer; edgesync stores tells since when"
        return Obstacle(reason=WaitReason.STORE_DOWN, why=why)

    def _closed(self, demand: Demand, stores: Stores) -> Held:
        """Outside a store's windows, unless somebody says it is urgent."""
        if demand.urgent:
            return
        by_end: dict[datetime | None, set[StoreId]] = {}
        for store in stores.intersection(self._shut):
            by_end.setdefault(self._shut[store], set()).add(store)
        for until, held in by_end.items():
            when = "" if until is None else f"; the next one opens {until:%a %H:%M} UTC"
            yield frozenset(held), Obstacle(reason=WaitReason.WINDOW, why=f"outside its window{when}", until=until)

    def _shut_windows(self) -> Iterator[tuple[StoreId, datetime | None]]:
        now = self._situation.now
        for store, settings in self._situation.budget.stores.items():
            if not settings.windows.open_at(now):
                yield store, settings.windows.next_change(now)

    def _too_late(self, demand: Demand, image: Image, stores: Stores) -> Held:
        """Where `overrun: stop` is set: a running import can't be stopped, so one that would run over isn't started."""
        if demand.urgent:
            return
        for store in stores.intersection(self._situation.budget.stores):
            if closes := self._closes_before_end(store, image):
                why = f"it would run beyond its window, which closes at {closes:%H:%M} UTC (overrun: stop)"
                yield frozenset({store}), Obstacle(reason=WaitReason.WINDOW, why=why)

    def _closes_before_end(self, store: StoreId, image: Image) -> datetime | None:
        """When the window closes, if by the rate of recent copies this one would not end before."""
        settings, rate = self._situation.budget.settings(store), self._situation.rates.get(store)
        if settings.overrun is Overrun.FINISH or not settings.windows.windows or not rate:
            return None
        closes = settings.windows.next_change(self._situation.now)
        ends = self._situation.now + timedelta(seconds=(image.size or 0) / rate)
        return closes if closes is not None and ends > closes else None

    def _failed(self, demand: Demand, image: Image, stores: Stores) -> Held:
        """Policies wait after a failure, and the way to the hub does; whoever asks by hand wants it tried."""
        held: set[StoreId] = set()
        spent: set[StoreId] = set()
        until: datetime | None = None
        for store in stores.intersection(self._failures.get(image.id, ())):
            if demand.job is not None and store in demand.stores:
                continue
            failure = self._situation.ledger.failures[image.id, store]
            if self._backs_off(failure.failed_at, failure.next_try):
                held.add(store)
                until = failure.next_try if until is None else min(until, failure.next_try)
            elif self._situation.retries.get(store, 0) >= self._situation.budget.retries:
                spent.add(store)
        if held:
            obstacle = Obstacle(reason=WaitReason.BACKOFF, why="the last attempt failed", until=until)
            yield frozenset(held), obstacle
        if spent:
            why = f"{self._situation.budget.retries} copies into this store were retried within the hour"
            yield frozenset(spent), Obstacle(reason=WaitReason.RETRY_BUDGET, why=why)

    def _backs_off(self, failed_at: datetime, next_try: datetime) -> bool:
        forgive = self._situation.forgive_before
        if forgive is None:
            return next_try > self._situation.now
        # In a single run every copy gets one try; the next is for the next run, whatever the backoff says.
        return failed_at >= forgive

    def _in_the_way(self, _demand: Demand, image: Image, stores: Stores) -> Held:
        for store, finding in self._leftovers.get(image.id, {}).items():
            if store in stores:
                next_step = finding.obstacle or "it goes into RBD's trash first"
                why = f"an RBD image of that name is there already, of which Glance knows nothing; {next_step}"
                yield frozenset({store}), Obstacle(reason=WaitReason.ORPHAN, why=why)

    def _full(self, _demand: Demand, image: Image, stores: Stores) -> Held:
        for store in self._room.lacking(stores, image.size or 0):
            why = self._room.explain(store, image.size or 0)
            yield frozenset({store}), Obstacle(reason=WaitReason.CAPACITY, why=why)

    def _not_its_wave(self, demand: Demand, image: Image, stores: Stores) -> Held:
        if demand.policy is None or not demand.policy.waves:
            return
        world = self._situation.world
        targets = targets_of(demand.policy, world.topology, edge_origin=self._situation.rules.edge_origin)
        later, why = held_back(demand.policy, image, targets, self._hub, self._situation.ledger.failures)
        if held := stores & later:
            yield held, Obstacle(reason=WaitReason.WAVE, why=why)
