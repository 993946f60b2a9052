"""Connections: where the journal is, and the settings without which a database would lose or delay writes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool

from edgesync.errors import ConfigError

# Seconds, for everything that could wait for a database.
DEADLINE = 10

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_EXAMPLES = "Use sqlite+aiosqlite:////var/lib/edgesync/journal.db or postgresql+asyncpg://user:password@host/database."


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a journal is."""

    url: URL
    # The database file of an SQLite journal, None for PostgreSQL.
    file: Path | None

    @classmethod
    def parse(cls, address: str) -> Place:
        try:
            url = make_url(address)
        except ArgumentError as error:
            raise ConfigError(["journal.url: this is not a database URL"], remedy=_EXAMPLES) from error
        driver = _DRIVERS.get(url.drivername, url.drivername)
        if driver not in _DRIVERS.values():
            raise ConfigError([f"journal.url: {driver} is not supported"], remedy=_EXAMPLES)
        if driver != _DRIVERS["sqlite"]:
            return cls(url=url.set(drivername=driver), file=None)
        if not url.database or url.database == ":memory:":
            raise ConfigError(["journal.url: it names no file, so nothing would be durable"], remedy=_EXAMPLES)
        # Resolved, so that two spellings of one file share one lock.
        file = Path(url.database).resolve()
        return cls(url=URL.create(_DRIVERS["sqlite"], database=str(file)), file=file)


def connect(place: Place) -> AsyncEngine:
    """An engine for reading and writing."""
    return _postgresql(place.url) if place.file is None else _sqlite(place.url)


def connect_for_reading(place: Place) -> AsyncEngine:
    """An engine that can't change the database, nor create it."""
    if place.file is None:
        return reading(_postgresql(place.url))
    url = place.url.set(database=place.file.as_uri(), query={"mode": "ro", "uri": "true"})
    return reading(_sqlite(url, writable=False))


def connect_to_nothing() -> AsyncEngine:
    """An empty database in memory, for reading a journal that does not exist yet."""
    # One connection, for one transaction at a time: every other one would be another empty database.
    url = URL.create(_DRIVERS["sqlite"], database=":memory:")
    return _sqlite(url, writable=False, poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0)


def connect_for_claim(place: Place) -> AsyncEngine:
    """One session outside any transaction and any pool: what it has locked ends with it."""
    return _postgresql(place.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def reading(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for transactions that see one moment of the database and hold no writer up."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(reads_only=True)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _sqlite(url: URL, *, writable: bool = True, **options: Any) -> AsyncEngine:
    # isolation_level None: Python's own idea of when a transaction begins lost acknowledged updates between processes.
    engine = create_async_engine(url, connect_args={"isolation_level": None, "timeout": DEADLINE}, **options)

    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        if writable:
            # Readers and the writer don't block each other; a commit that was acknowledged survives a power cut.
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def begin(connection: Connection) -> None:
        # IMMEDIATE: two that read first and write later would both believe the same old state.
        reads_only = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _postgresql(url: URL, **options: Any) -> AsyncEngine:
    settings = {
        "application_name": "edgesync",
        # The server's deadlines in turn, then asyncpg's own: who gives up first knows best what was in the way.
        "lock_timeout": f"{DEADLINE}s",
        "statement_timeout": f"{2 * DEADLINE}s",
        "idle_in_transaction_session_timeout": f"{6 * DEADLINE}s",
        # A claim whose host lost power ends after a minute, not after two hours.
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }
    deadlines = {"timeout": DEADLINE, "command_timeout": 3 * DEADLINE, "server_settings": settings}
    try:
        return create_async_engine(url, connect_args=deadlines, pool_pre_ping=True, **options)
    except ModuleNotFoundError as error:
        raise ConfigError(
            [f"journal.url: PostgreSQL needs the Python package {error.name}, which is not installed"],
            remedy="Install it with pip install 'edgesync[postgresql]', or use an SQLite journal.",
        ) from error


async def size_of(engine: AsyncEngine, place: Place) -> int:
    """Bytes on disk: the file and what SQLite keeps beside it, or the tables in PostgreSQL with their indexes."""
    if place.file is not None:
        return await asyncio.to_thread(_size_of_files, place.file)
    ours = (
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    async with engine.connect() as connection:
        found = await connection.scalar(text(ours))
    return int(found or 0)


def _size_of_files(file: Path) -> int:
    files = (file, *(file.with_name(file.name + beside) for beside in ("-wal", "-shm")))
    return sum(part.stat().st_size for part in files if part.exists())
