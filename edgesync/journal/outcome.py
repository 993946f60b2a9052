"""What ends: the results of an attempt reach every job that waits for them, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, false, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.copy import Failure
from edgesync.domain.image import ImageId
from edgesync.domain.job import AttemptId, CopyResult, Event, EventKind, Job, JobId, JobState, StoreResult, Verdict
from edgesync.journal import read
from edgesync.journal.records import failure_values
from edgesync.journal.tables import attempt_stores, attempts, failures, job_stores, jobs
from edgesync.journal.write import add_events, no_attempt, refresh_states

# Stores that a sentence names before it only counts.
_NAMED = 5


async def finish_attempt(
    connection: AsyncConnection,
    attempt: AttemptId,
    verdict: Verdict,
    new: Sequence[Failure],
    events: Sequence[Event],
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
    for entry in verdict.results:
        await connection.execute(
            update(attempt_stores)
            .where(attempt_stores.c.attempt_id == attempt, attempt_stores.c.store_id == entry.store)
            .values(result=entry.result, reason=entry.reason)
        )
        await _hand_out(connection, entry, (jobs.c.id == row.job_id) | _shares(entry.result), row.image_id)
    await _forget(connection, row.image_id, verdict.results)
    await _remember(connection, new)
    await add_events(connection, events)
    await _end_jobs(connection, row.image_id, at)
    return True


async def settle(connection: AsyncConnection, job: JobId, verdict: Verdict, at: datetime) -> None:
    image = (await read.job(connection, job)).image
    for entry in verdict.results:
        await _hand_out(connection, entry, jobs.c.id == job, image)
    await _forget(connection, image, verdict.results)
    await _end_jobs(connection, image, at)


def _shares(result: CopyResult) -> ColumnElement[bool]:
    """Which jobs, besides the leading one, a result concerns."""
    if result is CopyResult.COPIED:
        return true()
    if result is CopyResult.FAILED:
        # One that wants all or nothing still has its own try.
        return jobs.c.allow_failure
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
    copied = [entry.store for entry in results if entry.result is CopyResult.COPIED]
    if copied:
        await connection.execute(delete(failures).where(failures.c.image_id == image, failures.c.store_id.in_(copied)))


async def _remember(connection: AsyncConnection, new: Sequence[Failure]) -> None:
    for failure in new:
        same_copy = and_(failures.c.image_id == failure.image, failures.c.store_id == failure.store)
        await connection.execute(delete(failures).where(same_copy))
        await connection.execute(insert(failures).values(failure_values(failure)))


async def _end_jobs(connection: AsyncConnection, image: ImageId, at: datetime) -> None:
    """End the image's jobs that wait for nothing more, and tell so; show the others' state anew."""
    for job in await read.open_jobs(connection, image=image):
        if not job.pending:
            state = JobState.FAILED if job.failed else JobState.DONE
            await connection.execute(update(jobs).where(jobs.c.id == job.id).values(state=state, ended_at=at))
            ended = Event(at=at, kind=EventKind.JOB_ENDED, message=_ending(job), image=job.image, job=job.id)
            await add_events(connection, [ended])
    await refresh_states(connection, image)


def _ending(job: Job) -> str:
    """One sentence about a job with nothing pending."""
    if job.failed:
        copies = "copy" if len(job.stores) == 1 else "copies"
        return f"{len(job.failed)} of {len(job.stores)} {copies} of {job.image_name} failed: {_names(job.failed)}."
    return f"{job.image_name} was copied to {_names(job.stores)}."


def _names(entries: Sequence[StoreResult]) -> str:
    named = ", ".join(entry.store for entry in entries[:_NAMED])
    return named if len(entries) <= _NAMED else f"{named} and {len(entries) - _NAMED} more"
