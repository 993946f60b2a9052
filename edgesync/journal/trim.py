"""Forgetting what is old, a batch at a time, so that no other write waits long."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.journal.tables import attempts, events, failures, jobs

BATCH = 500


async def trim(connection: AsyncConnection, before: datetime) -> int:
    """Remove up to a batch of each kind; the number of jobs, attempts, events and failures removed.

    Nothing of an open job goes. A failure that nobody renewed for so long belongs to an image that is gone, or to a
    copy that may well be tried once more. Ended attempts prove until then that what they left at a site is ours. Who
    had a copy made is never too old to be known, nor is a pause.
    """
    removed = await _remove(connection, attempts, attempts.c.id, _old_attempt(before))
    removed += await _remove(connection, jobs, jobs.c.id, _old_job(before))
    removed += await _remove(connection, events, events.c.seq, _old_event(before))
    return removed + await _remove(connection, failures, failures.c.image_id, failures.c.failed_at < before)


def _old_attempt(before: datetime) -> ColumnElement[bool]:
    its_job_ended = exists().where(jobs.c.id == attempts.c.job_id, jobs.c.ended_at < before)
    return and_(attempts.c.ended_at < before, its_job_ended)


def _old_job(before: datetime) -> ColumnElement[bool]:
    has_attempts = exists().where(attempts.c.job_id == jobs.c.id)
    return and_(jobs.c.ended_at < before, ~has_attempts)


def _old_event(before: datetime) -> ColumnElement[bool]:
    of_open_job = exists().where(jobs.c.id == events.c.job_id, jobs.c.ended_at.is_(None))
    return and_(events.c.at < before, or_(events.c.job_id.is_(None), ~of_open_job))


async def _remove(connection: AsyncConnection, table: Table, key: Column[Any], condition: ColumnElement[bool]) -> int:
    batch = select(key).where(condition).limit(BATCH)
    result = await connection.execute(delete(table).where(condition, key.in_(batch)))
    return result.rowcount
