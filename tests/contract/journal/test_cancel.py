"""Cancelling: what has not begun ends, what has begun goes on, and nothing is begun again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgesync.domain.job import EventKind, HistoryFilter, JobId, JobState, Origin, Work
from edgesync.errors import ConflictError, NotFoundError
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
    make_job,
    make_verdict,
    results_of,
    told,
)


async def test_a_job_that_waits_ends(journal: SqlJournal) -> None:
    job, other = make_job(A, B), make_job(A)
    await journal.add_job(job)
    await journal.add_job(other)
    cancelled = await journal.cancel(job.id, by="alice", at=LATER)
    assert cancelled == await journal.job(job.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.ended_at == LATER
    assert results_of(cancelled) == {"dcn0": "cancelled", "dcn1": "cancelled"}
    assert {entry.reason for entry in cancelled.stores} == {"cancelled by a person"}
    assert (await journal.ledger()).jobs == (other,)
    assert await told(journal, EventKind.JOB_CANCELLED) == ["The copy of cirros to dcn0, dcn1 was cancelled by alice."]
    assert await told(journal, EventKind.JOB_ENDED) == ["2 of 2 copies of cirros were cancelled: dcn0, dcn1."]
    (_, event) = await journal.history(HistoryFilter())
    assert (event.at, event.image, event.store, event.job) == (LATER, IMAGE, None, job.id)


async def test_what_is_being_made_goes_on(journal: SqlJournal) -> None:
    job = make_job(A, B, C)
    await journal.add_job(job)
    attempt = make_attempt(job, B)
    await journal.start_attempt(attempt)
    cancelled = await journal.cancel(job.id, by="alice", at=NOON)
    assert cancelled.state is JobState.RUNNING
    assert results_of(cancelled) == {"dcn0": "cancelled", "dcn1": "pending", "dcn2": "cancelled"}
    assert await told(journal, EventKind.JOB_CANCELLED) == [
        "The copy of cirros to dcn0, dcn2 was cancelled by alice; what has begun goes on: dcn1."
    ]
    await journal.finish_attempt(attempt.id, make_verdict(dcn1="copied"), [], at=LATER)
    ended = await journal.job(job.id)
    assert ended.state is JobState.CANCELLED
    assert results_of(ended) == {"dcn0": "cancelled", "dcn1": "copied", "dcn2": "cancelled"}
    assert await told(journal, EventKind.JOB_ENDED) == ["2 of 3 copies of cirros were cancelled: dcn0, dcn2."]


async def test_another_jobs_attempt_goes_on_as_well(journal: SqlJournal) -> None:
    leading, shares = make_job(A, origin=Origin.POLICY), make_job(A, B)
    await journal.add_job(shares)
    attempt = make_attempt(leading)
    await journal.start_attempt(attempt, job=leading)
    assert results_of(await journal.cancel(shares.id, by="alice", at=NOON)) == {"dcn0": "pending", "dcn1": "cancelled"}
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="copied"), [], at=LATER)
    assert (await journal.job(shares.id)).state is JobState.CANCELLED
    assert (await journal.job(leading.id)).state is JobState.DONE


async def test_a_removal_is_not_stopped_by_a_copy_under_way(journal: SqlJournal) -> None:
    copying, removing = make_job(A), make_job(A, work=Work.REMOVE)
    await journal.add_job(removing)
    await journal.start_attempt(make_attempt(copying), job=copying)
    assert (await journal.cancel(removing.id, by="alice", at=NOON)).state is JobState.CANCELLED
    assert await told(journal, EventKind.JOB_CANCELLED) == ["The removal of cirros from dcn0 was cancelled by alice."]
    assert await told(journal, EventKind.JOB_ENDED) == ["1 of 1 removal of cirros was cancelled: dcn0."]


async def test_a_failure_counts_for_more_than_a_cancellation(journal: SqlJournal) -> None:
    job = make_job(A, B)
    await journal.add_job(job)
    await finish(journal, job, dcn0="failed")
    assert (await journal.cancel(job.id, by="alice", at=LATER)).state is JobState.FAILED
    assert await told(journal, EventKind.JOB_ENDED) == ["1 of 2 copies of cirros failed: dcn0. Cancelled: dcn1."]


async def test_when_all_of_it_is_being_made(journal: SqlJournal) -> None:
    job = make_job(A)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    assert results_of(await journal.cancel(job.id, by="alice", at=NOON)) == {"dcn0": "pending"}
    assert await told(journal, EventKind.JOB_CANCELLED) == [
        "The copy of cirros to dcn0 has begun, and goes on where it can't be stopped; cancelled by alice, it will not "
        "be begun again."
    ]
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="copied"), [], at=LATER)
    assert (await journal.job(job.id)).state is JobState.DONE


async def test_what_breaks_off_after_that_is_cancelled(journal: SqlJournal) -> None:
    job, other = make_job(A), make_job(A)
    attempt = make_attempt(job)
    await journal.add_job(other)
    await journal.start_attempt(attempt, job=job)
    await journal.cancel(job.id, by="alice", at=NOON)
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="interrupted"), [], at=LATER)
    ended = await journal.job(job.id)
    assert ended.state is JobState.CANCELLED
    assert ended.ended_at == LATER
    assert await journal.job(other.id) == other


async def test_what_glance_never_accepted_is_cancelled(journal: SqlJournal) -> None:
    job = make_job(A)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    await journal.cancel(job.id, by="alice", at=LATER)
    await journal.drop_attempt(attempt.id)
    ended = await journal.job(job.id)
    assert ended.state is JobState.CANCELLED
    assert ended.ended_at == LATER
    assert await told(journal, EventKind.JOB_ENDED) == ["1 of 1 copy of cirros was cancelled: dcn0."]


async def test_a_plan_made_before_begins_nothing_after(journal: SqlJournal) -> None:
    job = make_job(A, B)
    await journal.add_job(job)
    attempt = make_attempt(job, A)
    await journal.start_attempt(attempt)
    await journal.cancel(job.id, by="alice", at=NOON)
    await journal.drop_attempt(attempt.id)
    with pytest.raises(ConflictError, match="has ended"):
        await journal.start_attempt(make_attempt(job, B))


async def test_cancelling_once_more_changes_nothing(journal: SqlJournal) -> None:
    job = make_job(A, B)
    await journal.add_job(job)
    attempt = make_attempt(job, A)
    await journal.start_attempt(attempt)
    once = await journal.cancel(job.id, by="alice", at=NOON)
    assert await journal.cancel(job.id, by="alice", at=LATER) == once
    assert len(await told(journal, EventKind.JOB_CANCELLED)) == 1


async def test_what_has_ended_cannot_be_cancelled(journal: SqlJournal) -> None:
    job = make_job(A)
    await journal.add_job(job)
    await journal.cancel(job.id, by="alice", at=NOON)
    with pytest.raises(ConflictError, match="has ended already: cancelled") as refusal:
        await journal.cancel(job.id, by="alice", at=LATER)
    assert "delete-copy" in refusal.value.remedy


async def test_an_unknown_job(journal: SqlJournal) -> None:
    with pytest.raises(NotFoundError):
        await journal.cancel(JobId("nobody"), by="alice", at=NOON)


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (Work.IMPORT, "The import of cirros to dcn0 was cancelled by alice."),
        (Work.TRASH, "Moving what is left of cirros at dcn0 to the trash was cancelled by alice."),
        (Work.PROTECT, "Protecting the snapshot of cirros at dcn0 was cancelled by alice."),
        (Work.UNLIST, "Taking away the location of the broken copy of cirros at dcn0 was cancelled by alice."),
    ],
)
async def test_other_work(journal: SqlJournal, work: Work, sentence: str) -> None:
    job = make_job(A, work=work)
    await journal.add_job(job)
    await journal.cancel(job.id, by="alice", at=NOON)
    assert await told(journal, EventKind.JOB_CANCELLED) == [sentence]


async def test_what_was_left_of_an_image_that_is_gone_goes_by_its_id(journal: SqlJournal) -> None:
    job = replace(make_job(A, work=Work.TRASH), image_name="")
    await journal.add_job(job)
    await journal.cancel(job.id, by="alice", at=NOON)
    assert await told(journal, EventKind.JOB_CANCELLED) == [
        f"Moving what is left of {IMAGE} at dcn0 to the trash was cancelled by alice."
    ]
