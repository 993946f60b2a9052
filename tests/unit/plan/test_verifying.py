"""Which comparisons start, what others wait for, and what of their findings is mended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edgesync.domain.action import Check, SettleJob
from edgesync.domain.blocks import Verification
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image
from edgesync.domain.job import Job, Origin, Work
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Repair
from edgesync.domain.site import Breaker, BreakerState, Defect, Site
from edgesync.domain.store import StoreId
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Rules, Situation
from edgesync.plan.verifying import AT_ONCE
from tests.builders import NOW, attempt, finding, image, job, pause, reasons, site, situation

DCN0 = StoreId("dcn0")
ALL = ("central", "dcn0", "dcn1")
ONE = image("one", stores=ALL)


def asked(of: Image = ONE, *stores: str, mend: bool = False, number: int = 1) -> Job:
    wanted = job(of, *(stores or ALL), work=Work.VERIFY, number=number)
    return replace(wanted, mend=mend)


def checks(case: Situation) -> set[tuple[str, str]]:
    return {(check.image, check.store) for check in make_plan(case).checks}


def found(defect: Defect, *, verified: timedelta | None, obstacle: str = "") -> Site:
    """What is known of the copy at dcn0, last compared so long after now."""
    seen = {} if verified is None else {ONE.id: Verification(at=NOW + verified, sound=False, damage="bytes 0-65535")}
    return replace(site("dcn0", findings=[finding(ONE, "dcn0", defect, obstacle=obstacle)]), verified=seen)


def test_every_copy_is_compared_one_at_a_time_at_each_site() -> None:
    other = image("other", stores=ALL)
    case = situation(ONE, other, jobs=[asked(), asked(other, number=2)])
    assert checks(case) == {(ONE.id, store) for store in ALL}
    assert reasons(make_plan(case))[WaitReason.BUDGET] == set(ALL)


def test_a_copy_that_is_being_compared_is_not_compared_twice() -> None:
    case = replace(situation(ONE, jobs=[asked()]), checking=frozenset({(ONE.id, StoreId("dcn0"))}))
    assert checks(case) == {(ONE.id, "central"), (ONE.id, "dcn1")}


def test_all_sites_together_have_a_limit() -> None:
    busy = frozenset({(image(f"busy{number}").id, StoreId(f"dcn{number}")) for number in range(5, 5 + AT_ONCE - 1)})
    assert len(checks(replace(situation(ONE, jobs=[asked()]), checking=busy))) == 1


def test_other_work_on_the_image_is_no_obstacle_and_none_waits_for_it() -> None:
    two = image("two", stores=("central", "dcn0"))
    case = situation(two, jobs=[asked(two, "dcn0")], attempts=[attempt(two, "dcn1", number=9)])
    assert checks(case) == {(two.id, "dcn0")}
    copied = situation(two, jobs=[asked(two, "dcn0"), job(two, "dcn1", number=2)])
    assert [start.stores for start in make_plan(copied).starts] == [("dcn1",)]
    assert checks(copied) == {(two.id, "dcn0")}


def test_a_copy_that_is_being_repaired_is_compared_after_that() -> None:
    mending = replace(attempt(ONE, "dcn0", number=9), work=Work.RENEW)
    case = situation(ONE, jobs=[asked()], attempts=[mending])
    assert checks(case) == {(ONE.id, "central"), (ONE.id, "dcn1")}
    assert reasons(make_plan(case))[WaitReason.IN_FLIGHT] == {"dcn0"}


def test_it_waits_for_a_pause_and_for_a_dead_site() -> None:
    down = replace(site("dcn1"), breaker=Breaker(state=BreakerState.OPEN, since=NOW, retry_at=NOW + timedelta(hours=1)))
    case = situation(ONE, jobs=[asked()], pauses=[pause(store="dcn0")], sites=[down])
    assert checks(case) == {(ONE.id, "central")}
    waiting = reasons(make_plan(case))
    assert waiting[WaitReason.PAUSED] == {"dcn0"}
    assert waiting[WaitReason.STORE_DOWN] == {"dcn1"}


def test_copies_that_are_gone_are_settled() -> None:
    two = image("two", stores=("central",))
    (settled,) = [
        action for action in make_plan(situation(two, jobs=[asked(two)])).actions if type(action) is SettleJob
    ]
    assert set(settled.failed) == {"dcn0", "dcn1"}
    assert "no copy" in settled.reason


def test_what_was_found_is_mended_within_the_job_whatever_the_configuration_says() -> None:
    case = situation(
        ONE,
        jobs=[asked(ONE, "dcn0", mend=True)],
        sites=[found(Defect.DAMAGED, verified=timedelta(minutes=1))],
        rules=Rules(repair=Repair.REPORT),
    )
    (start,) = make_plan(case).starts
    assert (start.work, start.stores, start.job) == (Work.RENEW, ("dcn0",), "job-1")
    assert checks(case) == set()


def test_what_was_found_before_is_compared_first() -> None:
    for verified in (None, timedelta(minutes=-1)):
        case = situation(
            ONE,
            jobs=[asked(ONE, "dcn0", mend=True)],
            sites=[found(Defect.DAMAGED, verified=verified)],
            rules=Rules(repair=Repair.REPORT),
        )
        assert make_plan(case).starts == ()
        assert checks(case) == {(ONE.id, "dcn0")}


def test_who_does_not_ask_for_it_gets_nothing_mended_nor_what_has_an_obstacle() -> None:
    seen = timedelta(minutes=1)
    for mend, obstacle in ((False, ""), (True, "somebody has it open")):
        case = situation(
            ONE,
            jobs=[asked(ONE, "dcn0", mend=mend)],
            sites=[found(Defect.DAMAGED, verified=seen, obstacle=obstacle)],
            rules=Rules(repair=Repair.REPORT),
        )
        assert make_plan(case).starts == ()


@pytest.mark.parametrize("stop", [pause(), pause(store="dcn0"), pause(of=ONE), replace(pause(of=ONE), store=DCN0)])
@pytest.mark.parametrize("defect", [Defect.DAMAGED, Defect.NO_IMAGE, Defect.UNPROTECTED])
def test_what_is_paused_is_not_mended_whoever_asks(stop: Pause, defect: Defect) -> None:
    case = situation(
        ONE,
        jobs=[asked(ONE, "dcn0", mend=True)],
        sites=[found(defect, verified=timedelta(minutes=1))],
        pauses=[stop],
    )
    plan = make_plan(case)
    assert (plan.starts, plan.checks) == ((), ())
    assert reasons(plan)[WaitReason.PAUSED] == {"dcn0"}
    (mending,) = make_plan(replace(case, ledger=replace(case.ledger, pauses=()))).starts
    assert mending.job == "job-1"


def test_what_lacks_only_its_snapshot_is_sealed_and_then_compared_and_taken_off_the_list_only_without_proof() -> None:
    case = situation(
        ONE,
        jobs=[asked(ONE, "dcn0", mend=True)],
        sites=[found(Defect.NO_SNAPSHOT, verified=None)],
        rules=Rules(repair=Repair.REPORT),
    )
    (sealing,) = make_plan(replace(case, provable={(ONE.id, DCN0)})).starts
    # By a job of its own, so that the one that asks goes on waiting.
    assert (sealing.work, sealing.job, sealing.origin) == (Work.SEAL, None, Origin.REPAIR)
    assert "alice asked for its repair (job job-1)" in sealing.why
    # One that has just failed is not tried again at every turn.
    assert make_plan(replace(case, provable={(ONE.id, DCN0)}, resting={(ONE.id, DCN0)})).starts == ()
    (unlisting,) = make_plan(case).starts
    assert (unlisting.work, unlisting.job) == (Work.UNLIST, "job-1")


def test_nothing_is_copied_from_a_damaged_hub() -> None:
    two = image("two", stores=("central",))
    case = situation(
        two, jobs=[job(two, "dcn0")], sites=[site("central", findings=[finding(two, "central", Defect.DAMAGED)])]
    )
    plan = make_plan(case)
    assert plan.starts == ()
    assert reasons(plan)[WaitReason.NOT_AT_HUB] == {"dcn0"}


def test_a_check_names_its_image() -> None:
    assert Check(job=asked(), store=StoreId("dcn0")).image == ONE.id
