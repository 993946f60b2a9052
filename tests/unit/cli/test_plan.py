"""The rows of `plan`: every kind of work, what runs, and what waits until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from edgesync.cli.output import local_time
from edgesync.cli.serve import _summary, _why
from edgesync.domain.action import Check, Plan, Start, Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.job import Engine, Origin, Work
from edgesync.domain.store import StoreId
from edgesync.expose.planned import plan_rows
from edgesync.plan.layering import FullCopy
from edgesync.plan.planner import make_plan
from tests.builders import NOW, attempt, image, job, situation, store_ids
from tests.unit.expose.pictures import picture_of

ONE = image()


def start(work: Work, *stores: str) -> Start:
    return Start(
        image=ONE.id,
        stores=tuple(StoreId(store) for store in stores),
        allow_failure=True,
        job=None,
        origin=Origin.POLICY,
        requested_by="golden",
        priority=0,
        why="policy golden wants it",
        work=work,
    )


def test_every_kind_of_work_is_named_and_only_copies_have_bytes() -> None:
    # Verifications need no attempt.
    starts = [start(work, "dcn0", "dcn1") for work in Work if work is not Work.VERIFY]
    check = Check(job=job(ONE, "dcn0", work=Work.VERIFY), store=StoreId("dcn0"))
    plan = Plan(actions=(*starts, check))
    rows = list(plan_rows(replace(picture_of(situation(ONE)), plan=plan)))
    assert {row.action: row.bytes for row in rows} == {
        "copy": 2 << 30,
        "import": 2 << 30,
        "remove": 0,
        "trash": 0,
        "protect": 0,
        "seal": 0,
        "unlist": 0,
        "renew": 0,
        "sweep": 0,
        "verify": 0,
    }
    told = "4 copies to make now (4.0 GiB); 2 copies to delete now; 12 copies to mend now; 1 copies to verify now"
    assert _summary(rows) == told


def test_what_runs_tells_what_it_is() -> None:
    picture = picture_of(situation(ONE, attempts=[replace(attempt(ONE, "dcn0"), work=Work.REMOVE)]))
    (row,) = plan_rows(picture)
    assert (row.action, row.why, row.bytes) == ("running", "remove for job job-1", 0)


def test_a_wait_tells_until_when() -> None:
    later = NOW + timedelta(hours=9)
    closed = Waiting(image=ONE.id, stores=store_ids("dcn0"), reason=WaitReason.WINDOW, why="closed", until=later)
    (row,) = plan_rows(replace(picture_of(situation(ONE)), plan=Plan(waiting=(closed,))))
    assert (row.action, row.until) == ("wait", later.isoformat())
    assert _why(row) == f"window: closed; until {local_time(later.isoformat())}"


def test_an_image_that_is_still_to_come_has_the_name_of_its_job() -> None:
    new = image("new")
    upload = Waiting(image=new.id, stores=store_ids("central"), reason=WaitReason.UPLOAD, why="its data is being sent")
    picture = picture_of(situation(jobs=[job(new, "central")]))
    (row,) = plan_rows(replace(picture, plan=Plan(waiting=(upload,))))
    assert row.name == "new"


def test_a_copy_is_shown_with_who_moves_it_why_and_how_much_is_sent() -> None:
    one = image("rhel-9.5", size=2 << 30)
    by_rbd = replace(start(Work.COPY, "dcn0", "dcn1"), image=one.id, engine=Engine.RBD, moved="the image is raw")
    layered = FullCopy(
        store=StoreId("dcn1"), sent=41 << 20, why="to dcn1: 41 MiB on top of rhel-9.4 instead of 2.0 GiB"
    )
    picture = replace(
        picture_of(situation(one)), plan=Plan(actions=(by_rbd,)), ways={(one.id, StoreId("dcn1")): layered}
    )
    (row,) = plan_rows(picture)
    assert (row.engine, row.bytes) == ("rbd", (2 << 30) + (41 << 20))
    assert _why(row) == (
        "policy golden wants it; rbd: the image is raw; to dcn1: 41 MiB on top of rhel-9.4 instead of 2.0 GiB"
    )


def test_who_moves_what_runs_and_what_waits_for_a_slot_is_shown_too_and_other_work_has_no_engine() -> None:
    one, other = image("one"), image("other")
    running = replace(attempt(other, "dcn0"), engine=Engine.RBD)
    removal = attempt(image("third"), "dcn0", work=Work.REMOVE, number=2)
    case = situation(one, other, jobs=[job(one, "dcn0")], attempts=[running, removal], per_store=1)
    rows = [(row.action, row.engine) for row in plan_rows(picture_of(case))]
    assert rows == [("running", "rbd"), ("running", ""), ("wait", "copy-image")]


def test_a_start_says_why_its_engine_moves_the_data() -> None:
    (begun,) = make_plan(situation(image(disk_format="qcow2"), jobs=[job(image(), "dcn0")])).starts
    assert begun.moved == "the image is qcow2/bare, and the rbd engine copies raw/bare only"
