"""Opening a journal: is there one, may we have it, is it of our version."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from edgesync.errors import ConfigError, PermanentError
from edgesync.journal import engine as engines
from edgesync.journal.claim import Claim, FileLock, Lock, SessionLock
from edgesync.journal.engine import Place
from edgesync.journal.faults import translated
from edgesync.journal.migrate import Schema, inspect, revision_of, upgrade
from edgesync.journal.store import SqlJournal
from edgesync.journal.timing import OnTransaction, untold


async def open_journal(url: str, *, readonly: bool = False, on_transaction: OnTransaction = untold) -> SqlJournal:
    """Open the journal, made or brought up to date if need be; nobody else may have claimed it for that.

    With `readonly` nothing is created or changed, a daemon may be at work on it, and one that does not exist yet
    reads as an empty one.
    """
    place = Place.parse(url)
    with translated():
        return await (_open_for_reading(place) if readonly else _open(place, on_transaction))


async def _open(place: Place, on_transaction: OnTransaction) -> SqlJournal:
    if place.file is not None:
        await asyncio.to_thread(_check_folder, place.file)
    async with AsyncExitStack() as opened:
        engine = _kept(engines.connect(place), opened)
        claim = Claim(lock_of(place))
        if await inspect(engine) is not Schema.CURRENT:
            async with claim.locked(engine):
                await upgrade(engine)
        opened.pop_all()
    return SqlJournal(engine, claim, on_transaction)


async def _open_for_reading(place: Place) -> SqlJournal:
    if await exists(place):
        async with AsyncExitStack() as opened:
            engine = _kept(engines.connect_for_reading(place), opened)
            schema = await inspect(engine)
            if schema is Schema.OLD:
                raise PermanentError(
                    f"This journal has the schema of an older edgesync, {await revision_of(engine)}.",
                    remedy="Start the daemon: it brings it up to date. If it was rolled back on purpose, install that "
                    "older edgesync instead.",
                )
            if schema is Schema.CURRENT:
                opened.pop_all()
                return SqlJournal(engine, None, untold)
    async with AsyncExitStack() as opened:
        nothing = _kept(engines.connect_to_nothing(), opened)
        await upgrade(nothing)
        opened.pop_all()
    return SqlJournal(nothing, None, untold)


def _kept(engine: AsyncEngine, opened: AsyncExitStack) -> AsyncEngine:
    """An engine that is closed again if the opening fails."""
    opened.push_async_callback(engine.dispose)
    return engine


def lock_of(place: Place) -> Lock:
    """What the one who writes to that journal holds."""
    if place.file is not None:
        return FileLock(place.file.with_name(f"{place.file.name}.lock"))
    return SessionLock(engines.connect_for_claim(place))


async def exists(place: Place) -> bool:
    """False only for a file that is not there; ConfigError where we may not look."""
    return place.file is None or await asyncio.to_thread(_exists, place.file)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError as error:
        raise ConfigError(
            [f"journal.url: the user of this process may not look at {path}"],
            remedy="Run this as edgesync's user: sudo -u edgesync edgesync ...",
        ) from error


def _check_folder(file: Path) -> None:
    folder = file.parent
    if not _exists(folder):
        raise ConfigError(
            [f"journal.url: the folder {folder} does not exist"],
            remedy=f"Create it: install -d -o edgesync -m 0750 {folder}",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            [f"journal.url: the folder {folder} is not writable for the user of this process"],
            remedy=f"Give it to edgesync's user: chown edgesync {folder}",
        )
