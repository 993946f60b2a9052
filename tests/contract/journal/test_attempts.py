"""Attempts: one open at a time for an image, and what they do to the state of jobs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edgesync.domain.image import TaskId
from edgesync.domain.job import AttemptId, Engine, JobState, Origin
from edgesync.errors import ConflictError, NotFoundError
from edgesync.journal import SqlJournal
from tests.contract.journal.samples import (
    IMAGE,
    LATER,
    OTHER_IMAGE,
    A,
    B,
    C,
    make_attempt,
    make_job,
    make_verdict,
)


async def states(journal: SqlJournal) -> list[JobState]:
    """Of all jobs, oldest first."""
    return [job.state for job in reversed(await journal.jobs())]


async def test_an_attempt_comes_back_as_it_went_in(journal: SqlJournal) -> None:
    job = make_job(C, A, B)
    attempt = make_attempt(job, B, C, allow_failure=False)
    await journal.add_job(job)
    await journal.start_attempt(attempt)
    assert await journal.attempts() == (attempt,)
    assert (await journal.ledger()).attempts == (attempt,)
    await journal.attach_task(attempt.id, TaskId("task-1"))
    assert await journal.attempts() == (replace(attempt, task=TaskId("task-1")),)


@pytest.mark.parametrize("engine", Engine)
async def test_which_engine_it_is_of(journal: SqlJournal, engine: Engine) -> None:
    job = make_job(A)
    attempt = make_attempt(job, engine=engine)
    await journal.start_attempt(attempt, job=job)
    assert await journal.attempts() == (await journal.ledger()).attempts == (attempt,)


async def test_attempts_newest_first_by_image(journal: SqlJournal) -> None:
    made = []
    for image in (IMAGE, OTHER_IMAGE, IMAGE):
        job = make_job(A, image=image)
        made.append(make_attempt(job))
        await journal.start_attempt(made[-1], job=job)
        await journal.finish_attempt(made[-1].id, make_verdict(dcn0="copied"), [], at=LATER)
    assert [entry.id for entry in await journal.attempts()] == [entry.id for entry in reversed(made)]
    assert [entry.id for entry in await journal.attempts(image=OTHER_IMAGE)] == [made[1].id]
    assert [entry.id for entry in await journal.attempts(limit=1)] == [made[2].id]


async def test_a_second_open_attempt_is_refused_whole(journal: SqlJournal) -> None:
    first, second = make_job(A), make_job(B)
    await journal.start_attempt(make_attempt(first), job=first)
    with pytest.raises(ConflictError, match="being worked on already"):
        await journal.start_attempt(make_attempt(second), job=second)
    assert [job.id for job in await journal.jobs()] == [first.id]
    # Another image is another matter.
    other = make_job(A, image=OTHER_IMAGE)
    await journal.start_attempt(make_attempt(other), job=other)


async def test_of_many_at_once_exactly_one_starts(journal: SqlJournal) -> None:
    jobs = [make_job(A) for _ in range(20)]
    starts = [journal.start_attempt(make_attempt(job), job=job) for job in jobs]
    answers = await asyncio.gather(*starts, return_exceptions=True)
    assert answers.count(None) == 1
    assert sum(isinstance(answer, ConflictError) for answer in answers) == 19
    assert len(await journal.jobs()) == len(await journal.attempts()) == 1


async def test_starting_again_what_was_started_changes_nothing(journal: SqlJournal) -> None:
    job = make_job(A)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    await journal.start_attempt(attempt, job=job)
    assert await journal.attempts() == (attempt,)


async def test_an_attempt_for_no_job(journal: SqlJournal) -> None:
    with pytest.raises(NotFoundError):
        await journal.start_attempt(make_attempt(make_job(A)))


async def test_unknown_attempts(journal: SqlJournal) -> None:
    nobody = AttemptId("nobody")
    with pytest.raises(NotFoundError):
        await journal.attach_task(nobody, TaskId("task"))
    with pytest.raises(NotFoundError):
        await journal.finish_attempt(nobody, make_verdict(dcn0="copied"), [], at=LATER)
    await journal.drop_attempt(nobody)


async def test_jobs_run_while_one_of_their_copies_is_made(journal: SqlJournal) -> None:
    leading, waits_too, elsewhere, other = make_job(A, B), make_job(B, C), make_job(C), make_job(A, image=OTHER_IMAGE)
    for job in (leading, waits_too, elsewhere, other):
        await journal.add_job(job)
    attempt = make_attempt(leading)
    await journal.start_attempt(attempt)
    queued, running, done = JobState.QUEUED, JobState.RUNNING, JobState.DONE
    assert await states(journal) == [running, running, queued, queued]
    # One that comes now waits for a copy that is being made.
    await journal.add_job(make_job(A))
    assert await states(journal) == [running, running, queued, queued, running]
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="copied", dcn1="copied"), [], at=LATER)
    assert await states(journal) == [done, queued, queued, queued, done]


async def test_a_dropped_attempt_sends_a_persons_job_back(journal: SqlJournal) -> None:
    job, waits_too = make_job(A), make_job(A)
    await journal.add_job(waits_too)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    await journal.drop_attempt(attempt.id)
    assert await states(journal) == [JobState.QUEUED, JobState.QUEUED]
    assert await journal.attempts() == ()
    await journal.start_attempt(make_attempt(waits_too))


async def test_a_dropped_attempt_takes_the_policys_job_that_it_opened(journal: SqlJournal) -> None:
    job = make_job(A, origin=Origin.POLICY, requested_by="golden")
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    await journal.drop_attempt(attempt.id)
    assert await journal.jobs() == ()
    assert await journal.attempts() == ()


async def test_a_dropped_attempt_leaves_a_policys_job_that_was_there(journal: SqlJournal) -> None:
    job = make_job(A, origin=Origin.POLICY, requested_by="golden")
    await journal.add_job(job)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt)
    await journal.drop_attempt(attempt.id)
    assert await journal.jobs() == (job,)


async def test_an_ended_attempt_cannot_be_dropped(journal: SqlJournal) -> None:
    job = make_job(A)
    attempt = make_attempt(job)
    await journal.start_attempt(attempt, job=job)
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="copied"), [], at=LATER)
    with pytest.raises(ConflictError, match="has ended"):
        await journal.drop_attempt(attempt.id)
    assert len(await journal.attempts()) == 1
