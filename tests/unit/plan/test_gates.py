"""Why a copy does not start, each reason by itself, with the sentence that people read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from edgesync.domain.copy import WaitReason
from edgesync.domain.image import TaskStatus
from edgesync.domain.job import Engine, EngineChoice, Origin, Work
from edgesync.domain.pause import Pause
from edgesync.domain.site import BreakerState, Defect
from edgesync.domain.store import CephSettings, Overrun, Store, StoreId, StoreSettings, Topology
from edgesync.domain.window import Window, Windows
from edgesync.plan.locks import LOCK_MARGIN
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Rules
from tests.builders import (
    NOW,
    attempt,
    failure,
    finding,
    image,
    job,
    only_start,
    pause,
    policy,
    reasons,
    site,
    situation,
    started,
    store_ids,
    task,
    topology,
    why,
)

GIB = 1 << 30
EVERY_DAY = frozenset(range(7))
# It is noon.
NIGHT = Windows(windows=(Window(days=EVERY_DAY, start=time(22), end=time(6)),))
MIDDAY = Windows(windows=(Window(days=EVERY_DAY, start=time(11), end=time(13)),))
SPLIT, TOGETHER = Rules(), Rules(split=False)


@pytest.mark.parametrize(
    ("paused", "held"),
    [
        (pause(), {"dcn0", "dcn1"}),
        (pause(store="dcn0"), {"dcn0"}),
        (pause(of=image()), {"dcn0", "dcn1"}),
        (pause(of=image(), store="dcn1"), {"dcn1"}),
        (pause(of=image("another")), set()),
    ],
    ids=["everything", "a store", "an image", "a copy", "another image"],
)
def test_what_a_pause_covers_waits_and_nothing_else(paused: Pause, held: set[str]) -> None:
    plan = make_plan(situation(image(), policies=[policy()], pauses=[paused], rules=TOGETHER))
    assert reasons(plan).get(WaitReason.PAUSED, frozenset()) == held
    assert {store for _, store in started(plan)} == {"dcn0", "dcn1"} - held


def test_a_pause_holds_persons_up_too_and_says_who_set_it_and_why() -> None:
    one = image()
    plan = make_plan(situation(one, jobs=[job(one, "dcn0")], pauses=[pause(store="dcn0", reason="new switch")]))
    assert why(plan, WaitReason.PAUSED) == "store dcn0 is paused by alice: new switch"


def test_two_pauses_on_one_image_hold_up_both_of_their_stores() -> None:
    plan = make_plan(situation(image(), policies=[policy()], pauses=[pause(store="dcn0"), pause(store="dcn1")]))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.PAUSED: store_ids("dcn0", "dcn1")}


def test_a_store_that_is_down_waits_and_the_others_do_not() -> None:
    plan = make_plan(situation(image(), policies=[policy()], sites=[site("dcn0", BreakerState.OPEN)]))
    assert started(plan) == {("img", "dcn1")}
    assert "no answer within 5 s" in why(plan, WaitReason.STORE_DOWN)


def test_many_stores_that_are_down_are_named_or_counted_in_one_sentence() -> None:
    edges = [f"dcn{number}" for number in range(5)]
    sites = [site(edge, BreakerState.OPEN) for edge in edges]
    plan = make_plan(situation(image(), policies=[policy()], sites=sites, stores=topology(*edges)))
    assert why(plan, WaitReason.STORE_DOWN).startswith("dcn0, dcn1, dcn2 and 2 more do not answer")


def test_while_the_hub_is_down_nothing_starts() -> None:
    plan = make_plan(situation(image(), policies=[policy()], sites=[site("central", BreakerState.OPEN)]))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.STORE_DOWN: store_ids("dcn0", "dcn1")}
    assert why(plan, WaitReason.STORE_DOWN).startswith("central, from which every copy comes")


def test_a_store_that_may_be_back_gets_one_copy_at_a_time() -> None:
    images = [image(name) for name in ("a", "b", "c")]
    case = situation(*images, policies=[policy(stores=["dcn0"])], sites=[site("dcn0", BreakerState.HALF_OPEN)])
    assert len(make_plan(case).starts) == 1
    running = situation(
        *images,
        policies=[policy(stores=["dcn0"])],
        sites=[site("dcn0", BreakerState.HALF_OPEN)],
        attempts=[attempt(images[0], "dcn0")],
    )
    assert make_plan(running).starts == ()
    assert reasons(make_plan(running)) == {WaitReason.BUDGET: store_ids("dcn0")}


def test_outside_its_window_a_store_waits_until_it_opens() -> None:
    plan = make_plan(situation(image(), policies=[policy()], settings={"dcn0": StoreSettings(windows=NIGHT)}))
    assert started(plan) == {("img", "dcn1")}
    (waiting,) = [entry for entry in plan.waiting if entry.reason is WaitReason.WINDOW]
    assert waiting.until == datetime(2026, 3, 1, 22, tzinfo=UTC)
    assert waiting.why == "outside its window; the next one opens Sun 22:00 UTC"


def test_stores_with_different_windows_wait_each_for_its_own() -> None:
    later = Windows(windows=(Window(days=EVERY_DAY, start=time(23), end=time(6)),))
    settings = {"dcn0": StoreSettings(windows=NIGHT), "dcn1": StoreSettings(windows=later)}
    plan = make_plan(situation(image(), policies=[policy()], settings=settings))
    assert {(entry.stores, entry.until.hour) for entry in plan.waiting if entry.until} == {
        (store_ids("dcn0"), 22),
        (store_ids("dcn1"), 23),
    }


def test_inside_its_window_a_store_gets_its_copies() -> None:
    case = situation(image(), policies=[policy(stores=["dcn0"])], settings={"dcn0": StoreSettings(windows=MIDDAY)})
    assert started(make_plan(case)) == {("img", "dcn0")}


def test_a_person_waits_for_the_window_unless_it_is_urgent() -> None:
    one, settings = image(), {"dcn0": StoreSettings(windows=NIGHT)}
    assert make_plan(situation(one, jobs=[job(one, "dcn0")], settings=settings)).starts == ()
    assert make_plan(situation(one, jobs=[job(one, "dcn0", urgent=True)], settings=settings)).starts != ()


@pytest.mark.parametrize(
    ("overrun", "rate", "starts"),
    [
        (Overrun.STOP, GIB / 3601, False),
        (Overrun.STOP, GIB / 3599, True),
        (Overrun.STOP, None, True),
        (Overrun.FINISH, GIB / 36000, True),
    ],
    ids=["too slow", "just in time", "nobody knows", "may run over"],
)
def test_a_copy_that_would_run_over_its_window(overrun: Overrun, rate: float | None, starts: bool) -> None:
    """An hour is left, and the image is 1 GiB large."""
    case = situation(
        image(),
        policies=[policy(stores=["dcn0"])],
        settings={"dcn0": StoreSettings(windows=MIDDAY, overrun=overrun)},
        rates={} if rate is None else {"dcn0": rate},
    )
    plan = make_plan(case)
    assert bool(plan.starts) is starts
    if not starts:
        assert "closes at 13:00 UTC (overrun: stop)" in why(plan, WaitReason.WINDOW)


@pytest.mark.parametrize(("engine", "starts"), [(EngineChoice.RBD, True), (EngineChoice.COPY_IMAGE, False)])
def test_whether_a_copy_would_run_over_depends_on_who_makes_it(engine: EngineChoice, starts: bool) -> None:
    ceph = CephSettings(conf="ceph.conf", user="glance")
    closing = StoreSettings(windows=MIDDAY, overrun=Overrun.STOP, ceph=ceph)
    case = situation(
        image(),
        policies=[policy(stores=["dcn0"], engine=engine)],
        settings={"central": StoreSettings(ceph=ceph), "dcn0": closing},
        locations=True,
    )
    rates = {(StoreId("dcn0"), Engine.COPY_IMAGE): GIB / 36000, (StoreId("dcn0"), Engine.RBD): GIB / 60}
    assert bool(make_plan(replace(case, rates=rates)).starts) is starts


def test_an_urgent_copy_may_run_over_the_window() -> None:
    one = image()
    case = situation(
        one,
        jobs=[job(one, "dcn0", urgent=True)],
        settings={"dcn0": StoreSettings(windows=MIDDAY, overrun=Overrun.STOP)},
        rates={"dcn0": 1},
    )
    assert make_plan(case).starts != ()


def test_a_store_that_has_had_enough_retries_within_the_hour_gets_no_more_of_them_but_new_copies() -> None:
    failed, new = image("failed"), image("new")
    case = situation(
        failed,
        new,
        policies=[policy(stores=["dcn0"])],
        failures=[failure(failed, "dcn0", next_in=-1)],
        retries={"dcn0": 60},
    )
    plan = make_plan(case)
    assert started(plan) == {("new", "dcn0")}
    assert reasons(plan) == {WaitReason.RETRY_BUDGET: store_ids("dcn0")}


def test_a_person_waits_neither_for_the_backoff_nor_for_the_retry_budget() -> None:
    one = image()
    case = situation(one, jobs=[job(one, "dcn0")], failures=[failure(one, "dcn0")], retries={"dcn0": 99})
    assert started(make_plan(case)) == {("img", "dcn0")}


def test_the_way_to_the_hub_that_nobody_asked_for_waits_for_its_backoff() -> None:
    one = image(stores=("dcn0",))
    plan = make_plan(situation(one, jobs=[job(one, "dcn1")], failures=[failure(one, "central")]))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.NOT_AT_HUB: store_ids("dcn1"), WaitReason.BACKOFF: store_ids("central")}


def test_what_a_policy_had_begun_waits_for_its_backoff_as_the_policy_does() -> None:
    one = image()
    begun = job(one, "dcn0", origin=Origin.POLICY)
    plan = make_plan(situation(one, jobs=[begun], failures=[failure(one, "dcn0")]))
    assert reasons(plan) == {WaitReason.BACKOFF: store_ids("dcn0")}


def test_the_next_try_is_told_as_the_first_of_those_that_wait() -> None:
    one = image()
    failures = [failure(one, "dcn0", next_in=90), failure(one, "dcn1", next_in=30)]
    (waiting,) = make_plan(situation(one, policies=[policy()], failures=failures)).waiting
    assert waiting.until == NOW + timedelta(seconds=30)


def test_a_leftover_in_the_way_is_cleared_first() -> None:
    one = image()
    plan = make_plan(
        situation(one, policies=[policy()], sites=[site("dcn0", findings=[finding(one, "dcn0", Defect.ORPHAN)])])
    )
    assert only_start(plan).work is Work.TRASH
    assert "RBD's trash first" in why(plan, WaitReason.ORPHAN)


@pytest.mark.parametrize(
    ("obstacle", "rules", "sentence"),
    [
        ("it has a watcher", SPLIT, "it has a watcher"),
        ("", Rules(trash_orphans=False), "remove it by hand"),
    ],
)
def test_a_leftover_that_must_stay_holds_up_its_own_store_alone(obstacle: str, rules: Rules, sentence: str) -> None:
    one = image()
    left = site("dcn0", findings=[finding(one, "dcn0", Defect.ORPHAN, obstacle=obstacle)])
    plan = make_plan(situation(one, policies=[policy()], sites=[left], rules=rules))
    assert started(plan) == {("img", "dcn1")}
    assert sentence in why(plan, WaitReason.ORPHAN)


def test_a_leftover_where_nobody_wants_a_copy_holds_up_nothing() -> None:
    one = image()
    left = site("dcn1", findings=[finding(one, "dcn1", Defect.ORPHAN, obstacle="too young")])
    plan = make_plan(situation(one, jobs=[job(one, "dcn0")], sites=[left]))
    assert started(plan) == {("img", "dcn0")}
    assert plan.waiting == ()


def test_a_full_pool_waits_with_the_figures() -> None:
    full = site("dcn0", used=84 * GIB, available=16 * GIB)
    plan = make_plan(situation(image(size=2 * GIB), policies=[policy()], sites=[full]))
    assert started(plan) == {("img", "dcn1")}
    assert why(plan, WaitReason.CAPACITY) == (
        "its pool holds 84.0 GiB of 100.0 GiB (84%); 2.0 GiB more would pass max_pool_fill, 85%"
    )


def test_the_last_byte_below_the_limit_may_be_used() -> None:
    fits = site("dcn0", used=84 * GIB, available=16 * GIB)
    assert started(make_plan(situation(image(), policies=[policy(stores=["dcn0"])], sites=[fits]))) != set()


def test_what_is_being_copied_counts_as_if_it_were_there() -> None:
    coming, next_one = image("coming"), image("next")
    room_for_one = site("dcn0", used=84 * GIB, available=16 * GIB)
    case = situation(
        coming,
        next_one,
        policies=[policy(stores=["dcn0"])],
        sites=[room_for_one],
        attempts=[attempt(coming, "dcn0")],
    )
    plan = make_plan(case)
    assert plan.starts == ()
    assert "1.0 GiB are on their way" in why(plan, WaitReason.CAPACITY)


@pytest.mark.parametrize("rules", [SPLIT, TOGETHER], ids=["split", "together"])
def test_one_plan_does_not_give_the_same_room_twice(rules: Rules) -> None:
    room_for_one = site("dcn0", used=84 * GIB, available=16 * GIB)
    case = situation(image("a"), image("b"), policies=[policy(stores=["dcn0"])], sites=[room_for_one], rules=rules)
    plan = make_plan(case)
    assert started(plan) == {("a", "dcn0")}
    assert reasons(plan) == {WaitReason.CAPACITY: store_ids("dcn0")}


def test_the_figures_of_many_full_pools_are_cut_short() -> None:
    edges = [f"dcn{number}" for number in range(5)]
    sites = [site(edge, used=90 * GIB, available=10 * GIB) for edge in edges]
    plan = make_plan(situation(image(), policies=[policy()], sites=sites, stores=topology(*edges)))
    sentence = why(plan, WaitReason.CAPACITY)
    assert sentence.startswith("dcn0: its pool holds 90.0 GiB of 100.0 GiB")
    assert sentence.endswith(" and 2 more")


def test_a_rivals_lock_is_told_with_the_time_at_which_it_can_be_taken() -> None:
    one = image(lock="theirs")
    plan = make_plan(situation(one, policies=[policy()], locks={one.id: task("theirs")}))
    assert reasons(plan) == {WaitReason.LOCK: store_ids("dcn0", "dcn1")}
    assert plan.waiting[0].until == NOW + timedelta(minutes=60)
    assert "the lock can be taken at 13:00 UTC" in plan.waiting[0].why


@pytest.mark.parametrize("status", [TaskStatus.PROCESSING, TaskStatus.PENDING])
def test_a_lock_counts_until_glance_gives_it_away_and_no_longer(status: TaskStatus) -> None:
    one = image(lock="dead")
    minutes = 120 if status is TaskStatus.PENDING else 60
    expired = NOW - timedelta(minutes=minutes) - LOCK_MARGIN
    for updated, starts in ((expired + timedelta(seconds=1), False), (expired, True)):
        held = {one.id: task("dead", updated=updated, status=status)}
        assert bool(make_plan(situation(one, policies=[policy()], locks=held)).starts) is starts


def test_a_lock_whose_task_is_not_known_counts() -> None:
    one = image(lock="theirs")
    old = {one.id: task("an-earlier-one", updated=NOW - timedelta(days=1))}
    assert make_plan(situation(one, policies=[policy()], locks=old)).starts == ()


def test_an_image_at_an_edge_only_goes_to_the_hub_first_whoever_asks() -> None:
    one = image(stores=("dcn0",), tags=())
    plan = make_plan(situation(one, jobs=[job(one, "dcn1")]))
    assert started(plan) == {("img", "central")}
    assert only_start(plan).job == "job-1"
    assert reasons(plan) == {WaitReason.NOT_AT_HUB: store_ids("dcn1")}


def test_without_edge_origin_it_stays_at_the_edge_and_the_plan_says_so() -> None:
    one = image(stores=("dcn0",), tags=())
    plan = make_plan(situation(one, jobs=[job(one, "dcn1")], rules=Rules(edge_origin=False)))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.NOT_AT_HUB: store_ids("dcn1")}


def test_an_image_whose_only_site_is_down_can_not_be_brought_to_the_hub() -> None:
    down = site("dcn0", BreakerState.OPEN)
    plan = make_plan(situation(image(stores=("dcn0",)), policies=[policy()], sites=[down]))
    assert plan.starts == ()
    assert why(plan, WaitReason.STORE_DOWN) == "no site that has the image answers: dcn0"


def test_nothing_is_copied_from_a_hub_that_has_no_data() -> None:
    one = image()
    hollow = site("central", findings=[finding(one, "central", Defect.NO_IMAGE)])
    plan = make_plan(situation(one, policies=[policy()], sites=[hollow]))
    assert plan.starts == ()
    assert "RBD has no such image there" in why(plan, WaitReason.NOT_AT_HUB)


def test_a_read_only_store_waits_for_a_person_who_named_it() -> None:
    one = image()
    stores = {
        StoreId("central"): Store(id=StoreId("central")),
        StoreId("web"): Store(id=StoreId("web"), read_only=True),
    }
    closed = Topology(hub=StoreId("central"), stores=stores)
    plan = make_plan(situation(one, jobs=[job(one, "web")], stores=closed))
    assert why(plan, WaitReason.NO_STORE) == "Glance does not list this store, or it is read-only"


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (Work.COPY, "the copy to dcn0 goes first"),
        (Work.REMOVE, "the removal from dcn0 goes first"),
        (Work.TRASH, "clearing away a leftover at dcn0 goes first"),
        (Work.PROTECT, "the repair at dcn0 goes first"),
    ],
)
def test_whatever_is_done_to_an_image_goes_before_its_copies(work: Work, sentence: str) -> None:
    one = image()
    plan = make_plan(situation(one, jobs=[job(one, "dcn1")], attempts=[attempt(one, "dcn0", number=9, work=work)]))
    assert sentence in why(plan, WaitReason.IN_FLIGHT)
