"""Gives the free slots to the copies that are ready, fairly between the sites, and says why the others wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby

from edgesync.domain.action import Start, Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image, ImageId
from edgesync.domain.site import BreakerState
from edgesync.domain.store import StoreId
from edgesync.plan.budget import Room, Slots
from edgesync.plan.demand import Demand
from edgesync.plan.situation import Situation

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A demand, and those of its stores into which nothing but a slot is missing."""

    demand: Demand
    image: Image
    ready: frozenset[StoreId]

    @property
    def alone(self) -> bool:
        """All or nothing: it goes as one import of its own, or not at all."""
        return not self.demand.allow_failure


class Allocation:
    """The imports of one plan as they are handed out."""

    def __init__(self, situation: Situation, slots: Slots, room: Room, taken: Iterable[ImageId]) -> None:
        self._situation = situation
        self._slots = slots
        self._room = room
        # Images on which something else happens in this plan.
        self._taken = frozenset(taken)
        self._drafts: dict[ImageId, Start] = {}
        # Slots given away in this plan, by store: who has had one waits behind who has not.
        self._given: Counter[StoreId] = Counter()

    def run(self, candidates: Sequence[Candidate]) -> tuple[list[Start], list[Waiting]]:
        """`candidates` come most urgent first; a tier gets what the tiers before it have left."""
        for _, tier in groupby(candidates, key=lambda candidate: candidate.demand.tier):
            self._share(list(tier))
        waiting = [wait for candidate in candidates for wait in self._left_over(candidate)]
        return list(self._drafts.values()), waiting

    def _share(self, tier: list[Candidate]) -> None:
        """One store after the other gets one copy, the least served first, until nothing fits any more."""
        for candidate in tier:
            if candidate.alone or not self._situation.rules.split:
                self._whole(candidate)
        if not self._situation.rules.split:
            return
        queues = _queues(tier)
        while queues and self._slots.left:
            store = min(queues, key=self._turn)
            if not self._slots.free((store,)) or not self._next(queues[store], store):
                del queues[store]

    def _turn(self, store: StoreId) -> tuple[bool, int, int, datetime, str]:
        """Healthy stores first; then who has least under way, then who has waited longest."""
        site = self._situation.world.sites.get(store)
        doubtful = site is not None and site.breaker.state is not BreakerState.CLOSED
        served = self._situation.served.get(store, NEVER)
        return (doubtful, self._given[store], self._slots.used(store), served, store)

    def _next(self, queue: Iterator[Candidate], store: StoreId) -> bool:
        """Start the first copy of the queue that can go to its store; False when there is none."""
        for candidate in queue:
            busy = candidate.image.id in self._drafts or candidate.image.id in self._taken
            if not busy and not self._room.lacking((store,), candidate.image.size or 0):
                self._draft(candidate, frozenset({store}))
                return True
        return False

    def _whole(self, candidate: Candidate) -> None:
        """All ready stores of a demand as one import, joining that of an earlier demand where both may fail singly."""
        stores = candidate.ready
        draft = self._drafts.get(candidate.image.id)
        if candidate.image.id in self._taken:
            return
        if draft is not None:
            stores -= frozenset(draft.stores)
            if not draft.allow_failure or candidate.alone:
                return
        elif not self._slots.left:
            return
        free = self._slots.free(stores) - self._room.lacking(stores, candidate.image.size or 0)
        if free and not (candidate.alone and free != stores):
            self._draft(candidate, free)

    def _draft(self, candidate: Candidate, stores: frozenset[StoreId]) -> None:
        draft = self._drafts.get(candidate.image.id)
        self._slots.take(stores, joining=draft is not None)
        self._room.take(stores, candidate.image.size or 0)
        self._given.update(stores)
        self._drafts[candidate.image.id] = _joined(draft, candidate.demand, sorted(stores))

    def _left_over(self, candidate: Candidate) -> Iterator[Waiting]:
        draft = self._drafts.get(candidate.image.id)
        stores = candidate.ready - frozenset(draft.stores if draft else ())
        if not stores:
            return
        if draft is not None or candidate.image.id in self._taken:
            reason, why = WaitReason.IN_FLIGHT, "another action on this image goes first"
            if draft is not None:
                why = f"the copy to {', '.join(draft.stores)} goes first: one import per image"
            if candidate.alone:
                why += ", and all-or-nothing copies are not mixed with others"
        elif candidate.alone and self._slots.left and self._slots.free(stores):
            reason, why = WaitReason.BUDGET, "all or nothing: it starts when all of its stores can"
        else:
            reason, why = WaitReason.BUDGET, "all import slots are taken"
        yield Waiting(image=candidate.image.id, stores=stores, reason=reason, why=why)


def _queues(tier: Sequence[Candidate]) -> dict[StoreId, Iterator[Candidate]]:
    """Each looks through the tier once at most: whom it passed over has another copy under way, or finds no room."""
    stores = frozenset[StoreId]().union(*(candidate.ready for candidate in tier if not candidate.alone))
    return {store: _queue(store, tier) for store in stores}


def _queue(store: StoreId, tier: Sequence[Candidate]) -> Iterator[Candidate]:
    """The candidates of one tier that are ready for a store, found as they are asked for: there may be a million."""
    return (candidate for candidate in tier if not candidate.alone and store in candidate.ready)


def _joined(draft: Start | None, demand: Demand, stores: Sequence[StoreId]) -> Start:
    why = demand.who
    if draft is not None:
        why = draft.why if why in draft.why else f"{draft.why}; {why}"
        return replace(draft, stores=(*draft.stores, *stores), why=why)
    return Start(
        image=demand.image,
        stores=tuple(stores),
        allow_failure=demand.allow_failure,
        job=demand.job,
        origin=demand.origin,
        requested_by=demand.requested_by,
        priority=demand.priority,
        why=why,
    )
