"""How results reach the jobs that wait for them, and how jobs end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edgesync.domain.job import EventKind, HistoryFilter, Job, JobId, JobState, Origin
from edgesync.errors import NotFoundError
from edgesync.journal import SqlJournal
from tests.contract.journal.samples import (
    IMAGE,
    LATER,
    NOON,
    OTHER_IMAGE,
    A,
    B,
    make_attempt,
    make_event,
    make_failure,
    make_job,
    make_verdict,
    results_of,
)


async def run(journal: SqlJournal, job: Job, **results: str) -> bool:
    """One attempt for a job, from start to verdict."""
    attempt = make_attempt(job)
    await journal.start_attempt(attempt)
    return await journal.finish_attempt(attempt.id, make_verdict(**results), [], at=LATER)


async def endings(journal: SqlJournal) -> list[str]:
    """What history says about jobs that ended, oldest first."""
    events = reversed(await journal.history(HistoryFilter()))
    return [event.message for event in events if event.kind is EventKind.JOB_ENDED]


async def test_an_attempt_ends_its_job(journal: SqlJournal) -> None:
    job = make_job(A, B)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    verdict = make_verdict(message="The site dcn1 went away.", dcn0="copied", dcn1="failed")
    assert await journal.finish_attempt(attempt.id, verdict, [make_failure(B)], at=LATER)
    ended = await journal.job(job.id)
    assert ended == replace(job, state=JobState.FAILED, stores=verdict.results, ended_at=LATER)
    recorded = replace(attempt, ended_at=LATER, results=verdict.results, message=verdict.message)
    assert await journal.attempts() == (recorded,)
    ledger = await journal.ledger()
    assert ledger.jobs == ()
    assert ledger.attempts == ()
    assert ledger.failures == {(IMAGE, B): make_failure(B)}
    (event,) = await journal.history(HistoryFilter())
    told = make_event(EventKind.JOB_ENDED, at=LATER, store=None, job=job.id)
    assert event == replace(told, message="1 of 2 copies of cirros failed: dcn1.", seq=event.seq)


async def test_a_second_verdict_changes_nothing(journal: SqlJournal) -> None:
    job = make_job(A)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    told = [make_event(EventKind.COPY_DONE, at=LATER, store=A, job=job.id)]
    assert await journal.finish_attempt(attempt.id, make_verdict(dcn0="copied"), [], events=told, at=LATER)
    assert EventKind.COPY_DONE in [event.kind for event in await journal.history(HistoryFilter())]
    before = (await journal.jobs(), await journal.attempts(), await journal.history(HistoryFilter()))
    again = make_verdict(message="no", dcn0="failed")
    assert not await journal.finish_attempt(attempt.id, again, [make_failure(A)], events=told, at=NOON)
    assert (await journal.jobs(), await journal.attempts(), await journal.history(HistoryFilter())) == before
    assert (await journal.ledger()).failures == {}


async def test_of_many_verdicts_at_once_exactly_one_counts(journal: SqlJournal) -> None:
    job = make_job(A)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    verdicts = [make_verdict(dcn0=result) for result in ("copied", "failed") * 5]
    answers = await asyncio.gather(*(journal.finish_attempt(attempt.id, each, [], at=LATER) for each in verdicts))
    assert answers.count(True) == 1
    assert len(await endings(journal)) == 1


async def test_one_copy_serves_twenty_jobs(journal: SqlJournal) -> None:
    jobs = [make_job(A, B) if number % 2 else make_job(A, allow_failure=False) for number in range(20)]
    bystander = make_job(A, image=OTHER_IMAGE)
    for job in (*jobs, bystander):
        await journal.add_job(job)
    leading = jobs[0]
    assert await run(journal, leading, dcn0="copied")
    for job in jobs:
        found = await journal.job(job.id)
        assert found.state is (JobState.DONE if len(job.stores) == 1 else JobState.QUEUED)
        assert (
            results_of(found) == {"dcn0": "copied", "dcn1": "pending"} if len(job.stores) == 2 else {"dcn0": "copied"}
        )
    assert await journal.job(bystander.id) == bystander
    assert await endings(journal) == ["cirros was copied to dcn0."] * 10
    # The rest ends together, too.
    assert await run(journal, replace(jobs[1], stores=jobs[1].stores[1:]), dcn1="copied")
    assert [job.id for job in (await journal.ledger()).jobs] == [bystander.id]
    assert len(await endings(journal)) == 20


async def test_a_failure_passes_by_those_who_want_all_or_nothing(journal: SqlJournal) -> None:
    leading, tolerant, strict = make_job(A), make_job(A), make_job(A, allow_failure=False)
    for job in (leading, tolerant, strict):
        await journal.add_job(job)
    await run(journal, leading, dcn0="failed")
    assert (await journal.job(leading.id)).state is JobState.FAILED
    assert results_of(await journal.job(tolerant.id)) == {"dcn0": "failed"}
    assert (await journal.job(tolerant.id)).stores[0].reason == "no space"
    assert await journal.job(strict.id) == strict
    # It has its own try.
    await run(journal, strict, dcn0="failed")
    assert (await journal.job(strict.id)).state is JobState.FAILED


async def test_a_reverted_copy_concerns_the_leading_job_only(journal: SqlJournal) -> None:
    leading = make_job(A, B, allow_failure=False)
    waits_too, waits_for_failed = make_job(A), make_job(B)
    for job in (leading, waits_too, waits_for_failed):
        await journal.add_job(job)
    await run(journal, leading, dcn0="reverted", dcn1="failed")
    ended = await journal.job(leading.id)
    assert ended.state is JobState.FAILED
    assert results_of(ended) == {"dcn0": "reverted", "dcn1": "failed"}
    assert await journal.job(waits_too.id) == waits_too
    assert (await journal.job(waits_for_failed.id)).state is JobState.FAILED
    assert await endings(journal) == [
        "2 of 2 copies of cirros failed: dcn0, dcn1.",
        "1 of 1 copy of cirros failed: dcn1.",
    ]


async def test_a_store_without_a_result_stays_pending(journal: SqlJournal) -> None:
    job = make_job(A, B)
    await journal.add_job(job)
    await run(journal, job, dcn0="copied", dcn1="pending")
    found = await journal.job(job.id)
    assert found.state is JobState.QUEUED
    assert results_of(found) == {"dcn0": "copied", "dcn1": "pending"}
    (attempt,) = await journal.attempts()
    assert [entry.store for entry in attempt.results] == [A]
    assert attempt.stores == (A, B)


async def test_results_that_were_there_are_kept(journal: SqlJournal) -> None:
    job = make_job(A, B)
    await journal.add_job(job)
    await journal.settle(job.id, make_verdict(dcn0="copied"), at=NOON)
    await run(journal, job, dcn0="failed", dcn1="copied")
    assert results_of(await journal.job(job.id)) == {"dcn0": "copied", "dcn1": "copied"}


async def test_failures_are_remembered_until_the_copy_succeeds(journal: SqlJournal) -> None:
    for attempts in (1, 2):
        job = make_job(A, B)
        attempt = make_attempt(job)
        await journal.start_attempt(attempt, job=job)
        failures = [make_failure(store, attempts=attempts, next_try=None) for store in (A, B)]
        await journal.finish_attempt(attempt.id, make_verdict(dcn0="failed", dcn1="failed"), failures, at=LATER)
        assert (await journal.ledger()).failures == {(IMAGE, entry.store): entry for entry in failures}
    job = make_job(A)
    await journal.add_job(job)
    await run(journal, job, dcn0="copied")
    assert set((await journal.ledger()).failures) == {(IMAGE, B)}
    # A copy that turns out to be there is a success as well.
    job = make_job(B)
    await journal.add_job(job)
    await journal.settle(job.id, make_verdict(dcn1="copied"), at=LATER)
    assert (await journal.ledger()).failures == {}


async def test_settle_ends_a_job_when_nothing_is_pending(journal: SqlJournal) -> None:
    job, other = make_job(A, B, origin=Origin.POLICY), make_job(A)
    await journal.add_job(job)
    await journal.add_job(other)
    await journal.settle(job.id, make_verdict(dcn0="copied"), at=NOON)
    assert (await journal.job(job.id)).state is JobState.QUEUED
    assert await endings(journal) == []
    await journal.settle(job.id, make_verdict(dcn1="failed"), at=LATER)
    ended = await journal.job(job.id)
    assert ended.state is JobState.FAILED
    assert ended.ended_at == LATER
    assert await endings(journal) == ["1 of 2 copies of cirros failed: dcn1."]
    assert await journal.job(other.id) == other
    # Once more is once too often, and does no harm.
    await journal.settle(job.id, make_verdict(dcn1="copied"), at=NOON)
    assert await journal.job(job.id) == ended


async def test_settle_an_unknown_job(journal: SqlJournal) -> None:
    with pytest.raises(NotFoundError):
        await journal.settle(JobId("nobody"), make_verdict(dcn0="copied"), at=NOON)


async def test_a_long_list_of_stores_is_counted(journal: SqlJournal) -> None:
    stores = {f"dcn{number}": "copied" for number in range(100)}
    job = make_job(*(entry.store for entry in make_verdict(**stores).results))
    await journal.add_job(job)
    await run(journal, job, **stores)
    assert (await journal.job(job.id)).state is JobState.DONE
    assert await endings(journal) == ["cirros was copied to dcn0, dcn1, dcn2, dcn3, dcn4 and 95 more."]
