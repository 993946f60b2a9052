"""What begins: jobs, attempts, events. Each works inside the transaction that it is given.

Ids are the caller's, so a write may be repeated when its answer was lost: the second one changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.image import ImageId, TaskId
from edgesync.domain.job import Attempt, AttemptId, CopyResult, Event, Job, JobState, Origin, StoreResult
from edgesync.errors import ConflictError, NotFoundError
from edgesync.journal.records import attempt_values, event_values, job_values, store_values
from edgesync.journal.tables import attempt_stores, attempts, events, job_stores, jobs


async def add_job(connection: AsyncConnection, job: Job) -> None:
    if await _exists(connection, jobs.c.id == job.id):
        return
    await connection.execute(insert(jobs).values(job_values(job)))
    if job.stores:
        await connection.execute(insert(job_stores), store_values({"job_id": job.id}, job.stores))
    await refresh_states(connection, job.image)


async def start_attempt(connection: AsyncConnection, attempt: Attempt, job: Job | None) -> None:
    if await _exists(connection, attempts.c.id == attempt.id):
        return
    if job is not None:
        await add_job(connection, job)
    elif not await _exists(connection, jobs.c.id == attempt.job):
        raise NotFoundError(f"There is no job {attempt.job} to try.", remedy="Ask for the copy again.")
    try:
        await connection.execute(insert(attempts).values(attempt_values(attempt, opened_job=job is not None)))
    except IntegrityError as error:  # the id is new and the job is there: this is the one open attempt of an image
        raise ConflictError(
            f"Image {attempt.image} is being copied already.", remedy="Wait until that attempt has ended."
        ) from error
    stores = [StoreResult(store=store) for store in attempt.stores]
    if stores:
        await connection.execute(insert(attempt_stores), store_values({"attempt_id": attempt.id}, stores))
    await refresh_states(connection, attempt.image)


async def attach_task(connection: AsyncConnection, attempt: AttemptId, task: TaskId) -> None:
    found = await connection.execute(
        update(attempts).where(attempts.c.id == attempt).values(task_id=task).returning(attempts.c.id)
    )
    if found.one_or_none() is None:
        raise no_attempt(attempt)


async def drop_attempt(connection: AsyncConnection, attempt: AttemptId) -> None:
    row = (await connection.execute(select(attempts).where(attempts.c.id == attempt))).one_or_none()
    if row is None:
        return
    if row.ended_at is not None:
        raise ConflictError(f"Attempt {attempt} has ended: its result can't be dropped.", remedy="Look at the history.")
    await connection.execute(delete(attempts).where(attempts.c.id == attempt))
    if row.opened_job:
        # A person's request stands; a policy makes a new job when the time comes.
        await connection.execute(delete(jobs).where(jobs.c.id == row.job_id, jobs.c.origin == Origin.POLICY))
    await refresh_states(connection, row.image_id)


async def add_events(connection: AsyncConnection, new: Sequence[Event]) -> None:
    if new:
        await connection.execute(insert(events), [event_values(event) for event in new])


async def refresh_states(connection: AsyncConnection, image: ImageId) -> None:
    """An open job is running while an open attempt makes a copy that it waits for, else queued."""
    waits_for = job_stores.join(attempt_stores, job_stores.c.store_id == attempt_stores.c.store_id).join(
        attempts, attempt_stores.c.attempt_id == attempts.c.id
    )
    being_made = (
        exists()
        .select_from(waits_for)
        .where(
            job_stores.c.job_id == jobs.c.id,
            job_stores.c.result == CopyResult.PENDING,
            attempts.c.image_id == image,
            attempts.c.ended_at.is_(None),
        )
        .correlate(jobs)
    )
    state = case((being_made, JobState.RUNNING.value), else_=JobState.QUEUED.value)
    await connection.execute(
        update(jobs).where(jobs.c.image_id == image, jobs.c.ended_at.is_(None)).values(state=state)
    )


def no_attempt(attempt: AttemptId) -> NotFoundError:
    return NotFoundError(f"There is no attempt {attempt}.", remedy="It was dropped, or removed with old history.")


async def _exists(connection: AsyncConnection, condition: ColumnElement[Any]) -> bool:
    return bool((await connection.execute(select(exists().where(condition)))).scalar_one())
