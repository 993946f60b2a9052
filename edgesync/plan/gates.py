"""What keeps a copy from starting, as far as images, sites and settings are concerned. Slots are another matter.

Every gate answers for many stores at once: a cloud of 10,000 images and 100 sites is planned anew each second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.copy import Failure, WaitReason
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Engine, Origin, Work
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Policy
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.domain.words import some_of
from edgesync.plan.breaker import explain
from edgesync.plan.budget import Room
from edgesync.plan.demand import Demand
from edgesync.plan.engine_choice import Engines, question_of
from edgesync.plan.rollout import held_back
from edgesync.plan.situation import Situation
from edgesync.plan.timetable import Timetable
from edgesync.plan.wants import targets_of

Stores = frozenset[StoreId]

# What an attempt does, for the others that wait for it.
_DOING = {
    Work.COPY: "the copy to {}",
    Work.IMPORT: "the import into {}",
    Work.REMOVE: "the removal from {}",
    Work.TRASH: "clearing away a leftover at {}",
    Work.SWEEP: "clearing away an unfinished copy at {}",
    Work.PROTECT: "the repair at {}",
    Work.SEAL: "the repair at {}",
    Work.UNLIST: "the repair at {}",
    Work.RENEW: "the repair at {}",
    Work.VERIFY: "the verification at {}",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """Why copies wait; `until` where the end is known."""

    reason: WaitReason
    why: str
    until: datetime | None = None


Held = Iterator[tuple[Stores, Obstacle]]


class Gates:
    """The gates of one plan. What depends on a store alone is found out once."""

    def __init__(self, situation: Situation, room: Room, engines: Engines) -> None:
        self._situation = situation
        self._room = room
        self._engines = engines
        self._topology = situation.world.topology
        self._hub = self._topology.hub
        self._writable = self._topology.writable
        self._attempts = {attempt.image: attempt for attempt in situation.ledger.attempts}
        self._timetable = Timetable(situation.budget, situation.rates, situation.now)
        self._pauses: dict[ImageId | None, list[Pause]] = {}
        for pause in situation.ledger.pauses:
            self._pauses.setdefault(pause.image, []).append(pause)
        self._failures: dict[ImageId, dict[StoreId, Failure]] = {}
        for failure in situation.ledger.failures.values():
            self._failures.setdefault(failure.image, {})[failure.store] = failure
        self._down: dict[StoreId, str] = {}
        self._leftovers: dict[ImageId, dict[StoreId, Finding]] = {}
        # Images of which Glance lists a copy at the hub, and RBD has none; and those whose data there are damaged.
        self._hollow: set[ImageId] = set()
        self._damaged: set[ImageId] = set()
        for store, site in situation.world.sites.items():
            if not situation.admitted(store):
                self._down[store] = explain(site.breaker)
            for finding in site.findings.values():
                if finding.defect is Defect.ORPHAN:
                    self._leftovers.setdefault(finding.image, {})[store] = finding
                elif finding.defect is Defect.NO_IMAGE and store == self._hub:
                    self._hollow.add(finding.image)
                elif finding.defect is Defect.DAMAGED and store == self._hub:
                    self._damaged.add(finding.image)
        self._told_down: dict[Stores, Obstacle] = {}
        self._targets: dict[str, Stores] = {}

    def of_image(self, image_id: ImageId, image: Image | None) -> Obstacle | None:
        """What keeps everything from starting on this image."""
        if attempt := self._attempts.get(image_id):
            doing = _DOING[attempt.work].format(", ".join(attempt.stores))
            return Obstacle(reason=WaitReason.IN_FLIGHT, why=f"{doing} goes first: one action per image")
        if image is not None and self._situation.locked(image):
            task = self._situation.world.locks.get(image.id)
            until = task.expires_at if task is not None and task.id == image.lock else None
            why = f"somebody else's import holds the image (task {image.lock})"
            if until is not None:
                why += f"; if its glance-api has died, the lock can be taken at {until:%H:%M} UTC"
            return Obstacle(reason=WaitReason.LOCK, why=why, until=until)
        return None

    def of_stores(self, demand: Demand, image: Image | None, stores: Stores) -> Held:
        """Those of the stores that can't be started now, each with its reason; what is left over is ready.

        Without an image it is about a new one's import: its data comes from elsewhere, and its size isn't known.
        """
        for gate in (
            self._unknown,
            self._paused,
            self._source,
            self._down_itself,
            self._shut,
            self._too_late,
            self._failed,
            self._in_the_way,
            self._full,
            self._not_its_wave,
        ):
            for held, obstacle in gate(demand, image, stores):
                stores -= held
                yield held, obstacle
            if not stores:
                return

    def _unknown(self, _demand: Demand, _image: Image | None, stores: Stores) -> Held:
        if unknown := stores - self._writable:
            why = "Glance does not list this store, or it is read-only"
            yield unknown, Obstacle(reason=WaitReason.NO_STORE, why=why)

    def _paused(self, demand: Demand, _image: Image | None, stores: Stores) -> Held:
        for pause in (*self._pauses.get(None, ()), *self._pauses.get(demand.image, ())):
            held = stores if pause.store is None else stores & {pause.store}
            if held:
                stores -= held
                why = f"{pause.scope} is paused by {pause.by}" + (f": {pause.reason}" if pause.reason else "")
                yield held, Obstacle(reason=WaitReason.PAUSED, why=why)

    def _source(self, _demand: Demand, image: Image | None, stores: Stores) -> Held:
        """Every copy is read at the hub; only the hub's own is read at an edge."""
        if image is None:
            return
        if self._hub in self._down:
            why = f"{self._hub}, from which every copy comes, {self._down[self._hub]}"
            yield stores, Obstacle(reason=WaitReason.STORE_DOWN, why=why)
        elif self._hub not in image.stores:
            if edges := stores - {self._hub}:
                why = f"the image is not at {self._hub} yet, and every copy comes from there"
                yield edges, Obstacle(reason=WaitReason.NOT_AT_HUB, why=why)
            if self._hub in stores and image.stores and image.stores <= self._down.keys():
                why = f"no site that has the image answers: {some_of(sorted(image.stores))}"
                yield frozenset({self._hub}), Obstacle(reason=WaitReason.STORE_DOWN, why=why)
        elif image.id in self._hollow:
            why = f"Glance lists a copy at {self._hub}, but RBD has no such image there; that is repaired first"
            yield stores, Obstacle(reason=WaitReason.NOT_AT_HUB, why=why)
        elif image.id in self._damaged:
            why = f"the copy at {self._hub} is damaged, and nothing is copied from it"
            yield stores, Obstacle(reason=WaitReason.NOT_AT_HUB, why=why)

    def _down_itself(self, _demand: Demand, _image: Image | None, stores: Stores) -> Held:
        if down := stores.intersection(self._down):
            if down not in self._told_down:
                names = sorted(down)
                why = f"the site {self._down[names[0]]}"
                if len(names) > 1:
                    why = f"{some_of(names)} do not answer; `edgesync stores` tells since when"
                self._told_down[down] = Obstacle(reason=WaitReason.STORE_DOWN, why=why)
            yield down, self._told_down[down]

    def _shut(self, demand: Demand, _image: Image | None, stores: Stores) -> Held:
        """Outside a store's windows, unless somebody says it is urgent."""
        if demand.urgent:
            return
        for opens, shut in self._timetable.shut(stores).items():
            when = "" if opens is None else f"; the next one opens {opens:%a %H:%M} UTC"
            yield shut, Obstacle(reason=WaitReason.WINDOW, why=f"outside its window{when}", until=opens)

    def _too_late(self, demand: Demand, image: Image | None, stores: Stores) -> Held:
        """Where `overrun: stop` is set: a running import can't be stopped, so one that would run over isn't started."""
        if demand.urgent or image is None:
            return
        closing = self._timetable.closing(stores)
        question = question_of(demand, image, closing, self._hub)
        for share in self._engines.shares(question) if closing else ():
            engine = share.engine or Engine.COPY_IMAGE
            for closes, late in self._timetable.too_late(share.stores, _size(image), engine).items():
                why = f"it would run beyond its window, which closes at {closes:%H:%M} UTC (overrun: stop)"
                yield late, Obstacle(reason=WaitReason.WINDOW, why=why)

    def _failed(self, demand: Demand, _image: Image | None, stores: Stores) -> Held:
        """Policies wait after a failure, and the way to the hub does; whoever asks by hand wants it tried."""
        failures = self._failures.get(demand.image, {})
        failed = stores.intersection(failures)
        if demand.origin is not Origin.POLICY:
            failed -= demand.stores
        if not failed:
            return
        if resting := [failures[store] for store in failed if self._rests(failures[store])]:
            held = frozenset([failure.store for failure in resting])
            until = min([failure.next_try for failure in resting])
            yield held, Obstacle(reason=WaitReason.BACKOFF, why="the last attempt failed", until=until)
            failed -= held
        limit = self._situation.budget.retries
        if spent := frozenset(store for store in failed if self._situation.retries.get(store, 0) >= limit):
            why = f"{limit} copies into this store were retried within the hour"
            yield spent, Obstacle(reason=WaitReason.RETRY_BUDGET, why=why)

    def _rests(self, failure: Failure) -> bool:
        forgive = self._situation.forgive_before
        if forgive is None:
            return failure.next_try > self._situation.now
        # In a single run every copy gets one try; the next is for the next run, whatever the backoff says.
        return failure.failed_at >= forgive

    def _in_the_way(self, demand: Demand, _image: Image | None, stores: Stores) -> Held:
        for store, finding in self._leftovers.get(demand.image, {}).items():
            if store in stores:
                next_step = finding.obstacle or "it goes into RBD's trash first"
                if not self._situation.rules.trash_orphans:
                    next_step = "edgesync is told to leave such images alone, so remove it by hand"
                why = f"an RBD image of that name is there already, of which Glance knows nothing; {next_step}"
                yield frozenset({store}), Obstacle(reason=WaitReason.ORPHAN, why=why)

    def _full(self, _demand: Demand, image: Image | None, stores: Stores) -> Held:
        size = _size(image)
        if full := self._room.lacking(stores, size):
            yield full, Obstacle(reason=WaitReason.CAPACITY, why=self._room.explain(full, size))

    def _not_its_wave(self, demand: Demand, image: Image | None, stores: Stores) -> Held:
        policy = demand.policy
        if policy is None or image is None or not policy.waves:
            return
        missing = self._targets_of(policy) - image.stores
        later, why = held_back(policy, missing=missing, failed=self._failures.get(image.id, {}).keys(), hub=self._hub)
        if held := stores & later:
            yield held, Obstacle(reason=WaitReason.WAVE, why=why)

    def _targets_of(self, policy: Policy) -> Stores:
        known = self._targets.get(policy.name)
        if known is None:
            known = targets_of(policy, self._topology, edge_origin=self._situation.rules.edge_origin)
            self._targets[policy.name] = known
        return known


def _size(image: Image | None) -> int:
    return 0 if image is None else image.size or 0
