"""Who had a copy made: what tells a copy that a policy may take away from one that a person asked for.

A row stays as long as the copy may exist, however old it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.image import ImageId
from edgesync.domain.job import CopyResult, JobId, Origin, StoreResult, Work
from edgesync.domain.store import StoreId
from edgesync.journal.batches import batches
from edgesync.journal.tables import copies, job_stores, jobs, verifications
from edgesync.journal.write import BRINGING

# By store: the origin and the name of who has the copy made.
_Claims = dict[StoreId, tuple[Origin, str]]


async def makers(connection: AsyncConnection, images: Collection[ImageId]) -> Mapping[tuple[ImageId, StoreId], str]:
    found = {}
    for batch in batches(images):
        made = select(copies).where(copies.c.image_id.in_(batch), copies.c.origin == Origin.POLICY)
        for row in await connection.execute(made):
            found[row.image_id, row.store_id] = row.requested_by
    return found


async def claim_made(
    connection: AsyncConnection, image: ImageId, leading: JobId, results: Sequence[StoreResult], at: datetime
) -> None:
    """Before an attempt's results are handed out: its copies are the leading job's, or a person's who waits too."""
    stores = _copied(results)
    if not stores:
        return
    leader = (await connection.execute(select(jobs.c.origin, jobs.c.requested_by).where(jobs.c.id == leading))).one()
    claims = dict.fromkeys(stores, (leader.origin, leader.requested_by))
    # A person who leads is named rather than one who waits too.
    if leader.origin is not Origin.PERSON:
        claims |= await _persons_waiting(connection, image, stores)
    await _claim(connection, image, claims, at)


async def claim_found(
    connection: AsyncConnection, image: ImageId, job: JobId, results: Sequence[StoreResult], at: datetime
) -> None:
    """Before a job is settled: the copies that a person asked for and found there are not a policy's any more.

    What a policy finds there is somebody else's and stays so.
    """
    stores = _copied(results)
    if stores:
        await _claim(connection, image, await _persons_waiting(connection, image, stores, job=job), at)


async def forget_gone(connection: AsyncConnection, image: ImageId, work: Work, results: Sequence[StoreResult]) -> None:
    """Forget who had copies made that don't exist any more, and how these were found: what comes next is a new one."""
    gone = [entry.store for entry in results if _ends_copy(entry.result, work)]
    for table in (copies, verifications) if gone else ():
        await connection.execute(delete(table).where(table.c.image_id == image, table.c.store_id.in_(gone)))


def _copied(results: Sequence[StoreResult]) -> list[StoreId]:
    return [entry.store for entry in results if entry.result is CopyResult.COPIED]


def _ends_copy(result: CopyResult, work: Work) -> bool:
    unlisted = result is CopyResult.REPAIRED and work is Work.UNLIST
    return unlisted or result in {CopyResult.REMOVED, CopyResult.REVERTED}


async def _persons_waiting(
    connection: AsyncConnection, image: ImageId, stores: Collection[StoreId], *, job: JobId | None = None
) -> _Claims:
    """By store, the person whose open job (or just that job) has waited longest for the copy."""
    waiting = (
        select(job_stores.c.store_id, jobs.c.origin, jobs.c.requested_by)
        .join(jobs, job_stores.c.job_id == jobs.c.id)
        .where(
            jobs.c.image_id == image,
            jobs.c.ended_at.is_(None),
            jobs.c.origin == Origin.PERSON,
            jobs.c.work.in_(BRINGING),
            job_stores.c.store_id.in_(stores),
            job_stores.c.result == CopyResult.PENDING,
        )
        .order_by(jobs.c.seq.desc())
    )
    if job is not None:
        waiting = waiting.where(jobs.c.id == job)
    # The last one counts.
    return {row.store_id: (row.origin, row.requested_by) for row in await connection.execute(waiting)}


async def _claim(connection: AsyncConnection, image: ImageId, claims: _Claims, at: datetime) -> None:
    here = and_(copies.c.image_id == image, copies.c.store_id.in_(claims))
    held = {row.store_id: row.origin for row in await connection.execute(select(copies).where(here))}
    taken = {store: claim for store, claim in claims.items() if _yields(held.get(store), claim[0])}
    if not taken:
        return
    await connection.execute(delete(copies).where(copies.c.image_id == image, copies.c.store_id.in_(taken)))
    rows = [
        {"image_id": image, "store_id": store, "origin": origin, "requested_by": name, "at": at}
        for store, (origin, name) in taken.items()
    ]
    await connection.execute(insert(copies), rows)


def _yields(held_by: Origin | None, claimed_by: Origin) -> bool:
    """A person's claim yields to persons only. A repair claims what is nobody's: it mends what others wanted."""
    match held_by:
        case None:
            return True
        case Origin.PERSON:
            return claimed_by is Origin.PERSON
        case _:
            return claimed_by is not Origin.REPAIR
