"""Work of every kind: whom its results reach, when its jobs run, how they end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgesync.domain.job import CopyResult, EventKind, ImportSource, JobState, Origin, Work
from edgesync.errors import ConflictError
from edgesync.journal import SqlJournal
from tests.contract.journal.samples import (
    IMAGE,
    LATER,
    NOON,
    A,
    B,
    C,
    finish,
    make_attempt,
    make_failure,
    make_job,
    make_verdict,
    results_of,
    told,
)

SOURCE = ImportSource(
    uri="https://images.example/größe?a=b\0c\ud800",
    name="cirros",
    visibility="public",
    hidden=True,
    min_disk=2,
    min_ram=64,
    tags=("golden", "edge"),
    properties=(("os_distro", "cirros"), ("hw_firmware_type", "uefi")),
)


@pytest.mark.parametrize("source", [SOURCE, ImportSource(uri=None, name="from a file")], ids=["uri", "file"])
async def test_an_import_comes_back_as_it_went_in(journal: SqlJournal, source: ImportSource) -> None:
    job = make_job(A, B, work=Work.IMPORT, urgent=True, source=source)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    running = replace(job, state=JobState.RUNNING)
    assert await journal.job(job.id) == running
    ledger = await journal.ledger()
    assert ledger.jobs == (running,)
    assert ledger.attempts == (attempt,)
    assert attempt.work is Work.IMPORT


@pytest.mark.parametrize("work", Work)
async def test_work_of_every_kind_is_in_the_ledger_and_one_at_a_time(journal: SqlJournal, work: Work) -> None:
    job, copying = make_job(A, work=work), make_job(B)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    assert (await journal.ledger()).attempts == (attempt,)
    with pytest.raises(ConflictError, match="being worked on already"):
        await journal.start_attempt(make_attempt(copying), job=copying)


@pytest.mark.parametrize(
    ("work", "result", "ending"),
    [
        (Work.COPY, "copied", "cirros was copied to dcn0, dcn1."),
        (Work.IMPORT, "copied", "cirros was imported to dcn0, dcn1."),
        (Work.REMOVE, "removed", "cirros was removed from dcn0, dcn1."),
        (Work.TRASH, "repaired", "What was left of cirros at dcn0, dcn1 was moved to the trash."),
        (Work.PROTECT, "repaired", "The snapshot of cirros at dcn0, dcn1 was protected again."),
        (Work.SEAL, "repaired", "The snapshot of cirros at dcn0, dcn1 was taken again."),
        (Work.UNLIST, "repaired", "The location of the broken copy of cirros at dcn0, dcn1 was taken away."),
    ],
)
async def test_work_that_succeeds_is_done(journal: SqlJournal, work: Work, result: str, ending: str) -> None:
    job = make_job(A, B, work=work)
    await journal.add_job(job)
    await finish(journal, job, dcn0=result, dcn1=result)
    ended = await journal.job(job.id)
    assert ended.state is JobState.DONE
    assert results_of(ended) == {"dcn0": result, "dcn1": result}
    assert await told(journal, EventKind.JOB_ENDED) == [ending]


@pytest.mark.parametrize(
    ("work", "ending"),
    [
        (Work.COPY, "1 of 1 copy of cirros failed: dcn0."),
        (Work.IMPORT, "1 of 1 import of cirros failed: dcn0."),
        (Work.REMOVE, "1 of 1 removal of cirros failed: dcn0."),
        (Work.TRASH, "1 of 1 repair of cirros failed: dcn0."),
        (Work.PROTECT, "1 of 1 repair of cirros failed: dcn0."),
        (Work.UNLIST, "1 of 1 repair of cirros failed: dcn0."),
    ],
)
async def test_work_that_fails_says_what(journal: SqlJournal, work: Work, ending: str) -> None:
    job = make_job(A, work=work)
    await journal.add_job(job)
    await finish(journal, job, dcn0="failed")
    assert (await journal.job(job.id)).state is JobState.FAILED
    assert await told(journal, EventKind.JOB_ENDED) == [ending]


@pytest.mark.parametrize("result", ["removed", "failed"])
async def test_a_removal_concerns_its_own_job_only(journal: SqlJournal, result: str) -> None:
    leading, removes_too, copies = make_job(A, work=Work.REMOVE), make_job(A, work=Work.REMOVE), make_job(A)
    for job in (leading, removes_too, copies):
        await journal.add_job(job)
    await finish(journal, leading, dcn0=result)
    assert results_of(await journal.job(leading.id)) == {"dcn0": result}
    assert await journal.job(removes_too.id) == removes_too
    assert await journal.job(copies.id) == copies


@pytest.mark.parametrize("work", [Work.TRASH, Work.PROTECT, Work.UNLIST])
@pytest.mark.parametrize("result", ["repaired", "failed"])
async def test_a_repair_concerns_its_own_job_only(journal: SqlJournal, work: Work, result: str) -> None:
    leading, repairs_too, copies = make_job(A, work=work), make_job(A, work=work), make_job(A)
    for job in (leading, repairs_too, copies):
        await journal.add_job(job)
    await finish(journal, leading, dcn0=result)
    assert results_of(await journal.job(leading.id)) == {"dcn0": result}
    assert await journal.job(repairs_too.id) == repairs_too
    assert await journal.job(copies.id) == copies


@pytest.mark.parametrize("result", ["copied", "failed"])
async def test_a_copy_is_news_for_those_who_wait_for_data_only(journal: SqlJournal, result: str) -> None:
    leading, imports = make_job(A), make_job(A, B, work=Work.IMPORT, source=SOURCE)
    others = [make_job(A, work=work) for work in Work if not work.brings]
    for job in (leading, imports, *others):
        await journal.add_job(job)
    await finish(journal, leading, dcn0=result)
    assert results_of(await journal.job(imports.id)) == {"dcn0": result, "dcn1": "pending"}
    for job in others:
        assert await journal.job(job.id) == job


async def test_an_import_job_leads_copies_once_its_data_is_in(journal: SqlJournal) -> None:
    job, waits_too = make_job(A, B, work=Work.IMPORT, source=SOURCE), make_job(B)
    await journal.add_job(job)
    await journal.add_job(waits_too)
    await finish(journal, job, dcn0="copied")
    assert (await journal.job(job.id)).imported
    attempt = make_attempt(job, B, work=Work.COPY)
    await journal.start_attempt(attempt)
    assert (await journal.job(waits_too.id)).state is JobState.RUNNING
    await journal.finish_attempt(attempt.id, make_verdict(dcn1="copied"), [], at=LATER)
    assert await told(journal, EventKind.JOB_ENDED) == [
        "cirros was imported to dcn0, dcn1.",
        "cirros was copied to dcn1.",
    ]


@pytest.mark.parametrize("work", Work)
async def test_what_broke_off_goes_on_waiting(journal: SqlJournal, work: Work) -> None:
    leading, waits_too = make_job(A, work=work), make_job(A)
    await journal.add_job(leading)
    await journal.add_job(waits_too)
    await finish(journal, leading, dcn0="interrupted")
    assert await journal.job(leading.id) == leading
    assert await journal.job(waits_too.id) == waits_too
    (attempt,) = await journal.attempts()
    assert [entry.result for entry in attempt.results] == [CopyResult.INTERRUPTED]
    assert await told(journal, EventKind.JOB_ENDED) == []
    await finish(journal, leading, dcn0="failed")
    assert (await journal.job(leading.id)).state is JobState.FAILED


async def test_a_job_runs_while_work_for_it_is_under_way(journal: SqlJournal) -> None:
    """A removal at dcn0 is no copy to dcn0, and a copy is nobody's removal."""
    jobs = {work: make_job(A, work=work) for work in Work}
    for job in jobs.values():
        await journal.add_job(job)
    for work, job in jobs.items():
        attempt = make_attempt(job)
        await journal.start_attempt(attempt)
        running = {found.work for found in await journal.jobs() if found.state is JobState.RUNNING}
        assert running == ({Work.COPY, Work.IMPORT} if work.brings else {work})
        await journal.drop_attempt(attempt.id)
    assert {job.state for job in await journal.jobs()} == {JobState.QUEUED}


async def test_what_is_removed_is_no_failure_any_more(journal: SqlJournal) -> None:
    copying, removing = make_job(A, B), make_job(A, B, work=Work.REMOVE)
    attempt = make_attempt(copying)
    await journal.start_attempt(attempt, job=copying)
    failures = [make_failure(A), make_failure(B)]
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="failed", dcn1="failed"), failures, at=LATER)
    await journal.add_job(removing)
    await finish(journal, removing, dcn0="removed", dcn1="failed")
    assert set((await journal.ledger()).failures) == {(IMAGE, B)}


async def test_a_repair_is_followed_by_a_copy(journal: SqlJournal) -> None:
    repair = make_job(A, work=Work.UNLIST, origin=Origin.REPAIR, requested_by="audit")
    copy = make_job(A, origin=Origin.REPAIR, requested_by="audit", urgent=True)
    attempt = make_attempt(repair)
    await journal.start_attempt(attempt, job=repair)
    verdict = make_verdict(dcn0="repaired")
    assert await journal.finish_attempt(attempt.id, verdict, [], follow_up=copy, at=LATER)
    assert (await journal.ledger()).jobs == (copy,)
    # A verdict that comes twice does not open it twice, nor again once it has ended.
    await finish(journal, copy, dcn0="copied")
    assert not await journal.finish_attempt(attempt.id, verdict, [], follow_up=make_job(A), at=LATER)
    assert (await journal.ledger()).jobs == ()
    assert len(await journal.jobs()) == 2


async def test_a_follow_up_does_not_get_the_result_before_it(journal: SqlJournal) -> None:
    leading, again = make_job(A), make_job(A)
    attempt = make_attempt(leading)
    await journal.start_attempt(attempt, job=leading)
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="failed"), [], follow_up=again, at=LATER)
    assert (await journal.ledger()).jobs == (again,)


async def test_a_dropped_attempt_takes_the_repair_that_it_opened(journal: SqlJournal) -> None:
    repair = make_job(A, work=Work.TRASH, origin=Origin.REPAIR)
    attempt = make_attempt(repair)
    await journal.start_attempt(attempt, job=repair)
    await journal.drop_attempt(attempt.id)
    assert await journal.jobs() == ()


async def test_nothing_is_begun_for_a_job_that_has_ended(journal: SqlJournal) -> None:
    job = make_job(A)
    await journal.add_job(job)
    await journal.settle(job.id, make_verdict(dcn0="copied"), at=LATER)
    with pytest.raises(ConflictError, match="has ended"):
        await journal.start_attempt(make_attempt(job))
    assert await journal.attempts() == ()


async def test_settle_an_import_that_can_never_be(journal: SqlJournal) -> None:
    job = make_job(A, B, C, work=Work.IMPORT, source=SOURCE)
    await journal.add_job(job)
    await finish(journal, job, dcn0="copied")
    await journal.settle(job.id, make_verdict(dcn1="failed", dcn2="failed"), at=NOON)
    ended = await journal.job(job.id)
    assert ended.state is JobState.FAILED
    assert ended.source == SOURCE
    assert [entry.reason for entry in ended.failed] == ["no space", "no space"]
    assert await told(journal, EventKind.JOB_ENDED) == ["2 of 3 imports of cirros failed: dcn1, dcn2."]
