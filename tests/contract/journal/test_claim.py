"""Exactly one process writes to a journal, and its end frees the claim at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edgesync.errors import ConflictError, PermanentError
from edgesync.journal import SqlJournal, open_journal
from tests.contract.journal.samples import A, make_event, make_job
from tests.contract.journal.shell import execute


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SqlJournal]:
    journal = await open_journal(url)
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def holder(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has claimed the journal."""
    command = (sys.executable, "-m", "tests.contract.journal.process", "hold", url)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"claimed\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_second_claim_names_the_holder(url: str) -> None:
    async with opened(url) as first, opened(url) as second:
        await first.claim()
        await first.claim()
        with pytest.raises(ConflictError, match=f"process {os.getpid()} on .* since 20") as refusal:
            await second.claim()
        assert refusal.value.remedy
        await first.add_job(make_job(A))
        await first.close()
        await second.claim()
        await second.add_job(make_job(A))


async def test_a_killed_process_has_no_claim(url: str) -> None:
    async with opened(url) as journal, holder(url) as process:
        with pytest.raises(ConflictError, match=f"process {process.pid} on "):
            await journal.claim()
        # What it does not write, others may read.
        assert await journal.jobs() == ()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await claim_soon(journal)
        await journal.add_job(make_job(A))


async def claim_soon(journal: SqlJournal) -> None:
    """The kernel frees a file lock with the process; a PostgreSQL server takes a moment to see that nobody is there."""
    for _ in range(50):
        try:
            return await journal.claim()
        except ConflictError:
            await asyncio.sleep(0.02)
    return await journal.claim()


async def test_a_file_claim_is_free_the_moment_its_process_is_dead(sqlite_url: str) -> None:
    async with opened(sqlite_url) as journal, holder(sqlite_url) as process:
        process.kill()
        await process.wait()
        await journal.claim()


async def test_who_lost_the_claim_writes_no_more(postgres_url: str) -> None:
    async with opened(postgres_url) as first, opened(postgres_url) as second:
        await first.claim()
        await break_sessions(postgres_url)
        await claim_soon(second)
        with pytest.raises(PermanentError, match="taken over"):
            await first.add_events([make_event()])
        await second.add_job(make_job(A))
        assert len(await second.jobs()) == 1


async def test_a_claim_that_nobody_else_wanted_is_taken_up_again(postgres_url: str) -> None:
    async with opened(postgres_url) as first, opened(postgres_url) as second:
        await first.claim()
        await break_sessions(postgres_url)
        await first.add_job(make_job(A))
        with pytest.raises(ConflictError):
            await second.claim()
        # A daemon may close after its server went away.
        await break_sessions(postgres_url)


async def break_sessions(url: str) -> None:
    """What a restart of the server does to those who are connected."""
    await execute(
        url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'edgesync' AND datname = current_database()",
    )
    await asyncio.sleep(0.05)
