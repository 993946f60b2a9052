"""Forgetting what is old, a batch at a time, so that no other write waits long."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.journal.tables import attempts, digests, events, failures, jobs, verifications

BATCH = 500


async def trim(connection: AsyncConnection, before: datetime) -> int:
    """Remove up to a batch of each kind; the number of records removed.

    Nothing of an open job goes. A failure that nobody renewed for so long belongs to an image that is gone, or to a
    copy that may well be tried once more. Ended attempts prove until then that what they left at a site is ours. Who
    had a copy made is never too old to be known, nor is a pause.

    Digests and verifications go with their image, if a daemon sees it go. For the others: they go when they are old,
    and no job and no event names the image any more. So they outlive a dead image by about twice the age of `before`
    at most. A living one may lose them as well, after a long time in which nothing happened to it; its digests are
    computed again when they are wanted, and kept for good where its copies are verified now and then.
    """
    removed = await _remove(connection, attempts, attempts.c.id, _old_attempt(before))
    removed += await _remove(connection, jobs, jobs.c.id, _old_job(before))
    removed += await _remove(connection, events, events.c.seq, _old_event(before))
    removed += await _remove(connection, failures, failures.c.image_id, failures.c.failed_at < before)
    removed += await _remove(connection, verifications, verifications.c.image_id, _old_verification(before))
    return removed + await _remove(connection, digests, digests.c.image_id, _old_digests(before))


def _old_attempt(before: datetime) -> ColumnElement[bool]:
    its_job_ended = exists().where(jobs.c.id == attempts.c.job_id, jobs.c.ended_at < before)
    return and_(attempts.c.ended_at < before, its_job_ended)


def _old_job(before: datetime) -> ColumnElement[bool]:
    has_attempts = exists().where(attempts.c.job_id == jobs.c.id)
    return and_(jobs.c.ended_at < before, ~has_attempts)


def _old_event(before: datetime) -> ColumnElement[bool]:
    of_open_job = exists().where(jobs.c.id == events.c.job_id, jobs.c.ended_at.is_(None))
    return and_(events.c.at < before, or_(events.c.job_id.is_(None), ~of_open_job))


def _old_verification(before: datetime) -> ColumnElement[bool]:
    return and_(verifications.c.at < before, _unnamed(verifications))


def _old_digests(before: datetime) -> ColumnElement[bool]:
    kept_long_ago = or_(digests.c.kept_at.is_(None), digests.c.kept_at < before)
    # What is left of an image that nothing names is recent.
    verified = exists().where(verifications.c.image_id == digests.c.image_id)
    return and_(kept_long_ago, _unnamed(digests), ~verified)


def _unnamed(table: Table) -> ColumnElement[bool]:
    """The image of a row is in no job and no event."""
    of_job = exists().where(jobs.c.image_id == table.c.image_id)
    of_event = exists().where(events.c.image_id == table.c.image_id)
    return and_(~of_job, ~of_event)


async def _remove(connection: AsyncConnection, table: Table, key: Column[Any], condition: ColumnElement[bool]) -> int:
    batch = select(key).where(condition).limit(BATCH)
    result = await connection.execute(delete(table).where(condition, key.in_(batch)))
    return result.rowcount
