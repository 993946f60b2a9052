"""Pauses: at most one for each scope. Each works inside the transaction that it is given."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.image import ImageId
from edgesync.domain.job import Event
from edgesync.domain.pause import Pause
from edgesync.domain.store import StoreId
from edgesync.journal.records import pause_values, scope_values, to_pause
from edgesync.journal.tables import pauses
from edgesync.journal.write import add_events


async def all_pauses(connection: AsyncConnection) -> tuple[Pause, ...]:
    """Oldest first."""
    rows = await connection.execute(select(pauses).order_by(pauses.c.since, pauses.c.image_id, pauses.c.store_id))
    return tuple(to_pause(row) for row in rows)


async def pause(connection: AsyncConnection, new: Pause, event: Event) -> None:
    await connection.execute(delete(pauses).where(_has_scope(new.image, new.store)))
    await connection.execute(insert(pauses).values(pause_values(new)))
    await add_events(connection, [event])


async def resume(connection: AsyncConnection, image: ImageId | None, store: StoreId | None, event: Event) -> bool:
    gone = await connection.execute(delete(pauses).where(_has_scope(image, store)))
    if gone.rowcount == 0:
        return False
    await add_events(connection, [event])
    return True


def _has_scope(image: ImageId | None, store: StoreId | None) -> ColumnElement[bool]:
    return and_(*(pauses.c[column] == value for column, value in scope_values(image, store).items()))
