"""Invariants that hold for every plan, whatever the world looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import time, timedelta
from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from edgesync.domain.action import Follow, Plan, SettleJob, Start
from edgesync.domain.blocks import Verification
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image, ImportTask
from edgesync.domain.job import Attempt, Engine, EngineChoice, ImportSource, Job, Origin, Work
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Match, Policy, Repair
from edgesync.domain.site import BreakerState, Defect, Site
from edgesync.domain.store import CephSettings, StoreId, StoreSettings
from edgesync.domain.window import Window, Windows
from edgesync.plan.breaker import admits
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Rules, Situation
from edgesync.plan.verifying import AT_ONCE
from tests.builders import (
    CENTRAL,
    NOW,
    attempt,
    failure,
    finding,
    image,
    job,
    pause,
    policy,
    site,
    situation,
    task,
    topology,
)

T = TypeVar("T")

STORES = ("central", "dcn0", "dcn1", "dcn2")
EDGES = STORES[1:]
# Most images are at the hub, as they should be.
PLACES = (("central",), ("central",), ("central", "dcn0"), ("central", "dcn0", "dcn1"), STORES, ("dcn2",), ())
TARGETS = (None, ("dcn0",), ("dcn0", "dcn1"), ("dcn1", "dcn2"), STORES, ("central", "dcn0"), ("dcn1", "nowhere"))
WORKS = (Work.COPY, Work.COPY, Work.IMPORT, Work.REMOVE, Work.TRASH, Work.VERIFY)
SHUT = Windows(windows=(Window(days=frozenset(range(7)), start=time(22), end=time(6)),))
GIB = 1 << 30


class Dice:
    """Makes up a situation. Chances are set so that much is wrong, and yet something starts."""

    def __init__(self, seed: int, images: int) -> None:
        self._random = Random(seed)
        self._images = [self._image(number) for number in range(images)]

    def situation(self) -> Situation:
        images = self._images
        attempts = [self._attempt(one, number) for number, one in enumerate(images) if self._falls(0.15)]
        jobs = [self._job(one, number) for number, one in enumerate(images * 3) if self._falls(0.4)]
        policies = [self._policy(number) for number in range(self._random.randint(0, 3))]
        copies = [(one, store) for one in images for store in STORES]
        return situation(
            *(one for one in images if self._falls(0.9)),
            policies=policies,
            jobs=jobs,
            attempts=attempts,
            failures=[failure(*copy, next_in=self._one_of((-5, 60))) for copy in copies if self._falls(0.1)],
            followed=[entry.id for entry in attempts if self._falls(0.5)],
            stores=topology(*EDGES),
            imports=self._random.randint(1, 5),
            per_store=self._random.randint(1, 3),
            upkeep=self._random.randint(0, 4),
            rules=Rules(
                split=self._falls(0.7),
                edge_origin=self._falls(0.7),
                trash_orphans=self._falls(0.7),
                repair=self._repair(),
                rbd=self._falls(0.9),
            ),
            locations=self._one_of((True, True, True, False, None)),
            sites=[self._site(store) for store in STORES if self._falls(0.6)],
            locks={one.id: self._task() for one in images if one.lock and self._falls(0.7)},
            pauses=[self._pause() for _ in range(2) if self._falls(0.2)],
            settings={store: self._settings(store) for store in STORES if self._falls(0.7)},
            retries={store: 60 for store in STORES if self._falls(0.1)},
            stalled=[entry.id for entry in attempts if self._falls(0.3)],
            resting=[copy for copy in copies if self._falls(0.1)],
            pruning=policies,
            bases=[copy for copy in copies if self._falls(0.1)],
            provable=[copy for copy in copies if self._falls(0.3)],
            checking=[copy for copy in copies if self._falls(0.05)],
            makers={
                (one.id, StoreId(store)): self._one_of(("p0", "p1", "p9")) for one, store in copies if self._falls(0.3)
            },
        )

    def _settings(self, store: str) -> StoreSettings:
        ceph = CephSettings(conf=f"/etc/ceph/{store}.conf", user="edgesync") if self._falls(0.8) else None
        return StoreSettings(max_concurrent=2, windows=SHUT if self._falls(0.15) else Windows(), ceph=ceph)

    def _falls(self, chance: float) -> bool:
        return self._random.random() < chance

    def _one_of(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def _image(self, number: int) -> Image:
        status = self._one_of(("queued", "deactivated")) if self._falls(0.15) else "active"
        return image(
            f"img{number}",
            stores=() if status == "queued" else self._one_of(PLACES),
            status=status,
            lock="theirs" if self._falls(0.15) else None,
            size=self._random.randint(0, 6) * GIB,
            disk_format="raw" if self._falls(0.8) else "qcow2",
        )

    def _attempt(self, one: Image, number: int) -> Attempt:
        return attempt(one, *self._one_of(TARGETS[1:-1]) or (), number=number, work=self._one_of(tuple(Work)))

    def _job(self, one: Image, number: int) -> Job:
        work = self._one_of(WORKS)
        uri = self._one_of((None, "https://example.org/image"))
        copied = ("central",) if work is Work.IMPORT and self._falls(0.3) else ()
        asked = job(
            one,
            *(store for store in self._one_of(TARGETS[1:]) or () if store not in copied),
            number=number,
            allow_failure=self._falls(0.7),
            origin=self._one_of(tuple(Origin)) if self._falls(0.3) else Origin.PERSON,
            priority=self._random.randint(0, 1),
            work=work,
            urgent=self._falls(0.2),
            source=ImportSource(uri=uri, name=one.name) if work is Work.IMPORT else None,
            copied=copied,
            engine=self._engine(),
        )
        return replace(asked, deep=self._falls(0.2), mend=self._falls(0.7)) if work is Work.VERIFY else asked

    def _policy(self, number: int) -> Policy:
        return policy(
            f"p{number}",
            stores=self._one_of(TARGETS),
            match=Match(name=self._one_of(("img[0-2]", "img[3-5]", "*"))),
            allow_failure=self._falls(0.7),
            priority=self._random.randint(0, 2),
            waves=[["dcn0"], ["dcn1"]] if self._falls(0.3) else [],
            stop_after_failures=self._random.randint(1, 2),
            prune_limit=self._random.randint(1, 2),
            repair=self._repair() if self._falls(0.3) else None,
            engine=self._engine(),
        )

    def _engine(self) -> EngineChoice:
        return self._one_of(tuple(EngineChoice)) if self._falls(0.5) else EngineChoice.AUTO

    def _repair(self) -> Repair:
        return Repair.FIX if self._falls(0.7) else Repair.REPORT

    def _site(self, store: str) -> Site:
        used = self._one_of((10, 79, 83, 90))
        obstacle = "a watcher" if self._falls(0.2) else ""
        seen = site(
            store,
            self._one_of(tuple(BreakerState)) if self._falls(0.3) else BreakerState.CLOSED,
            since=NOW - timedelta(minutes=self._random.randint(0, 10)),
            used=used * GIB if self._falls(0.5) else None,
            available=(100 - used) * GIB,
            findings=[
                finding(one, store, self._one_of(tuple(Defect)), obstacle=obstacle)
                for one in self._images
                if self._falls(0.3)
            ],
        )
        verified = {
            one.id: Verification(at=NOW + timedelta(minutes=self._one_of((-60, 60))), sound=False)
            for one in self._images
            if self._falls(0.4)
        }
        unfinished = frozenset(one.id for one in self._images if self._falls(0.1))
        return replace(seen, unfinished=unfinished, verified=verified)

    def _task(self) -> ImportTask:
        return task("theirs", updated=NOW - timedelta(minutes=self._one_of((0, 59, 61))))

    def _pause(self) -> Pause:
        of, store = self._one_of((None, *self._images)), self._one_of((None, *STORES))
        return pause(of=of, store=store or ("dcn0" if of is None else None))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    return Dice(draw(st.integers(0, 2**32)), draw(st.integers(1, 6))).situation()


def bringing(plan: Plan) -> Iterator[tuple[Start, StoreId]]:
    return ((start, store) for start in plan.starts if start.work.brings for store in start.stores)


def urgent(case: Situation, start: Start) -> bool:
    return any(entry.urgent for entry in case.ledger.jobs if entry.image == start.image)


def at_most_one_action_on_an_image_and_none_behind_an_attempt_or_a_lock(case: Situation, plan: Plan) -> None:
    touched = Counter(action.image for action in plan.actions if isinstance(action, Start | Follow))
    assert all(number == 1 for number in touched.values())
    busy = {entry.image for entry in case.ledger.attempts}
    for start in plan.starts:
        one = case.world.images.get(start.image)
        assert start.stores
        assert len(set(start.stores)) == len(start.stores)
        assert start.image not in busy, "something is under way"
        assert one is None or not case.locked(one), "somebody else holds the lock"


def data_is_brought_where_it_is_not_and_to_the_hub_first(case: Situation, plan: Plan) -> None:
    for start in plan.starts:
        one, stores = case.world.images.get(start.image), frozenset(start.stores)
        if start.work is Work.COPY:
            assert one is not None
            assert one.active
            assert not one.stores & stores, "a store that has the data"
            assert CENTRAL in one.stores or stores == {CENTRAL}, "central first"
        elif start.work is Work.IMPORT:
            (asked,) = [entry for entry in case.ledger.jobs if entry.id == start.job]
            assert one is None or not one.active
            assert CENTRAL not in asked.pending or start.stores[0] == CENTRAL, "central first"


def nothing_is_brought_into_a_store_that_is_paused_down_shut_or_unknown(case: Situation, plan: Plan) -> None:
    down = {store for store, entry in case.world.sites.items() if not admits(entry.breaker, NOW, running=0)}
    for start, store in bringing(plan):
        assert store in case.world.topology.writable
        assert store not in down
        assert start.work is Work.IMPORT or CENTRAL not in down, "nothing to copy from"
        assert not any(entry.covers(start.image, store) for entry in case.ledger.pauses)
        assert urgent(case, start) or case.budget.settings(store).windows.open_at(NOW)


def no_pool_is_filled_beyond_its_limit(case: Situation, plan: Plan) -> None:
    coming: Counter[StoreId] = Counter()
    for entry in case.ledger.attempts:
        one = case.world.images.get(entry.image)
        if entry.work.brings and one is not None:
            coming.update(dict.fromkeys(entry.stores, one.size or 0))
    for start, store in bringing(plan):
        if start.work is Work.COPY:
            coming[store] += case.world.images[start.image].size or 0
    for store in {store for _, store in bringing(plan)}:
        entry_site = case.world.sites.get(store)
        if entry_site is not None and entry_site.capacity is not None:
            assert entry_site.capacity.fill(coming[store]) <= case.budget.settings(store).max_pool_fill


def slots_are_never_overdrawn(case: Situation, plan: Plan) -> None:
    running = [entry for entry in case.ledger.attempts if entry.work.brings]
    counted = [entry for entry in running if entry.id not in case.stalled]
    brought = [start for start in plan.starts if start.work.brings]
    assert len(brought) <= max(0, case.budget.imports - len(counted))
    before = Counter(store for entry in counted for store in entry.stores)
    with_stalled = Counter(store for entry in running for store in entry.stores)
    for store, number in Counter(store for _, store in bringing(plan)).items():
        entry_site = case.world.sites.get(store)
        doubtful = entry_site is not None and entry_site.breaker.state is not BreakerState.CLOSED
        assert before[store] + number <= (1 if doubtful else case.budget.of(store))
        assert with_stalled[store] + number <= (1 if doubtful else 2 * case.budget.of(store)), "stalled without bound"
    at_work = len(case.ledger.attempts) - len(running)
    assert at_work + len(plan.starts) - len(brought) <= max(case.budget.upkeep, at_work)


def all_or_nothing_is_started_whole(case: Situation, plan: Plan) -> None:
    for start in plan.starts:
        if start.allow_failure or start.job is None or start.stores == (CENTRAL,):
            continue
        (asked,) = [entry for entry in case.ledger.jobs if entry.id == start.job]
        one = case.world.images.get(start.image)
        assert not asked.allow_failure
        assert frozenset(start.stores) == asked.pending - (one.stores if one else frozenset())


def every_missing_copy_is_started_running_settled_or_waits_with_a_reason(case: Situation, plan: Plan) -> None:
    accounted = {(start.image, store) for start in plan.starts for store in start.stores}
    accounted |= {(entry.image, store) for entry in case.ledger.attempts for store in entry.stores}
    accounted |= {(waiting.image, store) for waiting in plan.waiting for store in waiting.stores}
    for image_id, want in case.wants.gaps.items():
        for store in want.missing:
            assert (image_id, store) in accounted
    ended = {
        (action.job, store)
        for action in plan.actions
        if isinstance(action, SettleJob)
        for store in (*action.copied, *action.failed, *action.removed)
    }
    busy = {entry.image for entry in case.ledger.attempts}
    compared = {(check.image, check.store) for check in plan.checks} | case.checking
    for asked in case.ledger.jobs:
        # What is under way on its image may be what ends it.
        for store in asked.pending if asked.image not in busy else ():
            one = case.world.images.get(asked.image)
            inactive = one is not None and not one.active and store in one.stores
            if asked.work is Work.VERIFY and (asked.image, store) in compared:
                continue
            assert inactive or (asked.image, store) in accounted or (asked.id, store) in ended, asked.work
    assert all(waiting.why and waiting.stores for waiting in plan.waiting)


def nothing_is_taken_away_that_is_wanted_the_hubs_or_the_last(case: Situation, plan: Plan) -> None:
    for start in plan.starts:
        one, stores = case.world.images.get(start.image), frozenset(start.stores)
        if start.work is Work.TRASH:
            assert case.rules.trash_orphans
            assert one is None or not one.stores & stores, "a copy, not an orphan"
        elif start.work is Work.SWEEP:
            assert case.rules.trash_orphans
            assert one is None or not (stores & case.wants.stores(one.id) - one.stores), "somebody goes on with it"
        elif not start.work.brings:
            assert one is not None
            assert one.active
            assert stores <= one.stores
        if start.work in {Work.REMOVE, Work.UNLIST}:
            assert one is not None
            assert one.stores - stores, "the last copy"
        if start.work is Work.REMOVE:
            assert CENTRAL not in stores
        if start.work is Work.REMOVE and start.job is None:
            assert not case.bases & {(start.image, store) for store in stores}, "something is layered on it"
            assert not stores & case.wants.stores(start.image)
            assert all(case.makers[start.image, store] == start.requested_by for store in stores)


def what_edgesync_does_unasked_it_does_not_do_to_what_is_paused_down_or_resting(case: Situation, plan: Plan) -> None:
    for start in plan.starts:
        if start.work.brings or start.job is not None:
            continue
        for store in start.stores:
            assert case.admitted(store)
            assert (start.image, store) not in case.resting
            assert not any(entry.covers(start.image, store) for entry in case.ledger.pauses)


def what_persons_have_mended_is_neither_paused_nor_down_and_only_what_they_asked_for(
    case: Situation, plan: Plan
) -> None:
    asked = {entry.id: entry for entry in case.ledger.jobs}
    for start in plan.starts:
        if not start.work.repairs or start.job is None:
            continue
        wanted = asked[start.job]
        assert wanted.work is Work.VERIFY
        assert wanted.mend
        assert wanted.pending.issuperset(start.stores)
        for store in start.stores:
            assert case.admitted(store)
            assert not any(entry.covers(start.image, store) for entry in case.ledger.pauses)
            assert store != CENTRAL or start.work is Work.PROTECT


def copies_are_compared_that_are_there_one_at_a_time_at_each_site(case: Situation, plan: Plan) -> None:
    compared = Counter([check.store for check in plan.checks] + [store for _, store in case.checking])
    assert len(plan.checks) <= max(0, AT_ONCE - len(case.checking))
    for check in plan.checks:
        assert compared[check.store] == 1
        assert check.store in case.world.images[check.image].stores
        assert check.store in check.job.pending
        assert case.admitted(check.store)
        assert not any(entry.covers(check.image, check.store) for entry in case.ledger.pauses)


def no_more_is_pruned_than_a_policy_allows(case: Situation, plan: Plan) -> None:
    limits = {entry.name: entry.prune_limit for entry in case.pruning}
    pruned = Counter(start.requested_by for start in plan.starts if start.work is Work.REMOVE and start.job is None)
    assert all(number <= limits[name] for name, number in pruned.items())


def a_free_slot_is_not_left_idle(case: Situation, plan: Plan) -> None:
    """Unless it is kept for a copy that needs several at once."""
    if not (
        all(entry.allow_failure for entry in case.ledger.jobs) and all(entry.allow_failure for entry in case.pruning)
    ):
        return
    running = [entry for entry in case.ledger.attempts if entry.work.brings]
    stalled = sum(entry.id in case.stalled for entry in running)
    left = case.budget.imports - len(running) + stalled - sum(start.work.brings for start in plan.starts)
    used = Counter(store for entry in running for store in entry.stores)
    used.update(store for _, store in bringing(plan))
    for waiting in plan.waiting:
        # Those that wait for upkeep are another matter: they are no imports.
        if waiting.reason is WaitReason.BUDGET and left > 0 and "import slots" in waiting.why:
            taken = [store for store in waiting.stores if used[store] >= 1]
            assert taken, "nothing is in the way"


def the_rbd_engine_does_only_what_it_can_and_may(case: Situation, plan: Plan) -> None:
    for start in plan.starts:
        if start.engine is not Engine.RBD:
            assert start.work is not Work.COPY or start.choice is not EngineChoice.RBD or CENTRAL in start.stores
            continue
        one = case.world.images[start.image]
        assert start.work is Work.COPY
        assert start.choice is not EngineChoice.COPY_IMAGE
        assert (one.disk_format, one.container_format) == ("raw", "bare")
        assert CENTRAL in one.stores
        assert CENTRAL not in start.stores
        assert case.rules.rbd
        assert case.locations
        assert all(case.budget.settings(store).ceph is not None for store in (CENTRAL, *start.stores))


def nothing_waits_that_nobody_wants(case: Situation, plan: Plan) -> None:
    for waiting in plan.waiting:
        want = case.wants.gaps.get(waiting.image)
        wanted = want.missing if want else frozenset[StoreId]()
        asked = (entry.pending for entry in case.ledger.jobs if entry.image == waiting.image)
        assert waiting.stores <= wanted.union({CENTRAL}, *asked)


INVARIANTS: tuple[Callable[[Situation, Plan], None], ...] = (
    at_most_one_action_on_an_image_and_none_behind_an_attempt_or_a_lock,
    data_is_brought_where_it_is_not_and_to_the_hub_first,
    nothing_is_brought_into_a_store_that_is_paused_down_shut_or_unknown,
    no_pool_is_filled_beyond_its_limit,
    slots_are_never_overdrawn,
    all_or_nothing_is_started_whole,
    every_missing_copy_is_started_running_settled_or_waits_with_a_reason,
    nothing_is_taken_away_that_is_wanted_the_hubs_or_the_last,
    what_edgesync_does_unasked_it_does_not_do_to_what_is_paused_down_or_resting,
    what_persons_have_mended_is_neither_paused_nor_down_and_only_what_they_asked_for,
    copies_are_compared_that_are_there_one_at_a_time_at_each_site,
    no_more_is_pruned_than_a_policy_allows,
    a_free_slot_is_not_left_idle,
    the_rbd_engine_does_only_what_it_can_and_may,
    nothing_waits_that_nobody_wants,
)


@given(situations())
@settings(max_examples=800, deadline=None)
def test_every_plan_keeps_every_invariant(case: Situation) -> None:
    plan = make_plan(case)
    for invariant in INVARIANTS:
        invariant(case, plan)


@given(situations())
@settings(max_examples=100, deadline=None)
def test_the_same_situation_gives_the_same_plan(case: Situation) -> None:
    assert make_plan(case) == make_plan(case)


def test_the_situations_are_not_all_the_same() -> None:
    """Each kind of work and each reason comes up, or the invariants would hold for nothing."""
    plans = [make_plan(Dice(seed, 4).situation()) for seed in range(600)]
    assert {start.work for plan in plans for start in plan.starts} == set(Work) - {Work.VERIFY}
    # READY is what is shown before there is a plan.
    assert {waiting.reason for plan in plans for waiting in plan.waiting} == set(WaitReason) - {WaitReason.READY}
    assert any(start.job is None for plan in plans for start in plan.starts if start.work is Work.REMOVE), "pruning"
    assert any(len(start.stores) > 1 for plan in plans for start in plan.starts if not start.allow_failure)
