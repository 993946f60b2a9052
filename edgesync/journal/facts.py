"""What a journal is, from outside: its schema, who has it, its size."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from edgesync.journal import engine as engines
from edgesync.journal.claim import writer_of
from edgesync.journal.engine import Place
from edgesync.journal.faults import translated
from edgesync.journal.migrate import revision_of
from edgesync.journal.opening import exists, lock_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Of a journal that somebody may be at work on."""

    # None: there is no journal yet. It may be one that only a newer edgesync knows.
    revision: str | None = None
    # Who writes to it at present, as far as that is known; None: nobody.
    writer: str | None = None
    # Bytes on disk.
    size: int = 0


async def look_at(url: str) -> Facts:
    """Changes nothing. PermanentError for a database with tables of somebody else."""
    place = Place.parse(url)
    with translated():
        if not await exists(place):
            return Facts()
        async with AsyncExitStack() as opened:
            engine = engines.connect_for_reading(place)
            opened.push_async_callback(engine.dispose)
            revision = await revision_of(engine)
            if revision is None:
                return Facts()
            taken = await lock_of(place).taken()
            async with engine.connect() as connection:
                known = await writer_of(connection)
            size = await engines.size_of(engine, place)
            return Facts(revision=revision, writer=(known or "somebody") if taken else None, size=size)
