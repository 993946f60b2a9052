"""What ends: the results of an attempt reach every job that waits for them, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, false, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.copy import Failure
from edgesync.domain.image import ImageId
from edgesync.domain.job import (
    AttemptId,
    CopyResult,
    Event,
    EventKind,
    Job,
    JobId,
    JobState,
    StoreResult,
    Verdict,
    Work,
)
from edgesync.journal import makers, read
from edgesync.journal.records import failure_values
from edgesync.journal.tables import attempt_stores, attempts, failures, job_stores, jobs
from edgesync.journal.wording import ending
from edgesync.journal.write import BRINGING, add_events, add_job, being_made, no_attempt, refresh_states


async def finish_attempt(
    connection: AsyncConnection,
    attempt: AttemptId,
    verdict: Verdict,
    new: Sequence[Failure],
    events: Sequence[Event],
    follow_up: Job | None,
    at: datetime,
) -> bool:
    row = (await connection.execute(select(attempts).where(attempts.c.id == attempt))).one_or_none()
    if row is None:
        raise no_attempt(attempt)
    if row.ended_at is not None:
        return False
    await connection.execute(
        update(attempts).where(attempts.c.id == attempt).values(ended_at=at, message=verdict.message)
    )
    if row.work.brings:
        await makers.claim_made(connection, row.image_id, row.job_id, verdict.results, at)
    for entry in verdict.results:
        await connection.execute(
            update(attempt_stores)
            .where(attempt_stores.c.attempt_id == attempt, attempt_stores.c.store_id == entry.store)
            .values(result=entry.result, reason=entry.reason)
        )
        takers = (jobs.c.id == row.job_id) | _shares(row.work, entry.result)
        await _hand_out(connection, entry, takers, row.image_id)
    await makers.forget_gone(connection, row.image_id, row.work, verdict.results)
    await _forget(connection, row.image_id, verdict.results)
    await _remember(connection, new)
    await add_events(connection, events)
    await end_jobs(connection, row.image_id, at)
    if follow_up is not None:
        await add_job(connection, follow_up)
    return True


async def settle(
    connection: AsyncConnection, job: JobId, verdict: Verdict, events: Sequence[Event], at: datetime
) -> None:
    settled = await read.job(connection, job)
    results = [entry for entry in verdict.results if entry.store in settled.pending]
    await makers.claim_found(connection, settled.image, job, results, at)
    for entry in results:
        await _hand_out(connection, entry, jobs.c.id == job, settled.image)
    await makers.forget_gone(connection, settled.image, settled.work, results)
    await _forget(connection, settled.image, results)
    await add_events(connection, events)
    await end_jobs(connection, settled.image, at)


def _shares(work: Work, result: CopyResult) -> ColumnElement[bool]:
    """Which jobs, besides the leading one, a result concerns."""
    if not work.brings:
        return false()
    if result is CopyResult.COPIED:
        return jobs.c.work.in_(BRINGING)
    if result is CopyResult.FAILED:
        # One that wants all or nothing still has its own try.
        return and_(jobs.c.work.in_(BRINGING), jobs.c.allow_failure)
    # Taken away for the sake of the leading job only: the others still want it.
    return false()


async def _hand_out(
    connection: AsyncConnection, entry: StoreResult, takers: ColumnElement[bool], image: ImageId
) -> None:
    if not entry.result.ended:
        return
    taking = select(jobs.c.id).where(and_(jobs.c.image_id == image, jobs.c.ended_at.is_(None), takers))
    await connection.execute(
        update(job_stores)
        .where(
            job_stores.c.store_id == entry.store,
            job_stores.c.result == CopyResult.PENDING,
            job_stores.c.job_id.in_(taking),
        )
        .values(result=entry.result, reason=entry.reason)
    )


async def _forget(connection: AsyncConnection, image: ImageId, results: Iterable[StoreResult]) -> None:
    over = [entry.store for entry in results if entry.result in {CopyResult.COPIED, CopyResult.REMOVED}]
    if over:
        await connection.execute(delete(failures).where(failures.c.image_id == image, failures.c.store_id.in_(over)))


async def _remember(connection: AsyncConnection, new: Sequence[Failure]) -> None:
    for failure in new:
        same_copy = and_(failures.c.image_id == failure.image, failures.c.store_id == failure.store)
        await connection.execute(delete(failures).where(same_copy))
        await connection.execute(insert(failures).values(failure_values(failure)))


async def end_jobs(connection: AsyncConnection, image: ImageId, at: datetime) -> None:
    """End the image's jobs that wait for nothing more, and tell so; show the others' state anew."""
    await cancel_rest(connection, image)
    for job in await read.open_jobs(connection, image=image):
        if not job.pending:
            await connection.execute(update(jobs).where(jobs.c.id == job.id).values(state=_end(job), ended_at=at))
            ended = Event(at=at, kind=EventKind.JOB_ENDED, message=ending(job), image=job.image, job=job.id)
            await add_events(connection, [ended])
    await refresh_states(connection, image)


async def cancel_rest(connection: AsyncConnection, image: ImageId) -> None:
    """Whatever a cancelled job waits for and no attempt is at work on: nothing new is begun for it."""
    cancelled = select(jobs.c.id).where(
        jobs.c.image_id == image, jobs.c.ended_at.is_(None), jobs.c.cancelled_at.is_not(None)
    )
    await connection.execute(
        update(job_stores)
        .where(job_stores.c.job_id.in_(cancelled), job_stores.c.result == CopyResult.PENDING, ~being_made(image))
        .values(result=CopyResult.CANCELLED, reason="cancelled by a person")
    )


def _end(job: Job) -> JobState:
    if job.failed:
        return JobState.FAILED
    cancelled = any(entry.result is CopyResult.CANCELLED for entry in job.stores)
    return JobState.CANCELLED if cancelled else JobState.DONE
