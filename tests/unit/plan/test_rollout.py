"""Canary waves."""

from __future__ import annotations

from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image
from edgesync.domain.job import Origin
from edgesync.domain.policy import Policy
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Rules, Situation
from tests.builders import failure, image, job, only_start, policy, reasons, situation, store_ids, topology, why

EDGES = ("dcn0", "dcn1", "dcn2", "dcn3", "dcn4")


def careful(*, stop_after_failures: int = 1, allow_failure: bool = True) -> Policy:
    """One canary, then two sites, then the rest."""
    return policy(
        waves=[["dcn0"], ["dcn1", "dcn2"]], stop_after_failures=stop_after_failures, allow_failure=allow_failure
    )


def rollout(one: Image, rules: Policy, *failed: str, next_in: float = 60) -> Situation:
    return situation(
        one,
        policies=[rules],
        stores=topology(*EDGES),
        failures=[failure(one, store, next_in=next_in) for store in failed],
        rules=Rules(split=False),
    )


def test_the_canary_goes_first() -> None:
    plan = make_plan(rollout(image(), careful()))
    assert only_start(plan).stores == ("dcn0",)
    assert reasons(plan) == {WaitReason.WAVE: store_ids("dcn1", "dcn2", "dcn3", "dcn4")}
    assert why(plan, WaitReason.WAVE) == "wave 1 of policy golden comes first: dcn0"


def test_the_next_wave_starts_when_all_of_the_one_before_arrived() -> None:
    half = make_plan(rollout(image(stores=("central", "dcn0", "dcn1")), careful()))
    assert only_start(half).stores == ("dcn2",)
    done = make_plan(rollout(image(stores=("central", "dcn0", "dcn1", "dcn2")), careful()))
    assert only_start(done).stores == ("dcn3", "dcn4")


def test_a_canary_that_fails_stops_the_rollout() -> None:
    plan = make_plan(rollout(image(), careful(), "dcn0"))
    assert plan.starts == ()
    assert reasons(plan) == {
        WaitReason.BACKOFF: store_ids("dcn0"),
        WaitReason.WAVE: store_ids("dcn1", "dcn2", "dcn3", "dcn4"),
    }
    assert why(plan, WaitReason.WAVE) == "the rollout of policy golden has stopped: dcn0 failed"


def test_what_failed_is_tried_again_and_nothing_else() -> None:
    plan = make_plan(rollout(image(), careful(), "dcn0", next_in=-1))
    assert only_start(plan).stores == ("dcn0",)


def test_fewer_failures_than_it_takes_do_not_hold_up_the_next_wave() -> None:
    plan = make_plan(rollout(image(), careful(stop_after_failures=2), "dcn0"))
    assert only_start(plan).stores == ("dcn1", "dcn2")


def test_failures_of_all_waves_add_up() -> None:
    plan = make_plan(rollout(image(stores=("central", "dcn2")), careful(stop_after_failures=2), "dcn0", "dcn1"))
    assert plan.starts == ()
    assert "dcn0, dcn1 failed" in why(plan, WaitReason.WAVE)


def test_a_failure_in_the_last_wave_stops_the_rest_of_it() -> None:
    plan = make_plan(rollout(image(stores=("central", "dcn0", "dcn1", "dcn2")), careful(), "dcn3"))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.BACKOFF: store_ids("dcn3"), WaitReason.WAVE: store_ids("dcn4")}


def test_a_person_does_not_wait_for_the_waves() -> None:
    one = image()
    case = situation(one, policies=[careful()], stores=topology(*EDGES), jobs=[job(one, "dcn4")], imports=1)
    assert only_start(make_plan(case)).stores == ("dcn4",)


def test_the_hub_is_no_wave() -> None:
    plan = make_plan(rollout(image(stores=("dcn4",)), careful()))
    assert only_start(plan).stores == ("central",)


def test_all_or_nothing_holds_for_each_wave_by_itself() -> None:
    plan = make_plan(rollout(image(stores=("central", "dcn0")), careful(allow_failure=False)))
    assert only_start(plan).stores == ("dcn1", "dcn2")
    assert not only_start(plan).allow_failure


def test_a_copy_that_was_begun_before_is_no_new_wave() -> None:
    """Its job waits for nothing but its turn: its wave had come."""
    one = image()
    begun = job(one, "dcn3", origin=Origin.POLICY)
    plan = make_plan(situation(one, policies=[careful()], stores=topology(*EDGES), jobs=[begun]))
    assert only_start(plan).stores == ("dcn0",)
    assert reasons(plan)[WaitReason.IN_FLIGHT] == store_ids("dcn3")


def test_a_wave_of_stores_that_glance_does_not_have_is_over() -> None:
    ahead = policy(waves=[["dcn9"], ["dcn0"]])
    assert only_start(make_plan(rollout(image(), ahead))).stores == ("dcn0",)
