"""What is taken back: jobs that a person cancels, attempts that Glance never accepted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.image import ImageId
from edgesync.domain.job import AttemptId, Event, EventKind, Job, JobId, Origin
from edgesync.errors import ConflictError
from edgesync.journal import read
from edgesync.journal.outcome import cancel_rest, end_jobs
from edgesync.journal.tables import attempts, jobs
from edgesync.journal.wording import cancelling
from edgesync.journal.write import add_events, refresh_states


async def cancel(connection: AsyncConnection, job: JobId, by: str, at: datetime) -> Job:
    """What an attempt is at work on goes on, but nothing is begun again. Cancelling once more changes nothing."""
    before = await read.job(connection, job)
    if before.state.ended:
        raise ConflictError(
            f"Job {job} has ended already: {before.state}.", remedy="To take a copy away again, use delete-copy."
        )
    unmarked = and_(jobs.c.id == job, jobs.c.cancelled_at.is_(None))
    if (await connection.execute(update(jobs).where(unmarked).values(cancelled_at=at))).rowcount == 0:
        return before
    await cancel_rest(connection, before.image)
    stopped = await read.job(connection, job)
    told = cancelling(stopped, before.pending - stopped.pending, by)
    event = Event(at=at, kind=EventKind.JOB_CANCELLED, message=told, image=stopped.image, job=job)
    await add_events(connection, [event])
    await end_jobs(connection, before.image, at)
    return await read.job(connection, job)


async def drop_attempt(connection: AsyncConnection, attempt: AttemptId) -> None:
    row = (await connection.execute(select(attempts).where(attempts.c.id == attempt))).one_or_none()
    if row is None:
        return
    if row.ended_at is not None:
        raise ConflictError(f"Attempt {attempt} has ended: its result can't be dropped.", remedy="Look at the history.")
    await connection.execute(delete(attempts).where(attempts.c.id == attempt))
    if row.opened_job:
        # A person's request stands; a policy or a repair makes a new job when the time comes.
        unasked = and_(jobs.c.id == row.job_id, jobs.c.origin != Origin.PERSON)
        await connection.execute(delete(jobs).where(unasked))
    await refresh_states(connection, row.image_id)
    await _end_cancelled(connection, row.image_id)


async def _end_cancelled(connection: AsyncConnection, image: ImageId) -> None:
    """End the jobs that were cancelled while an attempt seemed to be at work for them, and none really was."""
    open_jobs = and_(jobs.c.image_id == image, jobs.c.ended_at.is_(None))
    cancelled_at = (await connection.execute(select(func.max(jobs.c.cancelled_at)).where(open_jobs))).scalar_one()
    if cancelled_at is not None:
        await end_jobs(connection, image, cancelled_at)
