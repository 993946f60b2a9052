"""Copies that something is the matter with: stalled, broken, orphaned, somebody else's, waiting until a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from edgesync.domain.action import Plan, Start, Waiting
from edgesync.domain.copy import CopyState, Stall, StallCause, WaitReason
from edgesync.domain.image import ImportTask, TaskId, TaskStatus
from edgesync.domain.job import Origin, Work
from edgesync.domain.site import BreakerState, Defect
from edgesync.domain.store import StoreId
from edgesync.expose.jobs import job_view
from edgesync.expose.matrix import copy_view, image_view, managed
from tests.builders import NOW, attempt, image, job, policy, situation, store_ids
from tests.unit.expose.pictures import finding, pause, picture_of, site

DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
STALL = Stall(since=NOW, store=DCN0, cause=StallCause.WRITING, why="nothing grows there", next="it is retried at 13:00")
REPAIR = Start(
    image=image().id,
    stores=(DCN0,),
    allow_failure=True,
    job=None,
    origin=Origin.REPAIR,
    requested_by="audit",
    priority=0,
    why="its snapshot is unprotected",
    work=Work.PROTECT,
)


def test_a_stalled_import_tells_since_when_why_and_what_comes_next() -> None:
    one = image()
    running = attempt(one, "dcn0", "dcn1")
    case = situation(one, attempts=[running], jobs=[job(one, "dcn0", "dcn1")])
    picture = picture_of(case, stalls={running.id: STALL})
    shown = copy_view(picture, one, DCN0)
    assert (shown.state, shown.since, shown.cause) == (CopyState.STALLED, NOW, "writing")
    assert (shown.reason, shown.next) == ("nothing grows there", "it is retried at 13:00")
    behind = copy_view(picture, one, DCN1)
    assert behind.state is CopyState.COPYING
    assert "after dcn0" in behind.reason
    first, second = job_view(case.ledger.jobs[0], picture).stores
    assert (first.stalled, second.stalled) == ("nothing grows there; it is retried at 13:00", "")


def test_what_has_begun_but_was_not_looked_at_yet_does_not_wait() -> None:
    one = image()
    case = situation(one, attempts=[attempt(one, "dcn0")], jobs=[job(one, "dcn0", "dcn1")])
    first, second = job_view(case.ledger.jobs[0], picture_of(case)).stores
    assert (first.since, first.waiting) == (NOW, "")
    assert second.since is None
    assert "the copy to dcn0 goes first" in second.waiting


def test_a_damaged_copy_at_the_hub_leads_to_what_mends_it() -> None:
    one = image()
    at_hub = finding(one, "central", Defect.DAMAGED, obstacle="it is at the hub, where edgesync deletes no copy")
    shown = copy_view(picture_of(situation(one), sites=[site("central", at_hub)]), one, StoreId("central"))
    assert shown.next.startswith("it is left alone, since it is at the hub, where edgesync deletes no copy: ")
    assert "`Damaged copies` in the runbook" in shown.next
    assert "`edgesync verify id-img --store central --deep --wait`" in shown.next
    assert "rbd info" not in shown.next, "that shows a healthy image"


def test_a_broken_copy_says_what_is_wrong_and_where_edgesync_would_mend_it() -> None:
    one = image(stores=("central", "dcn0"))
    picture = picture_of(situation(one), sites=[site("dcn0", finding(one, "dcn0", Defect.UNPROTECTED))])
    picture = replace(picture, plan=Plan())
    shown = copy_view(picture, one, DCN0)
    assert (shown.state, shown.reason) == (CopyState.BROKEN, "it is unprotected")
    assert shown.next.startswith("it is reported")
    assert [(row.store, row.defect) for row in image_view(picture, one).findings] == [("dcn0", "unprotected")]


def test_what_happens_to_a_broken_copy_is_what_the_plan_says() -> None:
    one = image(stores=("central", "dcn0"))
    found = finding(one, "dcn0", Defect.UNPROTECTED)
    picture = picture_of(situation(one), sites=[site("dcn0", found)])
    mended = replace(picture, plan=Plan(actions=(REPAIR,)))
    assert copy_view(mended, one, DCN0).next == "it is mended next"
    paused = picture_of(situation(one), sites=[site("dcn0", found)], pauses=[pause(store="dcn0")])
    assert copy_view(replace(paused, plan=Plan()), one, DCN0).next == "its repair waits: store dcn0 is paused"
    away = picture_of(situation(one), sites=[site("dcn0", found, state=BreakerState.OPEN)])
    assert copy_view(replace(away, plan=Plan()), one, DCN0).next == "its repair waits until dcn0 is up again"
    down = Waiting(image=one.id, stores=store_ids("dcn0"), reason=WaitReason.STORE_DOWN, why="dcn0 is down")
    assert "waits: dcn0 is down" in copy_view(replace(picture, plan=Plan(waiting=(down,))), one, DCN0).next
    busy = replace(attempt(one, "dcn0"), work=Work.PROTECT)
    assert (
        "now (protect)"
        in copy_view(picture_of(situation(one, attempts=[busy]), sites=[site("dcn0", found)]), one, DCN0).next
    )
    held = site("dcn0", finding(one, "dcn0", Defect.WRONG_SIZE, obstacle="it has clones"))
    told = copy_view(picture_of(situation(one), sites=[held]), one, DCN0).next
    assert told.startswith("it is left alone, since it has clones: look at id-img in dcn0's pool with `rbd info`")


def test_an_orphan_is_shown_where_glance_has_no_copy_and_nowhere_else() -> None:
    one = image()
    orphan = finding(one, "dcn0", Defect.ORPHAN, obstacle="it is younger than an hour", passing=True)
    picture = picture_of(situation(one, policies=[policy()]), sites=[site("dcn0", orphan)])
    shown = copy_view(picture, one, DCN0)
    assert shown.state is CopyState.ORPHAN
    assert shown.next == "it is left alone: it is younger than an hour; that passes"
    copied = image(stores=("central", "dcn0"))
    later = picture_of(situation(copied, policies=[policy()]), sites=[site("dcn0", orphan)])
    assert copy_view(later, copied, DCN0).state is CopyState.PRESENT
    being_made = picture_of(situation(one, attempts=[attempt(one, "dcn0")]), sites=[site("dcn0", orphan)])
    assert copy_view(being_made, one, DCN0).state is CopyState.COPYING


def test_a_rivals_import_is_shown_as_theirs_with_the_time_its_lock_can_be_taken() -> None:
    one = image(importing_to=("dcn0",), lock="theirs")
    task = ImportTask(
        id=TaskId("theirs"), status=TaskStatus.PROCESSING, message="", stores=(DCN0,), created_at=NOW, updated_at=NOW
    )
    picture = picture_of(situation(one), locks={one.id: task})
    shown = copy_view(picture, one, DCN0)
    assert shown.state is CopyState.COPYING
    assert "somebody else's import (task theirs)" in shown.reason
    assert shown.until == NOW + timedelta(hours=1)


def test_a_wait_tells_until_when_where_that_is_known() -> None:
    one = image()
    case = situation(one, policies=[policy()], jobs=[job(one, "dcn0")])
    closed = Waiting(
        image=one.id, stores=store_ids("dcn0"), reason=WaitReason.WINDOW, why="closed", until=NOW + timedelta(hours=9)
    )
    picture = replace(picture_of(case), plan=Plan(waiting=(closed,)))
    assert copy_view(picture, one, DCN0).until == NOW + timedelta(hours=9)
    (row,) = job_view(case.ledger.jobs[0], picture).stores
    assert (row.waiting, row.until) == ("window: closed", NOW + timedelta(hours=9))


def test_a_copy_that_is_being_deleted_is_still_there() -> None:
    one = image(stores=("central", "dcn0"))
    going = replace(attempt(one, "dcn0"), work=Work.REMOVE)
    shown = copy_view(picture_of(situation(one, policies=[policy()], attempts=[going])), one, DCN0)
    assert (shown.state, shown.reason) == (CopyState.PRESENT, "remove is under way")


def test_an_image_with_a_finding_concerns_edgesync_though_no_policy_wants_it() -> None:
    one = image(tags=(), stores=("central", "dcn0"))
    picture = picture_of(
        situation(one, image("other", tags=())), sites=[site("dcn0", finding(one, "dcn0", Defect.NO_IMAGE))]
    )
    assert list(managed(picture)) == [one]
