"""What the planner starts, follows, settles, and why the rest waits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edgesync.domain.action import Follow, Plan, SettleJob
from edgesync.domain.copy import WaitReason
from edgesync.domain.job import Engine, EngineChoice, Origin
from edgesync.domain.store import CephSettings, StoreSettings
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Rules
from tests.builders import (
    NOW,
    attempt,
    failure,
    image,
    job,
    only_start,
    policy,
    reasons,
    situation,
    store_ids,
    topology,
)

# Whole demands as one import, as older configurations may ask for.
TOGETHER = Rules(split=False)


def test_a_policy_brings_an_image_to_every_store_that_lacks_it() -> None:
    start = only_start(make_plan(situation(image(stores=("central", "dcn0")), policies=[policy()])))
    assert start.stores == ("dcn1",)
    assert start.origin is Origin.POLICY
    assert start.job is None
    assert "policy golden" in start.why


def test_nothing_to_do_when_every_copy_is_there() -> None:
    plan = make_plan(situation(image(stores=("central", "dcn0", "dcn1")), policies=[policy()]))
    assert plan == Plan()


def test_an_image_that_no_policy_matches_stays_where_it_is() -> None:
    assert make_plan(situation(image(tags=()), policies=[policy()])) == Plan()


def test_demands_of_one_image_share_one_import() -> None:
    one = image()
    jobs = [job(one, "dcn0", number=1), job(one, "dcn1", number=2), job(one, "dcn0", "dcn1", number=3)]
    start = only_start(make_plan(situation(one, policies=[policy()], jobs=jobs, rules=TOGETHER)))
    assert start.stores == ("dcn0", "dcn1")
    assert start.job == "job-1"


def test_all_or_nothing_goes_alone() -> None:
    one = image()
    jobs = [job(one, "dcn0", number=1, allow_failure=False), job(one, "dcn1", number=2)]
    plan = make_plan(situation(one, jobs=jobs))
    start = only_start(plan)
    assert start.stores == ("dcn0",)
    assert not start.allow_failure
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn1")}


def test_all_or_nothing_starts_only_with_all_of_its_stores() -> None:
    one, other = image("one"), image("other")
    running = attempt(other, "dcn1")
    waiting = make_plan(
        situation(one, other, jobs=[job(one, "dcn0", "dcn1", allow_failure=False)], attempts=[running], per_store=1)
    )
    assert waiting.starts == ()
    assert reasons(waiting) == {WaitReason.BUDGET: store_ids("dcn0", "dcn1")}


def test_a_person_goes_before_a_policy_and_priority_before_order() -> None:
    mine, urgent, later = image("mine", tags=()), image("urgent"), image("later", tags=("late",))
    plan = make_plan(
        situation(
            mine,
            urgent,
            later,
            policies=[policy("urgent", priority=10)],
            jobs=[job(mine, "dcn0")],
            imports=2,
        )
    )
    assert [start.image for start in plan.starts] == ["id-mine", "id-urgent"]


def test_store_slots_bound_what_starts() -> None:
    plan = make_plan(situation(image("a"), image("b"), policies=[policy(stores=["dcn0"])], per_store=1))
    assert len(plan.starts) == 1
    assert reasons(plan) == {WaitReason.BUDGET: store_ids("dcn0")}


def test_running_imports_take_slots() -> None:
    running = image("running", tags=())
    plan = make_plan(
        situation(running, image("next"), policies=[policy()], attempts=[attempt(running, "dcn0")], imports=1)
    )
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.BUDGET: store_ids("dcn0", "dcn1")}


def test_one_import_per_image_at_a_time() -> None:
    one = image()
    plan = make_plan(situation(one, policies=[policy()], attempts=[attempt(one, "dcn0")]))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn1")}


def test_a_rivals_lock_is_waited_for() -> None:
    plan = make_plan(situation(image(lock="theirs"), policies=[policy()]))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.LOCK: store_ids("dcn0", "dcn1")}
    assert "theirs" in plan.waiting[0].why


def test_an_attempt_nobody_follows_is_followed() -> None:
    one = image(lock="task")
    left = attempt(one, "dcn0", task="task")
    plan = make_plan(situation(one, policies=[policy()], attempts=[left], followed=[]))
    assert plan.actions == (Follow(attempt=left),)


def test_an_image_that_is_not_active_waits() -> None:
    plan = make_plan(situation(image(status="queued", stores=()), policies=[policy()]))
    assert list(reasons(plan)) == [WaitReason.NOT_ACTIVE]


def test_central_first() -> None:
    plan = make_plan(situation(image(stores=("dcn0",)), policies=[policy()]))
    assert only_start(plan).stores == ("central",)
    assert reasons(plan) == {WaitReason.NOT_AT_HUB: store_ids("dcn1")}


def test_a_store_that_glance_does_not_know_waits_and_does_not_hold_up_the_others() -> None:
    plan = make_plan(situation(image(), policies=[policy(stores=["dcn0", "dcn7"])]))
    assert only_start(plan).stores == ("dcn0",)
    assert reasons(plan) == {WaitReason.NO_STORE: store_ids("dcn7")}


def test_a_failed_copy_backs_off_and_is_tried_when_its_time_comes() -> None:
    one = image()
    early = make_plan(situation(one, policies=[policy()], failures=[failure(one, "dcn0")]))
    assert only_start(early).stores == ("dcn1",)
    assert reasons(early) == {WaitReason.BACKOFF: store_ids("dcn0")}
    due = make_plan(situation(one, policies=[policy()], failures=[failure(one, "dcn0", next_in=-1)], rules=TOGETHER))
    assert only_start(due).stores == ("dcn0", "dcn1")


def test_a_person_does_not_wait_for_the_backoff() -> None:
    one = image()
    plan = make_plan(situation(one, jobs=[job(one, "dcn0")], failures=[failure(one, "dcn0")]))
    assert only_start(plan).stores == ("dcn0",)


def test_a_single_run_tries_each_copy_once() -> None:
    one = image()
    failed = failure(one, "dcn0")
    before = make_plan(situation(one, policies=[policy()], failures=[failed], forgive_before=NOW, rules=TOGETHER))
    assert only_start(before).stores == ("dcn0", "dcn1")
    since = failed.failed_at - timedelta(seconds=1)
    after = make_plan(situation(one, policies=[policy()], failures=[failed], forgive_before=since))
    assert only_start(after).stores == ("dcn1",)


def test_a_job_whose_copies_came_another_way_is_settled() -> None:
    one = image(stores=("central", "dcn0"))
    plan = make_plan(situation(one, jobs=[job(one, "dcn0", "dcn1")]))
    (settled,) = [action for action in plan.actions if isinstance(action, SettleJob)]
    assert settled.copied == ("dcn0",)
    assert only_start(plan).stores == ("dcn1",)


def test_a_job_of_a_deleted_image_ends() -> None:
    (settled,) = make_plan(situation(jobs=[job(image(), "dcn0")])).actions
    assert isinstance(settled, SettleJob)
    assert settled.failed == ("dcn0",)
    assert "deleted" in settled.reason


def test_a_read_only_store_is_not_part_of_all() -> None:
    stores = topology("dcn0")
    web = stores.stores[next(iter(store_ids("dcn0")))]
    closed = type(stores)(hub=stores.hub, stores={**stores.stores, web.id: type(web)(id=web.id, read_only=True)})
    assert make_plan(situation(image(), policies=[policy()], stores=closed)) == Plan()


def test_all_or_nothing_waits_for_the_same_reason_as_the_store_that_holds_it_up() -> None:
    """Not for a slot: that would pass by itself, and a single run would wait for it until its time is up."""
    one = image()
    plan = make_plan(situation(one, jobs=[job(one, "dcn0", "nowhere", allow_failure=False)]))
    assert plan.starts == ()
    assert {waiting.reason for waiting in plan.waiting} == {WaitReason.NO_STORE}
    assert frozenset().union(*(waiting.stores for waiting in plan.waiting)) == store_ids("dcn0", "nowhere")


def test_a_job_whose_engine_can_not_go_there_keeps_no_policys_copy_away() -> None:
    one = image(disk_format="qcow2")
    asked = job(one, "dcn0", "dcn1", engine=EngineChoice.RBD)
    plan = make_plan(situation(one, policies=[policy(stores=["dcn0"])], jobs=[asked]))
    start = only_start(plan)
    assert (start.stores, start.origin, start.engine) == (("dcn0",), Origin.POLICY, Engine.COPY_IMAGE)
    assert reasons(plan) == {WaitReason.ENGINE: store_ids("dcn0", "dcn1")}


@pytest.mark.parametrize("allow_failure", [True, False])
def test_nor_does_one_that_can_go_to_some_of_its_stores(allow_failure: bool) -> None:
    one, ceph = image(), StoreSettings(ceph=CephSettings(conf="ceph.conf", user="glance"))
    asked = job(one, "dcn0", "dcn1", engine=EngineChoice.RBD, allow_failure=allow_failure)
    case = situation(
        one,
        policies=[policy(engine=EngineChoice.COPY_IMAGE)],
        jobs=[asked],
        settings={"central": ceph, "dcn0": ceph},
        locations=True,
    )
    plan = make_plan(case)
    (start,) = plan.starts
    if allow_failure:
        assert (start.stores, start.engine, start.job) == (("dcn0",), Engine.RBD, asked.id)
        assert reasons(plan)[WaitReason.IN_FLIGHT] == store_ids("dcn1"), "one action per image: it goes next"
    else:
        assert (start.stores, start.engine, start.job) == (("dcn0",), Engine.COPY_IMAGE, None)
