"""Queries. Each works inside the transaction that it is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.image import ImageId
from edgesync.domain.job import FAILED_KINDS, Attempt, Event, HistoryFilter, Job, JobId, JobState, StoreResult
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.errors import NotFoundError
from edgesync.journal.batches import batches
from edgesync.journal.pauses import all_pauses
from edgesync.journal.records import to_attempt, to_event, to_failure, to_job, to_results
from edgesync.journal.tables import attempt_stores, attempts, events, failures, job_stores, jobs
from edgesync.journal.write import BRINGING

# No answer is larger, whatever limit was asked for.
MOST_ROWS = 10_000


async def ledger(connection: AsyncConnection) -> Ledger:
    remembered = [to_failure(row) for row in await connection.execute(select(failures))]
    return Ledger(
        jobs=await open_jobs(connection),
        attempts=await _attempts(connection, select(attempts).where(attempts.c.ended_at.is_(None)), attempts.c.seq),
        failures={(failure.image, failure.store): failure for failure in remembered},
        pauses=await all_pauses(connection),
    )


async def open_jobs(connection: AsyncConnection, *, image: ImageId | None = None) -> tuple[Job, ...]:
    """In order of arrival."""
    wanted = select(jobs).where(jobs.c.ended_at.is_(None), *_equal(jobs.c.image_id, image))
    return await _jobs(connection, wanted, jobs.c.seq)


async def job(connection: AsyncConnection, wanted: JobId) -> Job:
    for found in await _jobs(connection, select(jobs).where(jobs.c.id == wanted), jobs.c.seq):
        return found
    raise NotFoundError(f"There is no job {wanted}.", remedy="List the jobs: old ones are removed in time.")


async def newest_jobs(
    connection: AsyncConnection, *, image: ImageId | None, state: JobState | None, before: JobId | None, limit: int
) -> tuple[Job, ...]:
    wanted = select(jobs).where(*_equal(jobs.c.image_id, image), *_equal(jobs.c.state, state))
    if before is not None:
        # Of one that is gone nothing is before: whoever turns pages must not begin again unawares.
        wanted = wanted.where(jobs.c.seq < select(jobs.c.seq).where(jobs.c.id == before).scalar_subquery())
    return await _jobs(connection, wanted.limit(_bounded(limit)), jobs.c.seq.desc())


async def newest_attempts(connection: AsyncConnection, *, image: ImageId | None, limit: int) -> tuple[Attempt, ...]:
    wanted = select(attempts).where(*_equal(attempts.c.image_id, image))
    return await _attempts(connection, wanted.limit(_bounded(limit)), attempts.c.seq.desc())


async def attempted(
    connection: AsyncConnection, copies: Collection[tuple[ImageId, StoreId]]
) -> frozenset[tuple[ImageId, StoreId]]:
    by_store: dict[StoreId, set[ImageId]] = defaultdict(set)
    for image, store in copies:
        by_store[store].add(image)
    found: set[tuple[ImageId, StoreId]] = set()
    for store, images in by_store.items():
        for batch in batches(images):
            tried = (
                select(attempts.c.image_id)
                .join(attempt_stores, attempt_stores.c.attempt_id == attempts.c.id)
                .where(
                    attempts.c.image_id.in_(batch), attempts.c.work.in_(BRINGING), attempt_stores.c.store_id == store
                )
            )
            found.update((image, store) for image in await connection.scalars(tried))
    return frozenset(found)


async def history(connection: AsyncConnection, wanted: HistoryFilter) -> tuple[Event, ...]:
    query = select(events).where(*_equal(events.c.image_id, wanted.image), *_equal(events.c.store_id, wanted.store))
    if wanted.since is not None:
        query = query.where(events.c.at >= wanted.since)
    if wanted.failed_only:
        query = query.where(events.c.kind.in_(FAILED_KINDS))
    if wanted.before is not None:
        query = query.where(events.c.seq < wanted.before)
    if wanted.after is not None:
        query = query.where(events.c.seq > wanted.after)
    order = events.c.seq.desc() if wanted.after is None else events.c.seq
    rows = await connection.execute(query.order_by(order).limit(_bounded(wanted.limit)))
    return tuple(to_event(row) for row in rows)


async def _jobs(connection: AsyncConnection, wanted: Select[Any], order: ColumnElement[Any]) -> tuple[Job, ...]:
    wanted = wanted.order_by(order)
    stores = await _results(connection, job_stores, wanted.with_only_columns(jobs.c.id))
    return tuple(to_job(row, stores.get(row.id, ())) for row in await connection.execute(wanted))


async def _attempts(connection: AsyncConnection, wanted: Select[Any], order: ColumnElement[Any]) -> tuple[Attempt, ...]:
    wanted = wanted.order_by(order)
    results = await _results(connection, attempt_stores, wanted.with_only_columns(attempts.c.id))
    return tuple(to_attempt(row, results.get(row.id, ())) for row in await connection.execute(wanted))


async def _results(
    connection: AsyncConnection, table: Table, owners: Select[Any]
) -> dict[str, tuple[StoreResult, ...]]:
    """The store results of all jobs or attempts that the query `owners` names."""
    owner = table.primary_key.columns[0]
    columns = (owner, table.c.store_id, table.c.result, table.c.reason)
    rows = await connection.execute(select(*columns).where(owner.in_(owners)).order_by(table.c.position))
    return to_results(rows)


def _equal(column: ColumnElement[Any], value: object | None) -> Iterator[ColumnElement[bool]]:
    """A condition that holds for everything when no value is asked for."""
    if value is not None:
        yield column == value


def _bounded(limit: int) -> int:
    return max(0, min(limit, MOST_ROWS))
