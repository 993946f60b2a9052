"""Errors of the two databases, told in edgesync's words. What is not listed here is a mistake in edgesync."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from edgesync.errors import EdgesyncError, PermanentError, TransientError

# By SQLite's primary result code.
_SQLITE: dict[int, tuple[type[EdgesyncError], str, str]] = {
    sqlite3.SQLITE_BUSY: (
        TransientError,
        "is held by another process",
        "Look for a backup or an open sqlite3 shell on it.",
    ),
    sqlite3.SQLITE_LOCKED: (TransientError, "is locked", "Look for a backup or an open sqlite3 shell on it."),
    sqlite3.SQLITE_FULL: (TransientError, "has no room left", "Free space on its file system."),
    sqlite3.SQLITE_IOERR: (TransientError, "can't be read or written", "Check its disk: see the kernel log."),
    sqlite3.SQLITE_CANTOPEN: (PermanentError, "can't be opened", "Check that its folder exists and is edgesync's."),
    sqlite3.SQLITE_READONLY: (PermanentError, "is read-only", "Make the file and its folder writable to edgesync."),
    sqlite3.SQLITE_NOTADB: (PermanentError, "is not an SQLite database", "Check journal.url, or restore a backup."),
    sqlite3.SQLITE_CORRUPT: (PermanentError, "is damaged", "Restore a backup, or move it away to begin a new one."),
}

# By the beginning of PostgreSQL's SQLSTATE, the longest match first.
_POSTGRESQL: dict[str, tuple[type[EdgesyncError], str, str]] = {
    "25006": (TransientError, "is read-only in PostgreSQL", "Point journal.url at the primary server."),
    "55P03": (TransientError, "is held by another session", "Look for long transactions in pg_stat_activity."),
    "57014": (TransientError, "took too long to answer", "Check the load of the PostgreSQL server."),
    "08": (TransientError, "lost its connection", "Check that the PostgreSQL server is up and reachable."),
    "28": (PermanentError, "is refused by PostgreSQL: wrong login", "Check user and password in journal.url."),
    "3D": (PermanentError, "does not exist in PostgreSQL", "Create the database that journal.url names."),
    "40": (TransientError, "got in the way of another session", "It is tried again; nothing to do."),
    "42501": (PermanentError, "is not ours to use", "Grant edgesync's user all rights on the schema."),
    "53": (TransientError, "finds PostgreSQL out of resources", "Check its disk, memory and max_connections."),
    "57": (TransientError, "lost its connection", "Check that the PostgreSQL server is up and reachable."),
}

_UNREACHABLE = (TransientError, "can't be reached", "Check that the PostgreSQL server is up and journal.url is right.")


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a database says about its own condition into the classes of `edgesync.errors`."""
    try:
        yield
    except PoolTimeoutError as error:
        raise TransientError(
            "The journal is busy: all its connections are in use.", remedy="It is tried again; nothing to do."
        ) from error
    except DBAPIError as error:
        known = _classify(error)
        if known is None:
            raise
        raise _tell(*known, error.orig) from error
    except OSError as error:  # no server, no route; asyncio's deadlines are OSErrors, too
        raise _tell(*_UNREACHABLE, error) from error


def _tell(kind: type[EdgesyncError], what: str, remedy: str, cause: BaseException | None) -> EdgesyncError:
    detail = " ".join(str(cause).split())[:200] or type(cause).__name__
    return kind(f"The journal {what} ({detail}).", remedy=remedy)


def _classify(error: DBAPIError) -> tuple[type[EdgesyncError], str, str] | None:
    if isinstance(error.orig, sqlite3.Error):
        return _SQLITE.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)
    state = getattr(error.orig, "sqlstate", None) or ""
    for prefix, known in _POSTGRESQL.items():
        if state.startswith(prefix):
            return known
    return _UNREACHABLE if error.connection_invalidated else None
