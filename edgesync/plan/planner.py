"""The plan: what to start, follow or settle now, and why everything else waits."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from datetime import datetime

from edgesync.domain.action import Action, Follow, Plan, SettleJob, Start, Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import AttemptId
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger, World
from edgesync.plan.budget import Budget, Slots
from edgesync.plan.demand import Demand, demands
from edgesync.plan.wants import Wants


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """Everything a plan depends on."""

    world: World
    wants: Wants
    ledger: Ledger
    budget: Budget
    now: datetime
    # Attempts that this process is following already.
    followed: Set[AttemptId] = field(default_factory=frozenset)
    # Failures from before then are no reason to wait: `edgesync once` tries everything once.
    forgive_before: datetime | None = None


def make_plan(situation: Situation) -> Plan:
    """Decide. At most one action per image, none for an image whose import is under way."""
    ledger = situation.ledger
    actions: list[Action] = [
        Follow(attempt=attempt) for attempt in ledger.attempts if attempt.id not in situation.followed
    ]
    actions.extend(_settlements(situation))
    drafter = _Drafter(situation)
    for demand in demands(ledger, situation.wants, situation.world.topology):
        drafter.consider(demand)
    actions.extend(drafter.starts())
    return Plan(actions=tuple(actions), waiting=tuple(drafter.waiting))


def _settlements(situation: Situation) -> Iterator[SettleJob]:
    """Jobs that need no import any more: another request made the copy, or the image is gone."""
    busy = {attempt.image for attempt in situation.ledger.attempts}
    for job in situation.ledger.jobs:
        if job.image in busy or not job.pending:
            continue
        image = situation.world.images.get(job.image)
        if image is None:
            yield SettleJob(
                job=job.id, image=job.image, failed=tuple(sorted(job.pending)), reason="the image was deleted"
            )
        elif there := job.pending & image.stores:
            yield SettleJob(
                job=job.id,
                image=job.image,
                copied=tuple(sorted(there)),
                reason="the copy was there when the job's turn came",
            )


class _Drafter:
    """Gives slots to demands in their order, and notes why the others wait."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._slots = Slots(situation.budget, situation.ledger.attempts)
        self._attempts = {attempt.image: attempt for attempt in situation.ledger.attempts}
        self._drafts: dict[ImageId, Start] = {}
        self.waiting: list[Waiting] = []

    def starts(self) -> Iterator[Start]:
        yield from self._drafts.values()

    def consider(self, demand: Demand) -> None:
        image = self._situation.world.images.get(demand.image)
        if image is None:
            return
        stores = demand.stores - image.stores
        if attempt := self._attempts.get(demand.image):
            stores -= frozenset(attempt.stores)
        if not stores:
            return
        obstacle = self._obstacle(image)
        if obstacle:
            self._wait(demand, stores, *obstacle)
            return
        ready = self._reachable(demand, image, stores)
        if not demand.allow_failure and ready != stores:
            self._wait(demand, ready, self.waiting[-1].reason, "all or nothing: it starts when all of its stores can")
        elif ready:
            self._draft(demand, ready)

    def _obstacle(self, image: Image) -> tuple[WaitReason, str] | None:
        """What keeps every copy of this image from starting."""
        if not image.active:
            return WaitReason.NOT_ACTIVE, f"the image is {image.status}; only an active image can be copied"
        if attempt := self._attempts.get(image.id):
            return WaitReason.IN_FLIGHT, f"the copy to {', '.join(attempt.stores)} goes first: one import per image"
        if image.moving:
            return WaitReason.LOCK, f"somebody else's import holds the image (task {image.lock})"
        return None

    def _reachable(self, demand: Demand, image: Image, stores: frozenset[StoreId]) -> frozenset[StoreId]:
        """Those of the stores to which this image can go now, as far as the image and the stores are concerned."""
        known = self._situation.world.topology
        unknown = stores - known.writable
        if unknown:
            self._wait(demand, unknown, WaitReason.NO_STORE, "Glance does not list this store, or it is read-only")
        stores -= unknown
        if known.hub not in image.stores:
            edges = stores - {known.hub}
            if edges:
                why = f"the image is not at {known.hub} yet, and every copy comes from there"
                self._wait(demand, edges, WaitReason.NOT_AT_HUB, why)
            stores -= edges
        held = frozenset(store for store in stores if self._backs_off(demand, store))
        if held:
            self._wait(demand, held, WaitReason.BACKOFF, "the last attempt failed")
        return stores - held

    def _backs_off(self, demand: Demand, store: StoreId) -> bool:
        """Only policies wait after a failure; whoever asks by hand wants it tried."""
        failure = self._situation.ledger.failures.get((demand.image, store))
        if failure is None or demand.job is not None:
            return False
        forgive = self._situation.forgive_before
        if forgive is not None and failure.failed_at < forgive:
            return False
        # In a single run every copy gets one try; the next is for the next run, whatever the backoff says.
        return forgive is not None or failure.next_try > self._situation.now

    def _draft(self, demand: Demand, stores: frozenset[StoreId]) -> None:
        """Give slots, joining the import that an earlier demand of the same image has got."""
        draft = self._drafts.get(demand.image)
        if draft is not None:
            stores -= frozenset(draft.stores)
            if not (draft.allow_failure and demand.allow_failure):
                why = "another copy of this image goes first, and all-or-nothing copies are not mixed with others"
                self._wait(demand, stores, WaitReason.IN_FLIGHT, why)
                return
        free = self._slots.free(stores, joining=draft is not None)
        if not demand.allow_failure and free != stores:
            self._wait(demand, stores, WaitReason.BUDGET, "all or nothing: it starts when all of its stores can")
            return
        self._wait(demand, stores - free, WaitReason.BUDGET, "all import slots are taken")
        if free:
            self._slots.take(free, joining=draft is not None)
            self._drafts[demand.image] = _join(draft, demand, free)

    def _wait(self, demand: Demand, stores: frozenset[StoreId], reason: WaitReason, why: str) -> None:
        if stores:
            self.waiting.append(Waiting(image=demand.image, stores=stores, reason=reason, why=why))


def _join(draft: Start | None, demand: Demand, stores: frozenset[StoreId]) -> Start:
    if draft is not None:
        why = draft.why if demand.who in draft.why else f"{draft.why}; {demand.who}"
        return replace(draft, stores=(*draft.stores, *sorted(stores)), why=why)
    return Start(
        image=demand.image,
        stores=tuple(sorted(stores)),
        allow_failure=demand.allow_failure,
        job=demand.job,
        origin=demand.origin,
        requested_by=demand.requested_by,
        priority=demand.priority,
        why=demand.who,
    )
