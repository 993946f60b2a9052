"""Invariants that hold for every plan, whatever the world looks like."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, Job
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Situation
from tests.builders import attempt, failure, image, job, policy, situation

STORES = ("central", "dcn0", "dcn1", "dcn2")
some_stores = st.sets(st.sampled_from(STORES)).map(lambda names: tuple(sorted(names)))
edges = st.sets(st.sampled_from(STORES[1:]), min_size=1).map(lambda names: tuple(sorted(names)))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    images: list[Image] = []
    jobs: list[Job] = []
    attempts: list[Attempt] = []
    failures = []
    for number in range(draw(st.integers(0, 6))):
        one = image(
            f"img{number}",
            stores=draw(some_stores),
            status=draw(st.sampled_from(["active", "active", "active", "queued", "deactivated"])),
            lock=draw(st.sampled_from([None, None, "theirs"])),
        )
        if draw(st.booleans()):
            images.append(one)
        if draw(st.booleans()):
            attempts.append(attempt(one, *draw(edges), number=number))
        failures += [failure(one, store, next_in=draw(st.sampled_from([-5, 60]))) for store in draw(some_stores)]
        jobs += [
            job(one, *draw(edges), number=10 * number + extra, allow_failure=draw(st.booleans()))
            for extra in range(draw(st.integers(0, 3)))
        ]
    policies = [
        policy(f"p{number}", stores=draw(st.none() | edges), allow_failure=draw(st.booleans()), priority=number)
        for number in range(draw(st.integers(0, 3)))
    ]
    return situation(
        *images,
        policies=policies,
        jobs=jobs,
        attempts=attempts,
        failures=failures,
        imports=draw(st.integers(1, 5)),
        per_store=draw(st.integers(1, 3)),
    )


@given(situations())
@settings(max_examples=400)
def test_every_plan_keeps_the_invariants(case: Situation) -> None:
    plan = make_plan(case)
    images = case.world.images
    running = case.ledger.attempts
    busy = {entry.image for entry in running}
    assert len({start.image for start in plan.starts}) == len(plan.starts), "two imports of one image"
    assert len(plan.starts) <= max(0, case.budget.imports - len(running)), "more imports than allowed"
    for start in plan.starts:
        one = images[start.image]
        assert start.stores
        assert len(set(start.stores)) == len(start.stores)
        assert start.image not in busy, "an image that is being copied"
        assert one.active
        assert not one.moving, "somebody else holds the lock"
        assert not one.stores & set(start.stores), "a store that has the data"
        assert set(start.stores) <= case.world.topology.stores.keys()
        assert case.world.topology.hub in one.stores or set(start.stores) == {case.world.topology.hub}, "central first"


@given(situations())
def test_every_missing_copy_is_started_running_or_waits_with_a_reason(case: Situation) -> None:
    plan = make_plan(case)
    accounted = {(start.image, store) for start in plan.starts for store in start.stores}
    accounted |= {(entry.image, store) for entry in case.ledger.attempts for store in entry.stores}
    accounted |= {(waiting.image, store) for waiting in plan.waiting for store in waiting.stores}
    for image_id, want in case.wants.gaps.items():
        for store in want.missing:
            assert (image_id, store) in accounted
    assert all(waiting.why and waiting.stores for waiting in plan.waiting)


@given(situations())
def test_slots_are_never_overdrawn_by_a_plan(case: Situation) -> None:
    plan = make_plan(case)
    before = Counter(store for entry in case.ledger.attempts for store in entry.stores)
    after = before + Counter(store for start in plan.starts for store in start.stores)
    for store, number in after.items():
        assert number <= max(case.budget.of(store), before[store])
