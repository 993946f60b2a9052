"""Jobs: what goes in comes out, newest first, by image and state."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from edgesync.domain.job import CopyResult, EngineChoice, JobId, JobState, Origin, StoreResult
from edgesync.errors import NotFoundError
from edgesync.journal import SqlJournal
from tests.contract.journal.samples import IMAGE, NOON, OTHER_IMAGE, A, B, C, make_attempt, make_job


async def test_a_job_comes_back_as_it_went_in(journal: SqlJournal) -> None:
    results = (
        StoreResult(store=C),
        StoreResult(store=A, result=CopyResult.FAILED, reason="voll, größer als 1 TiB ✗"),
        StoreResult(store=B, result=CopyResult.COPIED),
    )
    job = make_job(origin=Origin.POLICY, requested_by="golden", allow_failure=False, priority=-3, stores=results)
    await journal.add_job(job)
    assert await journal.job(job.id) == job


@pytest.mark.parametrize("choice", EngineChoice)
async def test_which_engine_was_asked_for(journal: SqlJournal, choice: EngineChoice) -> None:
    job = make_job(A, engine=choice)
    await journal.add_job(job)
    assert await journal.jobs() == (await journal.ledger()).jobs == (job,)


async def test_unknown_job(journal: SqlJournal) -> None:
    with pytest.raises(NotFoundError, match="no job nobody"):
        await journal.job(JobId("nobody"))


async def test_adding_a_job_again_changes_nothing(journal: SqlJournal) -> None:
    job = make_job(A)
    await journal.add_job(job)
    await journal.add_job(replace(job, priority=9))
    assert await journal.jobs() == (job,)


async def test_jobs_newest_first_by_image_and_state(journal: SqlJournal) -> None:
    # The order of arrival counts, whatever the clock said.
    first = make_job(A)
    second = make_job(A, image=OTHER_IMAGE, created_at=NOON - timedelta(hours=1))
    third = make_job(A, created_at=NOON - timedelta(hours=2))
    for job in (first, second, third):
        await journal.add_job(job)
    await journal.start_attempt(make_attempt(second))
    second = replace(second, state=JobState.RUNNING)
    assert await journal.jobs() == (third, second, first)
    assert await journal.jobs(limit=2) == (third, second)
    assert await journal.jobs(limit=0) == ()
    assert await journal.jobs(image=IMAGE) == (third, first)
    assert await journal.jobs(state=JobState.RUNNING) == (second,)
    assert await journal.jobs(image=IMAGE, state=JobState.RUNNING) == ()


async def test_times_come_back_in_utc(journal: SqlJournal) -> None:
    madrid = timezone(timedelta(hours=2))
    job = make_job(A, created_at=NOON.astimezone(madrid))
    await journal.add_job(job)
    created_at = (await journal.job(job.id)).created_at
    assert created_at == NOON
    assert created_at.utcoffset() == timedelta(0)


async def test_a_time_without_a_zone_is_a_mistake(journal: SqlJournal) -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001  that is the mistake
    with pytest.raises(Exception, match="without its zone"):
        await journal.add_job(make_job(A, created_at=naive))
    assert await journal.jobs() == ()


async def test_text_that_a_database_refuses(journal: SqlJournal) -> None:
    job = make_job(A, image_name="nul\0 and half a pair \ud800")
    await journal.add_job(job)
    assert (await journal.job(job.id)).image_name == "nul and half a pair ?"


async def test_ledger_has_open_jobs_in_order_of_arrival(journal: SqlJournal) -> None:
    jobs = [make_job(A, B, image=image) for image in (IMAGE, OTHER_IMAGE, IMAGE)]
    for job in jobs:
        await journal.add_job(job)
    ended = make_job(A, state=JobState.DONE, ended_at=NOON)
    await journal.add_job(ended)
    ledger = await journal.ledger()
    assert ledger.jobs == tuple(jobs)
    assert ledger.attempts == ()
    assert ledger.failures == {}


async def test_pages_of_jobs(journal: SqlJournal) -> None:
    made = [make_job(A) for _ in range(5)]
    for job in made:
        await journal.add_job(job)
    newest = made[::-1]
    assert await journal.jobs(before=newest[1].id, limit=2) == tuple(newest[2:4])
    assert await journal.jobs(before=newest[-1].id) == ()
    # One that is gone is before none: whoever turns pages ends, and does not begin again.
    assert await journal.jobs(before=JobId("gone")) == ()
