"""Gives the free slots to the copies that are ready, fairly between the sites, and says why the others wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from edgesync.domain.action import Start, Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import Engine, Work
from edgesync.domain.site import BreakerState
from edgesync.domain.store import StoreId
from edgesync.plan.budget import Room, Slots
from edgesync.plan.sifting import ALL_OR_NOTHING, Candidate, Stores
from edgesync.plan.situation import Situation

NEVER = datetime.min.replace(tzinfo=UTC)
# For so long a store that may have come back lets those go first that are well; then its trial is due.
DEFERENCE = timedelta(minutes=5)


class Allocation:
    """The imports of one plan as they are handed out."""

    def __init__(self, situation: Situation, slots: Slots, room: Room, taken: Iterable[ImageId]) -> None:
        self._situation = situation
        self._slots = slots
        self._room = room
        # Images on which something else happens in this plan, and those that are given no (further) copy.
        self._busy = frozenset(taken)
        self._taken = set(taken)
        self._drafts: dict[ImageId, Start] = {}
        # Stores that let others go first, and when each was last given a copy.
        self._behind = {store: self._steps_back(store) for store in situation.world.topology.stores}

    def run(self, candidates: Sequence[Candidate]) -> tuple[list[Start], list[Waiting]]:
        """`candidates` come most urgent first; a tier gets what the tiers before it have left."""
        for _, tier in groupby(candidates, key=lambda candidate: candidate.demand.tier):
            self._share(list(tier))
        waiting = [wait for candidate in candidates for wait in self._left_over(candidate)]
        return list(self._drafts.values()), waiting

    def _share(self, tier: list[Candidate]) -> None:
        """Whole imports first: they need many slots at once. Then one copy for one store after the other.

        The store with the least under way comes first, until nothing fits any more.
        """
        split = self._situation.rules.split
        gathering = False
        for candidate in tier:
            if candidate.alone or not split or candidate.engine is Engine.RBD:
                gathering = self._whole(candidate, gathering=gathering)
        if not split or not self._slots.left:
            return
        queues = _queues(tier)
        while queues and self._slots.left:
            store = min(queues, key=self._turn)
            if not self._slots.free((store,)) or not self._next(queues[store], store):
                del queues[store]

    def _turn(self, store: StoreId) -> tuple[bool, int, datetime, str]:
        """Healthy stores first; then who has least under way, then who has waited longest."""
        behind, served = self._behind[store]
        return (behind, self._slots.used(store), served, store)

    def _steps_back(self, store: StoreId) -> tuple[bool, datetime]:
        served = self._situation.served.get(store, NEVER)
        site = self._situation.world.sites.get(store)
        if site is None or site.breaker.state is BreakerState.CLOSED:
            return False, served
        since = max(served, site.breaker.since or NEVER)
        return self._situation.now - since < DEFERENCE, served

    def _next(self, queue: Iterator[Candidate], store: StoreId) -> bool:
        """Start the first copy of the queue that can go to its store; False when there is none."""
        for candidate in queue:
            image = candidate.demand.image
            if image in self._drafts or image in self._taken:
                continue
            if not self._room.lacking(frozenset({store}), candidate.size):
                self._draft(candidate, frozenset({store}))
                return True
        return False

    def _whole(self, candidate: Candidate, *, gathering: bool) -> bool:
        """All ready stores of a demand as one import, joining that of an earlier demand where both may fail singly.

        One that lacks slots only has the free ones kept for it, or it would wait for ever for all to be free at once.
        The first of a tier alone (`gathering`: there is one), so that little lies idle. True when that is done.
        """
        image = candidate.demand.image
        draft = self._drafts.get(image)
        if image in self._taken or (candidate.alone and draft is not None):
            return gathering
        if draft is not None and draft.engine is not candidate.engine:
            return gathering
        if draft is None and not self._slots.left:
            return gathering
        stores = candidate.ready if draft is None else candidate.ready.difference(draft.stores)
        full = self._room.lacking(stores, candidate.size)
        free = self._slots.free(stores) - full
        if candidate.needs <= free:
            if free:
                self._draft(candidate, free)
        elif not gathering and not candidate.needs & full and self._slots.soon(candidate.needs):
            self._slots.reserve(free)
            self._taken.add(image)
            return True
        return gathering

    def _draft(self, candidate: Candidate, stores: Stores) -> None:
        image = candidate.demand.image
        draft = self._drafts.get(image)
        self._slots.take(stores, joining=draft is not None)
        self._room.take(stores, candidate.size)
        self._drafts[image] = _joined(draft, candidate, sorted(stores, key=self._hub_first))
        if candidate.alone:
            self._taken.add(image)

    def _hub_first(self, store: StoreId) -> tuple[bool, str]:
        """Glance writes one store after the other, in the order in which it is asked."""
        return (store != self._situation.world.topology.hub, store)

    def _left_over(self, candidate: Candidate) -> Iterator[Waiting]:
        image = candidate.demand.image
        draft = self._drafts.get(image)
        stores = candidate.ready if draft is None else candidate.ready.difference(draft.stores)
        if not stores:
            return
        if draft is not None or image in self._busy:
            first = f"the copy to {', '.join(draft.stores)}" if draft else "something else"
            why = f"{first} goes first: one action per image"
            yield _waiting(candidate, stores, WaitReason.IN_FLIGHT, why)
            return
        if full := self._room.lacking(stores, candidate.size):
            why = self._room.explain(full, candidate.size)
            yield _waiting(candidate, full, WaitReason.CAPACITY, why)
            stores -= full
        if stores:
            yield self._without_slot(candidate, stores)

    def _without_slot(self, candidate: Candidate, stores: Stores) -> Waiting:
        reason = WaitReason.BUDGET
        if not self._slots.left:
            why = "all import slots are taken"
        elif candidate.alone:
            why = ALL_OR_NOTHING
        elif candidate.demand.image in self._taken:
            reason, why = WaitReason.IN_FLIGHT, "an all-or-nothing copy of this image goes first"
        else:
            why = "the import slots of its store are taken"
        return _waiting(candidate, stores, reason, why)


def _queues(tier: Sequence[Candidate]) -> dict[StoreId, Iterator[Candidate]]:
    """Each looks through the tier once at most: whom it passed over has another copy under way, or finds no room."""
    single = (candidate for candidate in tier if not candidate.alone and candidate.engine is not Engine.RBD)
    stores = frozenset[StoreId]().union(*(candidate.ready for candidate in single))
    return {store: _queue(store, tier) for store in stores}


def _queue(store: StoreId, tier: Sequence[Candidate]) -> Iterator[Candidate]:
    """The candidates of one tier that are ready for a store, found as they are asked for: there may be a million."""
    return (
        candidate
        for candidate in tier
        if not candidate.alone and candidate.engine is not Engine.RBD and store in candidate.ready
    )


def _waiting(candidate: Candidate, stores: Stores, reason: WaitReason, why: str) -> Waiting:
    engine = candidate.engine if candidate.work is Work.COPY else None
    return Waiting(image=candidate.demand.image, stores=stores, reason=reason, why=why, engine=engine)


def _joined(draft: Start | None, candidate: Candidate, stores: Sequence[StoreId]) -> Start:
    demand = candidate.demand
    if draft is not None:
        why = draft.why if demand.why in draft.why.split("; ") else f"{draft.why}; {demand.why}"
        return replace(draft, stores=(*draft.stores, *stores), why=why)
    return Start(
        image=demand.image,
        stores=tuple(stores),
        allow_failure=demand.allow_failure,
        job=demand.job.id if demand.job else None,
        origin=demand.origin,
        requested_by=demand.requested_by,
        priority=demand.priority,
        why=demand.why,
        work=candidate.work,
        engine=candidate.engine,
        moved=candidate.moved,
        choice=demand.engine,
    )
