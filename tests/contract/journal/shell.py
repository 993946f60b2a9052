"""What an administrator does to a database behind the journal's back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from edgesync.journal.engine import Place


@asynccontextmanager
async def shell(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection on which every statement counts at once, unless it says BEGIN."""
    engine = create_async_engine(Place.parse(url).url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection


async def execute(url: str, *statements: str) -> None:
    async with shell(url) as connection:
        for statement in statements:
            await connection.execute(text(statement))
