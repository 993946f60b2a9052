"""What begins: jobs, attempts, events. Each works inside the transaction that it is given.

Ids are the caller's, so a write may be repeated when its answer was lost: the second one changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.image import ImageId, TaskId
from edgesync.domain.job import Attempt, AttemptId, CopyResult, Event, Job, JobId, JobState, StoreResult, Work
from edgesync.errors import ConflictError, NotFoundError
from edgesync.journal.records import attempt_values, event_values, job_values, store_values
from edgesync.journal.tables import attempt_stores, attempts, events, job_stores, jobs

# Jobs of such work wait for the same thing, whoever's attempt makes it.
BRINGING = [work for work in Work if work.brings]


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
    else:
        await _check_open(connection, attempt.job)
    try:
        await connection.execute(insert(attempts).values(attempt_values(attempt, opened_job=job is not None)))
    except IntegrityError as error:  # the id is new and the job is there: this is the one open attempt of an image
        raise ConflictError(
            f"Image {attempt.image} is being worked on already.", remedy="Wait until that attempt has ended."
        ) from error
    stores = [StoreResult(store=store) for store in attempt.stores]
    if stores:
        await connection.execute(insert(attempt_stores), store_values({"attempt_id": attempt.id}, stores))
    await refresh_states(connection, attempt.image)


async def _check_open(connection: AsyncConnection, job: JobId) -> None:
    """A plan may be older than the end of the job that it is for."""
    row = (await connection.execute(select(jobs.c.ended_at).where(jobs.c.id == job))).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no job {job} to try.", remedy="Ask for the copy again.")
    if row.ended_at is not None:
        raise ConflictError(f"Job {job} has ended.", remedy="Ask for the copy again.")


async def attach_task(connection: AsyncConnection, attempt: AttemptId, task: TaskId) -> None:
    found = await connection.execute(
        update(attempts).where(attempts.c.id == attempt).values(task_id=task).returning(attempts.c.id)
    )
    if found.one_or_none() is None:
        raise no_attempt(attempt)


async def add_events(connection: AsyncConnection, new: Sequence[Event]) -> None:
    if new:
        await connection.execute(insert(events), [event_values(event) for event in new])


async def refresh_states(connection: AsyncConnection, image: ImageId) -> None:
    """An open job is running while an open attempt is at work on a store that it waits for, else queued."""
    running = select(job_stores.c.job_id).where(job_stores.c.result == CopyResult.PENDING, being_made(image))
    state = case((jobs.c.id.in_(running), JobState.RUNNING.value), else_=JobState.QUEUED.value)
    await connection.execute(
        update(jobs).where(jobs.c.image_id == image, jobs.c.ended_at.is_(None)).values(state=state)
    )


def being_made(image: ImageId) -> ColumnElement[bool]:
    """A condition on stores of the image's open jobs: its open attempt is at work on them, for this job too."""
    serves = or_(attempts.c.job_id == jobs.c.id, and_(attempts.c.work.in_(BRINGING), jobs.c.work.in_(BRINGING)))
    made = (
        select(jobs.c.id, attempt_stores.c.store_id)
        .join(attempts, attempts.c.image_id == jobs.c.image_id)
        .join(attempt_stores, attempt_stores.c.attempt_id == attempts.c.id)
        .where(jobs.c.image_id == image, jobs.c.ended_at.is_(None), attempts.c.ended_at.is_(None), serves)
        .correlate(None)
    )
    return tuple_(job_stores.c.job_id, job_stores.c.store_id).in_(made)


def no_attempt(attempt: AttemptId) -> NotFoundError:
    return NotFoundError(f"There is no attempt {attempt}.", remedy="It was dropped, or removed with old history.")


async def _exists(connection: AsyncConnection, condition: ColumnElement[Any]) -> bool:
    return bool((await connection.execute(select(exists().where(condition)))).scalar_one())
