"""Who gets the slots: tiers, whole and split imports, and fairness between the sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesync.domain.action import Start
from edgesync.domain.copy import WaitReason
from edgesync.domain.job import Attempt, AttemptId, JobId, Origin, Work
from edgesync.domain.policy import Match
from edgesync.domain.site import BreakerState, Defect
from edgesync.domain.store import StoreId, StoreSettings
from edgesync.plan.allocation import DEFERENCE
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Rules, Situation
from edgesync.plan.wants import Wants, update_wants
from tests.builders import (
    CENTRAL,
    NOW,
    attempt,
    finding,
    image,
    job,
    only_start,
    policy,
    reasons,
    site,
    situation,
    started,
    store_ids,
    topology,
    why,
)

TOGETHER = Rules(split=False)


def test_copies_that_may_fail_singly_are_an_import_per_store() -> None:
    """So that a store that hangs does not keep the lock of the image from the others for longer than it must."""
    plan = make_plan(situation(image("a"), image("b"), policies=[policy()]))
    assert sorted(start.stores for start in plan.starts) == [("dcn0",), ("dcn1",)]
    assert started(plan) == {("a", "dcn0"), ("b", "dcn1")}
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn0", "dcn1")}


def test_together_they_are_one_import_of_all_stores() -> None:
    plan = make_plan(situation(image("a"), image("b"), policies=[policy()], rules=TOGETHER))
    assert [start.stores for start in plan.starts] == [("dcn0", "dcn1"), ("dcn0", "dcn1")]


def test_together_they_do_not_wait_for_a_store_without_slots() -> None:
    busy = image("busy")
    case = situation(
        busy, image("next"), policies=[policy()], attempts=[attempt(busy, "dcn0")], per_store=1, rules=TOGETHER
    )
    plan = make_plan(case)
    assert started(plan) == {("next", "dcn1")}
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn0", "dcn1")}


def test_joining_an_import_takes_no_second_slot_of_all() -> None:
    one = image()
    jobs = [job(one, "dcn0", number=1), job(one, "dcn1", number=2)]
    start = only_start(make_plan(situation(one, jobs=jobs, imports=1, rules=TOGETHER)))
    assert start.stores == ("dcn0", "dcn1")
    assert start.why == "alice asked for it (job job-1); alice asked for it (job job-2)"


@pytest.mark.parametrize("rules", [Rules(), TOGETHER], ids=["split", "together"])
def test_all_or_nothing_is_one_import_that_nobody_joins(rules: Rules) -> None:
    one = image()
    jobs = [job(one, "dcn0", "dcn1", number=1, allow_failure=False), job(one, "dcn2", number=2)]
    plan = make_plan(situation(one, jobs=jobs, stores=topology("dcn0", "dcn1", "dcn2"), rules=rules))
    assert only_start(plan).stores == ("dcn0", "dcn1")
    assert not only_start(plan).allow_failure
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn2")}


def test_all_or_nothing_joins_nobody() -> None:
    one = image()
    jobs = [job(one, "dcn0", number=1, urgent=True), job(one, "dcn1", number=2, allow_failure=False)]
    plan = make_plan(situation(one, jobs=jobs, rules=TOGETHER))
    assert only_start(plan).stores == ("dcn0",)
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn1")}


def test_an_edge_image_wanted_all_or_nothing_goes_to_the_hub_first() -> None:
    one = image(stores=("dcn0",))
    plan = make_plan(situation(one, jobs=[job(one, "dcn1", allow_failure=False)]))
    assert only_start(plan).stores == ("central",)


def test_a_policys_backlog_does_not_keep_an_all_or_nothing_copy_waiting_for_ever() -> None:
    """Each of its stores is free now and then, but never both at once, unless a freed slot is kept for it."""
    whole, busy = image("whole", tags=()), image("busy", tags=())
    backlog = [image(f"backlog{number}") for number in range(9)]
    case = situation(
        whole,
        busy,
        *backlog,
        policies=[policy()],
        jobs=[job(whole, "dcn0", "dcn1", allow_failure=False)],
        attempts=[attempt(busy, "dcn0", number=9)],
        per_store=1,
    )
    plan = make_plan(case)
    assert plan.starts == ()
    assert WaitReason.BUDGET in reasons(plan)
    free = make_plan(replace(case, ledger=replace(case.ledger, attempts=())))
    assert started(free) == {("whole", "dcn0"), ("whole", "dcn1")}


def test_only_the_first_of_a_tier_has_slots_kept_for_it() -> None:
    first, second, busy, small = image("1"), image("2"), image("busy"), image("small")
    jobs = [
        job(first, "dcn0", "dcn1", number=1, allow_failure=False),
        job(second, "dcn0", "dcn2", number=2, allow_failure=False),
        job(small, "dcn2", number=3),
    ]
    case = situation(
        first,
        second,
        busy,
        small,
        jobs=jobs,
        attempts=[attempt(busy, "dcn0", number=9)],
        per_store=1,
        stores=topology("dcn0", "dcn1", "dcn2"),
    )
    assert started(make_plan(case)) == {("small", "dcn2")}


def test_an_image_for_which_slots_are_kept_gets_no_other_copy_meanwhile() -> None:
    one, busy = image(), image("busy", tags=())
    case = situation(
        one,
        busy,
        policies=[policy()],
        jobs=[job(one, "dcn0", allow_failure=False)],
        attempts=[attempt(busy, "dcn0", number=9)],
        per_store=1,
    )
    plan = make_plan(case)
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.BUDGET: store_ids("dcn0"), WaitReason.IN_FLIGHT: store_ids("dcn1")}


def test_no_slot_is_kept_for_a_copy_that_waits_for_a_store_where_nothing_moves() -> None:
    """Or one sick site would idle the healthy ones."""
    whole, stuck, other = image("whole", tags=()), image("stuck", tags=()), image("other")
    case = situation(
        whole,
        stuck,
        other,
        policies=[policy(stores=["dcn1"])],
        jobs=[job(whole, "dcn0", "dcn1", allow_failure=False)],
        attempts=[attempt(stuck, "dcn0", number=9)],
        sites=[site("dcn0", BreakerState.HALF_OPEN)],
        stalled=["attempt-9"],
        per_store=1,
    )
    assert started(make_plan(case)) == {("other", "dcn1")}


def test_urgent_before_persons_before_policies_and_by_priority_among_them() -> None:
    names = ("urgent", "first", "second", "important", "usual")
    images = {name: image(name, tags=(name,)) for name in names}
    base = situation(
        *images.values(),
        policies=[
            policy("usual", stores=["dcn0"], match=Match(tags=frozenset({"usual"}))),
            policy("important", stores=["dcn0"], priority=9, match=Match(tags=frozenset({"important"}))),
        ],
        jobs=[
            job(images["second"], "dcn0", number=1),
            job(images["first"], "dcn0", number=2, priority=1),
            job(images["urgent"], "dcn0", number=3, urgent=True),
        ],
    )
    for slots, name in enumerate(names, 1):
        case = replace(base, budget=replace(base.budget, imports=slots))
        assert [start.image for start in make_plan(case).starts] == [f"id-{entry}" for entry in names[:slots]], name


def test_repairs_go_with_persons_before_policies() -> None:
    broken, usual = image("broken", tags=()), image("usual")
    mend = job(broken, "dcn0", origin=Origin.REPAIR)
    plan = make_plan(situation(broken, usual, policies=[policy(stores=["dcn0"])], jobs=[mend], imports=1))
    assert started(plan) == {("broken", "dcn0")}
    assert "was broken" in only_start(plan).why


def test_first_come_first_served_among_equals() -> None:
    early, late = image("z"), image("a")
    jobs = [job(late, "dcn0", number=2), job(early, "dcn0", number=1)]
    assert started(make_plan(situation(early, late, jobs=jobs, imports=1))) == {("z", "dcn0")}


def test_a_removal_goes_before_a_copy_of_the_same_image() -> None:
    one = image(stores=("central", "dcn0"))
    jobs = [job(one, "dcn1", number=1), job(one, "dcn0", number=2, work=Work.REMOVE)]
    plan = make_plan(situation(one, jobs=jobs))
    assert only_start(plan).work is Work.REMOVE
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn1")}


def test_a_repair_goes_before_a_copy_of_the_same_image() -> None:
    one = image(stores=("central", "dcn0"))
    open_snapshot = site("dcn0", findings=[finding(one, "dcn0", Defect.UNPROTECTED)])
    plan = make_plan(situation(one, policies=[policy()], sites=[open_snapshot]))
    assert only_start(plan).work is Work.PROTECT
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn1")}


def test_which_slots_are_taken_is_told() -> None:
    one, two = image("1"), image("2")
    all_taken = make_plan(situation(one, two, policies=[policy(stores=["dcn0"])], imports=1))
    assert why(all_taken, WaitReason.BUDGET) == "all import slots are taken"
    of_store = make_plan(situation(one, two, policies=[policy(stores=["dcn0"])], per_store=1))
    assert why(of_store, WaitReason.BUDGET) == "the import slots of its store are taken"


def test_a_stalled_import_keeps_no_other_from_starting() -> None:
    stuck, other = image("stuck", tags=()), image("other")
    case = situation(
        stuck,
        other,
        policies=[policy(stores=["dcn1"])],
        attempts=[attempt(stuck, "dcn0")],
        imports=1,
    )
    assert make_plan(case).starts == ()
    assert started(make_plan(replace(case, stalled=frozenset({AttemptId("attempt-1")})))) == {("other", "dcn1")}


def test_the_store_with_the_least_under_way_comes_first() -> None:
    running = [image(f"r{number}", tags=()) for number in range(2)]
    case = situation(
        *running,
        *(image(f"w{number}") for number in range(4)),
        policies=[policy()],
        attempts=[attempt(entry, "dcn0", number=number) for number, entry in enumerate(running)],
        imports=4,
    )
    assert {store for _, store in started(make_plan(case))} == {"dcn1"}


def test_among_equals_the_store_that_has_waited_longest_comes_first() -> None:
    served = {StoreId("dcn0"): NOW, StoreId("dcn1"): NOW - timedelta(minutes=1), CENTRAL: NOW}
    assert started(make_plan(situation(image(), policies=[policy()], imports=1, served=served))) == {("img", "dcn1")}


def test_a_healthy_store_goes_before_one_in_doubt() -> None:
    doubtful = site("dcn0", BreakerState.HALF_OPEN)
    served = {StoreId("dcn1"): NOW}
    plan = make_plan(situation(image(), policies=[policy()], imports=1, sites=[doubtful], served=served))
    assert started(plan) == {("img", "dcn1")}


def test_but_not_for_ever() -> None:
    doubtful = site("dcn0", BreakerState.HALF_OPEN, since=NOW - DEFERENCE)
    served = {StoreId("dcn1"): NOW}
    plan = make_plan(situation(image(), policies=[policy()], imports=1, sites=[doubtful], served=served))
    assert started(plan) == {("img", "dcn0")}


class Cloud:
    """Plans, round after round; a copy takes as many rounds as its store needs."""

    def __init__(self, case: Situation, rounds_of: dict[str, int]) -> None:
        self.case = case
        self._rounds_of = rounds_of
        self._ends: dict[AttemptId, int] = {}
        self._number = 0
        self.served: Counter[StoreId] = Counter()
        # Slot-rounds that each store has had.
        self.held: Counter[StoreId] = Counter()

    def turn(self, now: datetime) -> None:
        self._number += 1
        self._finish([entry for entry in self.case.ledger.attempts if self._ends[entry.id] <= self._number])
        self.case = replace(self.case, now=now)
        for number, start in enumerate(make_plan(self.case).starts):
            # One after the other, as a daemon does.
            self._start(start, now + timedelta(microseconds=number))
        self.held.update(store for entry in self.case.ledger.attempts for store in entry.stores)

    def _finish(self, ended: Iterable[Attempt]) -> None:
        """The copies have arrived."""
        images, gone = dict(self.case.world.images), {entry.id for entry in ended}
        for entry in ended:
            images[entry.image] = replace(images[entry.image], stores=images[entry.image].stores.union(entry.stores))
        world = replace(self.case.world, images=images, changed=frozenset(entry.image for entry in ended))
        left = tuple(entry for entry in self.case.ledger.attempts if entry.id not in gone)
        self.case = replace(
            self.case,
            world=world,
            wants=update_wants(self.case.wants, world, POLICIES),
            ledger=replace(self.case.ledger, attempts=left),
            followed=frozenset(entry.id for entry in left),
        )

    def _start(self, start: Start, now: datetime) -> None:
        opened = Attempt(
            id=AttemptId(f"{self._number}-{start.image}"),
            job=JobId("policy"),
            image=start.image,
            stores=start.stores,
            allow_failure=start.allow_failure,
            started_at=now,
        )
        (store,) = start.stores
        self._ends[opened.id] = self._number + self._rounds_of.get(store, 1)
        self.served[store] += 1
        ledger = replace(self.case.ledger, attempts=(*self.case.ledger.attempts, opened))
        self.case = replace(
            self.case,
            ledger=ledger,
            followed=self.case.followed | {opened.id},
            served={**self.case.served, store: now},
        )


EDGES = tuple(f"dcn{number}" for number in range(6))
POLICIES = (policy(),)


def cloud(rounds_of: dict[str, int], *, imports: int, images: int = 60, sites: Iterable[str] = ()) -> Cloud:
    case = situation(
        *(image(f"{number:02}") for number in range(images)),
        policies=POLICIES,
        stores=topology(*EDGES),
        imports=imports,
        per_store=2,
        sites=[site(store, BreakerState.HALF_OPEN) for store in sites],
    )
    return Cloud(case, rounds_of)


@given(st.integers(1, 8), st.lists(st.integers(1, 3), min_size=6, max_size=6))
@settings(max_examples=20, deadline=None)
def test_no_site_starves_however_slow_the_others_are(imports: int, rounds: list[int]) -> None:
    some = cloud(dict(zip(EDGES, rounds, strict=True)), imports=imports)
    longest = max(rounds)
    for number in range(12 * longest):
        some.turn(NOW + timedelta(seconds=number))
    assert set(some.served) == set(EDGES)
    # Each has had its share of the slots' time, but for what hangs over at both ends.
    fair = min(2 * 12 * longest, imports * 12 * longest / len(EDGES))
    assert all(some.held[StoreId(store)] >= fair / 2 - 2 * longest for store in EDGES)


def test_slots_are_shared_evenly_between_equals() -> None:
    some = cloud({}, imports=4)
    for number in range(30):
        some.turn(NOW + timedelta(seconds=number))
    assert set(some.served) == set(EDGES)
    assert max(some.served.values()) - min(some.served.values()) <= 1
    assert sum(some.served.values()) == 4 * 30


def test_a_slow_site_holds_no_more_than_its_own_slots() -> None:
    some = cloud({"dcn0": 10}, imports=6)
    for number in range(30):
        some.turn(NOW + timedelta(seconds=number))
    assert some.held[StoreId("dcn0")] <= 2 * 30
    others = [some.served[StoreId(store)] for store in EDGES[1:]]
    assert max(others) - min(others) <= 2
    assert sum(others) >= 4 * 30 - len(EDGES)


def test_a_site_in_doubt_has_its_trial_in_the_end_whatever_the_others_want() -> None:
    some = cloud({}, imports=1, sites=["dcn5"])
    some.turn(NOW)
    assert StoreId("dcn5") not in some.served
    for number in range(len(EDGES)):
        some.turn(NOW + DEFERENCE + timedelta(seconds=number))
    assert some.served[StoreId("dcn5")] == 1


def test_everything_arrives_in_the_end() -> None:
    some = cloud({"dcn0": 3}, imports=3, images=8)
    for number in range(8 * len(EDGES)):
        some.turn(NOW + timedelta(seconds=number))
    assert some.case.wants.gaps == Wants().gaps
    assert sum(some.served.values()) == 8 * len(EDGES)


def test_the_limits_of_a_single_store_are_kept() -> None:
    narrow = {"dcn0": StoreSettings(max_concurrent=1)}
    plan = make_plan(situation(*(image(name) for name in "abcd"), policies=[policy()], settings=narrow))
    assert Counter(store for _, store in started(plan)) == {"dcn0": 1, "dcn1": 3}
