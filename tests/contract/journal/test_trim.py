"""Old records go, in batches; nothing of an open job does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edgesync.domain.job import HistoryFilter, Job
from edgesync.journal import SqlJournal, trim
from tests.contract.journal.samples import (
    IMAGE,
    LATER,
    NOON,
    A,
    B,
    make_attempt,
    make_event,
    make_failure,
    make_job,
    make_verdict,
)


async def run(journal: SqlJournal, job: Job, *, ends_at_later: bool = False) -> None:
    """A job of one attempt, which ends (without the store B, if the job waits for that)."""
    attempt = make_attempt(job, A)
    await journal.start_attempt(attempt, job=job)
    at = LATER if ends_at_later else NOON
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="copied"), [], at=at)


async def test_what_is_old_and_ended_goes(journal: SqlJournal) -> None:
    old, recent, still_open = make_job(A), make_job(A), make_job(A, B)
    await run(journal, old)
    await run(journal, recent, ends_at_later=True)
    await run(journal, still_open)
    of_open_job = make_event(job=still_open.id, message="of an open job")
    await journal.add_events([make_event(message="old"), of_open_job, make_event(at=LATER, message="recent")])
    removed = await journal.trim(LATER)
    # A job, its attempt, the event of its end, one more event.
    assert removed == 4
    assert [job.id for job in await journal.jobs()] == [still_open.id, recent.id]
    assert [attempt.job for attempt in await journal.attempts()] == [still_open.id, recent.id]
    messages = [event.message for event in await journal.history(HistoryFilter())]
    assert messages == ["recent", "of an open job", "cirros was copied to dcn0."]
    assert await journal.trim(LATER) == 0


async def test_a_job_that_ended_stays_while_its_attempt_is_open(journal: SqlJournal) -> None:
    job = make_job(A)
    await journal.start_attempt(make_attempt(job), job=job)
    await journal.settle(job.id, make_verdict(dcn0="copied"), at=NOON)
    assert (await journal.job(job.id)).state.ended
    await journal.trim(LATER)
    assert [attempt.job for attempt in (await journal.ledger()).attempts] == [job.id]
    assert (await journal.job(job.id)).id == job.id


async def test_failures_that_nobody_renewed_are_forgotten(journal: SqlJournal) -> None:
    job = make_job(A, B)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    failures = [make_failure(A), make_failure(B, failed_at=LATER)]
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="failed", dcn1="failed"), failures, at=LATER)
    assert await journal.trim(LATER) == 1
    assert set((await journal.ledger()).failures) == {(IMAGE, B)}


async def test_batches(journal: SqlJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trim, "BATCH", 10)
    await journal.add_events([make_event(at=NOON + timedelta(seconds=number)) for number in range(45)])
    assert await journal.trim(NOON + timedelta(seconds=42)) == 42
    assert len(await journal.history(HistoryFilter())) == 3
