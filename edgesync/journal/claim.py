"""The claim: exactly one daemon writes to a journal.

Two parts. A lock that ends with its process, however that dies: an flock beside the SQLite file, an advisory lock of a
PostgreSQL session. And an epoch in the database, one higher with every claim, that each write compares inside its
own transaction: a former writer that lost its lock without noticing can't change anything once there is a new one.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import func, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from edgesync.errors import ConflictError, PermanentError, TransientError
from edgesync.journal.tables import writer


class Lock(Protocol):
    """What makes a claim end with its process."""

    @property
    def lost(self) -> bool:
        """True once a lock that was acquired is known to be gone."""
        ...

    async def acquire(self) -> bool:
        """False while somebody else has it."""
        ...

    async def taken(self) -> bool:
        """Whether somebody has it; to ask leaves nothing behind."""
        ...

    async def release(self) -> None: ...


class FileLock:
    """An flock: the kernel releases it with the process, so there is never a stale one to clear away."""

    lost = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    async def acquire(self) -> bool:
        return await asyncio.to_thread(self._acquire)

    def _acquire(self) -> bool:
        # Never removed: a second process could lock a new file of that name while the first holds the old one.
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unopened(self._path, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    async def taken(self) -> bool:
        return await asyncio.to_thread(self._taken)

    def _taken(self) -> bool:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unopened(self._path, error) from error
        try:
            # Shared: two that ask at the same time are not in each other's way.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    async def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _unopened(lock: Path, error: OSError) -> PermanentError:
    return PermanentError(
        f"The lock file {lock} can't be opened: {error.strerror}.",
        remedy="Give the journal, its lock file and their folder to edgesync's user.",
    )


class SessionLock:
    """An advisory lock of a PostgreSQL session of its own (a pooler in transaction mode would break it)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._session: AsyncExitStack | None = None
        self._closed: Callable[[], bool] = lambda: True

    @property
    def lost(self) -> bool:
        return self._closed()

    async def acquire(self) -> bool:
        await self.release()
        async with AsyncExitStack() as session:
            connection = await session.enter_async_context(self._engine.connect())
            key = await _key(connection)
            if not (await connection.execute(select(func.pg_try_advisory_lock(key)))).scalar_one():
                return False
            self._closed = _closed_of((await connection.get_raw_connection()).driver_connection)
            self._session = session.pop_all()
        return True

    async def taken(self) -> bool:
        # Shared, and gone with its session.
        async with self._engine.connect() as connection:
            key = await _key(connection)
            return not (await connection.execute(select(func.pg_try_advisory_lock_shared(key)))).scalar_one()

    async def release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.aclose()


async def _key(connection: AsyncConnection) -> int:
    """Keys are the database's own already; the schema tells apart several journals in one database."""
    schema = (await connection.execute(select(func.current_schema()))).scalar_one()
    return int.from_bytes(blake2b(f"edgesync:{schema}".encode(), digest_size=8).digest(), "big", signed=True)


def _closed_of(driver_connection: Any) -> Callable[[], bool]:
    """asyncpg's own view of its connection, which it updates when the server closes its end."""
    closed: Callable[[], bool] = driver_connection.is_closed
    return closed


class Claim:
    """The right to write, and the check that it is still ours."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        # Ours since the claim was committed; None before.
        self._epoch: int | None = None

    @property
    def held(self) -> bool:
        return self._epoch is not None

    @asynccontextmanager
    async def locked(self, engine: AsyncEngine) -> AsyncIterator[None]:
        """Hold the lock for what happens inside, and after it if `confirm` was called; ConflictError if taken."""
        if not await self._lock.acquire():
            raise ConflictError(
                f"{await _holder(engine)} writes to this journal.",
                remedy="Stop that one first, or give this one a journal of its own.",
            )
        try:
            yield
        finally:
            if not self.held:
                await self._lock.release()

    async def raise_epoch(self, connection: AsyncConnection) -> int:
        """Shut out every former writer from the moment on when this transaction is committed."""
        ours = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(UTC)}
        raised = update(writer).values(epoch=writer.c.epoch + 1, **ours).returning(writer.c.epoch)
        epoch: int = (await connection.execute(raised)).scalar_one()
        return epoch

    def confirm(self, epoch: int) -> None:
        self._epoch = epoch

    async def check(self, connection: AsyncConnection) -> None:
        """First statement of every write: wait for one's turn, and refuse if somebody else has claimed since."""
        epoch = (await connection.execute(select(writer.c.epoch).with_for_update())).scalar_one()
        if self._epoch is None:
            return
        if epoch != self._epoch:
            raise PermanentError(
                "Another edgesync has taken over this journal: nothing was recorded.",
                remedy="Keep one of the two; this one has to be restarted before it can write again.",
            )
        if self._lock.lost and not await self._lock.acquire():
            raise TransientError(
                "The connection that held the claim on the journal broke, and its lock is not free yet.",
                remedy="It is tried again; if it lasts, look in pg_locks for who holds the advisory lock.",
            )

    async def release(self) -> None:
        self._epoch = None
        await self._lock.release()


async def _holder(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        known = await writer_of(connection)
    return f"Another edgesync ({known})" if known else "Another edgesync"


async def writer_of(connection: AsyncConnection) -> str:
    """Who claimed the journal last, in words; empty: nobody has, or nobody wrote it down yet."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(writer.name)):
        return ""
    row = (await connection.execute(select(writer))).one()
    if row.since is None:
        return ""
    return f"process {row.pid} on {row.host}, since {row.since:%Y-%m-%d %H:%M:%S} UTC"
