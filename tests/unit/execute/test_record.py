"""What is written down of jobs and attempts."""

from __future__ import annotations

import pytest

from edgesync.domain.action import Start
from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, CopyResult, EventKind, JobId, Origin, StoreResult, Verdict, Work
from tests.builders import image
from tests.unit.execute.doubles import DCN0, rig, work_on


def start(of: Image, work: Work = Work.COPY, origin: Origin = Origin.POLICY, job: str | None = None) -> Start:
    return Start(
        image=of.id,
        stores=(DCN0,),
        allow_failure=True,
        job=JobId(job) if job else None,
        origin=origin,
        requested_by="golden",
        priority=3,
        why="",
        work=work,
    )


def ended(result: CopyResult, reason: str = "because") -> Verdict:
    return Verdict(results=(StoreResult(store=DCN0, result=result, reason=reason),))


@pytest.mark.parametrize(
    ("work", "origin"), [(Work.COPY, Origin.POLICY), (Work.TRASH, Origin.REPAIR), (Work.REMOVE, Origin.POLICY)]
)
async def test_a_start_that_no_person_asked_for_opens_its_own_job(work: Work, origin: Origin) -> None:
    on = rig()
    attempt = await on.bench.recorder.open(start(image(), work, origin), image())
    ((written, job),) = on.journal.opened
    assert written == attempt
    assert job is not None
    assert (attempt.job, attempt.work) == (job.id, work)
    assert (job.work, job.origin, job.image_name) == (work, origin, "img")


async def test_a_leftover_of_an_image_that_is_gone_has_a_job_without_a_name() -> None:
    on = rig()
    await on.bench.recorder.open(start(image(), Work.TRASH, Origin.REPAIR), None)
    ((_, job),) = on.journal.opened
    assert job is not None
    assert job.image_name == ""


async def test_a_persons_job_is_there_already() -> None:
    on = rig()
    attempt = await on.bench.recorder.open(start(image(), Work.REMOVE, Origin.PERSON, job="job-7"), image())
    assert on.journal.opened == [(attempt, None)]
    assert attempt.job == "job-7"


KINDS = [
    (Work.COPY, CopyResult.COPIED, EventKind.COPY_DONE),
    (Work.COPY, CopyResult.FAILED, EventKind.COPY_FAILED),
    (Work.COPY, CopyResult.REVERTED, EventKind.COPY_REVERTED),
    (Work.COPY, CopyResult.INTERRUPTED, EventKind.COPY_INTERRUPTED),
    (Work.IMPORT, CopyResult.COPIED, EventKind.COPY_DONE),
    (Work.IMPORT, CopyResult.FAILED, EventKind.COPY_FAILED),
    (Work.REMOVE, CopyResult.REMOVED, EventKind.COPY_REMOVED),
    (Work.REMOVE, CopyResult.FAILED, EventKind.REMOVAL_FAILED),
    (Work.TRASH, CopyResult.REPAIRED, EventKind.ORPHAN_TRASHED),
    (Work.TRASH, CopyResult.FAILED, EventKind.REPAIR_FAILED),
    (Work.PROTECT, CopyResult.REPAIRED, EventKind.COPY_REPAIRED),
    (Work.UNLIST, CopyResult.REPAIRED, EventKind.COPY_REPAIRED),
    (Work.UNLIST, CopyResult.FAILED, EventKind.REPAIR_FAILED),
]


@pytest.mark.parametrize(("work", "result", "kind"), KINDS)
async def test_each_end_has_its_event_and_only_copies_are_counted(
    work: Work, result: CopyResult, kind: EventKind
) -> None:
    on = rig()
    await on.bench.recorder.finished(work_on(image(), work, "dcn0"), ended(result))
    assert on.end.kinds == [kind]
    assert on.measured == ([(DCN0, result)] if work.brings else [])


@pytest.mark.parametrize(("work", "result", "kind"), KINDS)
async def test_only_what_was_to_be_brought_and_failed_is_remembered(
    work: Work, result: CopyResult, kind: EventKind
) -> None:
    on = rig()
    await on.bench.recorder.finished(work_on(image(), work, "dcn0"), ended(result))
    remembered = work.brings and result in {CopyResult.FAILED, CopyResult.REVERTED}
    assert len(on.end.failures) == int(remembered)


async def test_what_had_ended_already_is_not_counted_again() -> None:
    on = rig()
    one: Attempt = work_on(image(), Work.COPY, "dcn0")
    await on.bench.recorder.finished(one, ended(CopyResult.COPIED))
    await on.bench.recorder.finished(one, ended(CopyResult.FAILED))
    assert on.measured == [(DCN0, CopyResult.COPIED)]
