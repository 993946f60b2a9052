"""New images: where their data is written first, and what an import waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edgesync.domain.action import SettleJob
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image
from edgesync.domain.job import ImportSource, Job, Work
from edgesync.domain.site import BreakerState, Defect
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Rules
from tests.builders import (
    NOW,
    attempt,
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

WEB = ImportSource(uri="https://example.org/rhel.raw", name="rhel")
FILE = ImportSource(uri=None, name="rhel")
PATIENCE = Rules().upload_patience
# What Glance shows before the data is there.
NEW = image(status="queued", stores=(), size=None)
DOWN = BreakerState.OPEN


def wanted(
    *stores: str,
    source: ImportSource = WEB,
    allow_failure: bool = True,
    urgent: bool = False,
    copied: tuple[str, ...] = (),
    of: Image = NEW,
    number: int = 1,
) -> Job:
    return job(
        of,
        *stores,
        work=Work.IMPORT,
        source=source,
        allow_failure=allow_failure,
        urgent=urgent,
        copied=copied,
        number=number,
    )


@pytest.mark.parametrize("images", [(), (NEW,)], ids=["not made yet", "queued"])
def test_an_import_writes_to_all_of_its_stores_in_one_go_the_hub_first(images: tuple[Image, ...]) -> None:
    start = only_start(
        make_plan(situation(*images, jobs=[wanted("a", "central", "dcn0")], stores=topology("a", "dcn0")))
    )
    assert start.work is Work.IMPORT
    assert start.stores == ("central", "a", "dcn0")
    assert start.job == "job-1"


def test_a_dead_edge_gets_its_copy_later_from_the_hub() -> None:
    case = situation(jobs=[wanted("central", "dcn0", "dcn1")], sites=[site("dcn0", DOWN)])
    plan = make_plan(case)
    assert only_start(plan).stores == ("central", "dcn1")
    assert reasons(plan) == {WaitReason.STORE_DOWN: store_ids("dcn0")}
    there = image(stores=("central", "dcn1"), tags=())
    later = make_plan(situation(there, jobs=[wanted("dcn0", copied=("central", "dcn1"))]))
    assert only_start(later).work is Work.COPY
    assert only_start(later).stores == ("dcn0",)


def test_without_the_hub_no_import_that_is_to_go_there_starts() -> None:
    plan = make_plan(situation(jobs=[wanted("central", "dcn0")], sites=[site("central", DOWN)]))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.STORE_DOWN: store_ids("central", "dcn0")}
    assert "central comes first" in {entry.why for entry in plan.waiting}


def test_an_import_to_an_edge_alone_does_not_need_the_hub() -> None:
    plan = make_plan(situation(jobs=[wanted("dcn0")], sites=[site("central", DOWN)]))
    assert only_start(plan).stores == ("dcn0",)


def test_all_or_nothing_waits_for_the_last_of_its_stores() -> None:
    case = situation(jobs=[wanted("central", "dcn0", allow_failure=False)], sites=[site("dcn0", DOWN)])
    plan = make_plan(case)
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.STORE_DOWN: store_ids("central", "dcn0")}
    well = make_plan(replace(case, world=replace(case.world, sites={})))
    assert only_start(well).stores == ("central", "dcn0")
    assert not only_start(well).allow_failure


def test_all_or_nothing_waits_for_all_slots() -> None:
    busy = image("busy", tags=())
    jobs = [wanted("central", "dcn0", allow_failure=False)]
    plan = make_plan(situation(busy, jobs=jobs, attempts=[attempt(busy, "dcn0", number=9)], per_store=1))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.BUDGET: store_ids("central", "dcn0")}


def test_an_edge_without_a_slot_is_left_for_later_but_the_hub_is_waited_for() -> None:
    busy, jobs = image("busy", tags=()), [wanted("central", "dcn0")]
    no_edge = make_plan(situation(busy, jobs=jobs, attempts=[attempt(busy, "dcn0", number=9)], per_store=1))
    assert only_start(no_edge).stores == ("central",)
    assert reasons(no_edge) == {WaitReason.IN_FLIGHT: store_ids("dcn0")}
    no_hub = make_plan(situation(busy, jobs=jobs, attempts=[attempt(busy, "central", number=9)], per_store=1))
    assert no_hub.starts == ()
    assert reasons(no_hub) == {WaitReason.BUDGET: store_ids("central", "dcn0")}


def test_while_it_runs_the_stores_that_were_left_out_wait_for_it() -> None:
    jobs = [wanted("central", "dcn0")]
    plan = make_plan(situation(NEW, jobs=jobs, attempts=[attempt(NEW, "central", work=Work.IMPORT)]))
    assert plan.starts == ()
    assert why(plan, WaitReason.IN_FLIGHT) == "the import into central goes first: one action per image"


def test_an_urgent_copy_goes_before_an_import_and_an_import_before_policies() -> None:
    there = image("there")
    case = situation(
        there,
        policies=[policy(stores=["dcn0"])],
        jobs=[wanted("central", of=image("new")), job(there, "dcn1", number=2, urgent=True)],
        imports=1,
    )
    assert started(make_plan(case)) == {("there", "dcn1")}
    rest = replace(case, ledger=replace(case.ledger, jobs=case.ledger.jobs[:1]))
    assert started(make_plan(rest)) == {("new", "central")}


def test_an_image_whose_data_is_there_already_is_copied_not_imported() -> None:
    """Somebody has sent it another way: Glance would refuse an import."""
    plan = make_plan(situation(image(tags=()), jobs=[wanted("dcn0")]))
    assert only_start(plan).work is Work.COPY


def test_a_new_image_that_was_deactivated_meanwhile_waits() -> None:
    plan = make_plan(situation(image(status="deactivated", tags=()), jobs=[wanted("dcn0")]))
    assert plan.starts == ()
    assert reasons(plan) == {WaitReason.NOT_ACTIVE: store_ids("dcn0")}


def test_what_an_import_brings_is_not_asked_for_by_policies_as_well() -> None:
    plan = make_plan(situation(NEW, policies=[policy()], jobs=[wanted("central", "dcn0", "dcn1", source=FILE)]))
    assert reasons(plan) == {WaitReason.UPLOAD: store_ids("central", "dcn0", "dcn1")}


def test_an_import_waits_for_pauses_leftovers_full_pools_and_locks() -> None:
    jobs = [wanted("central")]
    left = site("central", findings=[finding(NEW, "central", Defect.ORPHAN, obstacle="too young")])
    cases = {
        WaitReason.PAUSED: situation(NEW, jobs=jobs, pauses=[pause(store="central")]),
        WaitReason.ORPHAN: situation(NEW, jobs=jobs, sites=[left]),
        WaitReason.CAPACITY: situation(NEW, jobs=jobs, sites=[site("central", used=90, available=10)]),
        WaitReason.LOCK: situation(replace(NEW, lock=task("t").id), jobs=jobs, locks={NEW.id: task("t")}),
    }
    for reason, case in cases.items():
        assert make_plan(case).starts == (), reason
        assert reasons(make_plan(case)) == {reason: store_ids("central")}


def test_a_leftover_of_the_import_is_cleared_before_it_is_tried_again() -> None:
    left = site("central", findings=[finding(NEW, "central", Defect.ORPHAN)])
    plan = make_plan(situation(NEW, jobs=[wanted("central")], sites=[left]))
    assert only_start(plan).work is Work.TRASH


def test_a_file_is_waited_for_until_patience_ends() -> None:
    case = situation(NEW, jobs=[wanted("central", source=FILE)])
    waiting = make_plan(case)
    assert waiting.actions == ()
    assert reasons(waiting) == {WaitReason.UPLOAD: store_ids("central")}
    created = case.ledger.jobs[0].created_at
    assert waiting.waiting[0].until == created + PATIENCE
    assert make_plan(replace(case, now=created + PATIENCE - timedelta(seconds=1))).actions == ()
    overdue = make_plan(replace(case, now=created + PATIENCE))
    (settled,) = overdue.actions
    assert isinstance(settled, SettleJob)
    assert settled.failed == ("central",)
    assert "nobody sent its data" in settled.reason
    assert overdue.waiting == ()


def test_a_file_that_is_being_sent_is_not_overdue() -> None:
    running = attempt(NEW, "central", work=Work.IMPORT)
    case = situation(NEW, jobs=[wanted("central", source=FILE)], attempts=[running])
    assert make_plan(replace(case, now=NOW + timedelta(days=1))).actions == ()


def test_what_glance_fetches_itself_is_never_overdue() -> None:
    plan = make_plan(replace(situation(NEW, jobs=[wanted("central")]), now=NOW + timedelta(days=9)))
    assert only_start(plan).work is Work.IMPORT


def test_a_file_that_arrived_leaves_copies_to_make() -> None:
    plan = make_plan(situation(image(tags=()), jobs=[wanted("dcn0", source=FILE, copied=("central",))]))
    assert only_start(plan).work is Work.COPY
    assert only_start(plan).stores == ("dcn0",)
