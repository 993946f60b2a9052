"""A database in trouble is told in one sentence with a remedy; a mistake of ours is not hidden."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from edgesync.errors import PermanentError, TransientError
from edgesync.journal import SqlJournal, engine, open_journal
from edgesync.journal.faults import translated
from tests.contract.journal.samples import A, make_job
from tests.contract.journal.shell import shell
from tests.servers.postgres import PostgresServer, postgres_server


async def test_a_locked_file_is_worth_another_try(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "DEADLINE", 0.1)
    journal = await open_journal(sqlite_url)
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="held by another process") as refusal:
        await journal.add_job(make_job(A))
    assert refusal.value.remedy
    # Readers don't mind.
    assert await journal.jobs() == ()
    other.execute("ROLLBACK")
    other.close()
    await journal.add_job(make_job(A))
    await journal.close()


async def test_a_locked_row_is_worth_another_try(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DEADLINE", 0.2)
    journal = await open_journal(postgres_url)
    async with shell(postgres_url) as connection:
        await connection.execute(text("BEGIN"))
        await connection.execute(text("SELECT * FROM writer FOR UPDATE"))
        with pytest.raises(TransientError, match="held by another session"):
            await journal.add_job(make_job(A))
    await journal.add_job(make_job(A))
    await journal.close()


async def test_a_file_that_is_no_database(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"a letter to the editor\n" * 100)
    for readonly in (False, True):
        with pytest.raises(PermanentError, match="is not an SQLite database"):
            await open_journal(sqlite_url, readonly=readonly)


async def test_a_lock_file_that_cannot_be_opened(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "journal.db.lock").mkdir()
    with pytest.raises(PermanentError, match=r"journal\.db\.lock can't be opened: Is a directory"):
        await open_journal(sqlite_url)


async def test_a_full_disk(sqlite_url: str) -> None:
    journal = await open_journal(sqlite_url)
    async with journal._engine.connect() as connection:
        await connection.execute(text("PRAGMA max_page_count = 1"))
    with pytest.raises(TransientError, match="no room left"):
        await journal.add_job(make_job(A, image_name="x" * 1_000_000))
    await journal.close()


async def test_a_database_that_does_not_exist(postgres: PostgresServer) -> None:
    with pytest.raises(PermanentError, match="does not exist in PostgreSQL"):
        await open_journal(postgres.dsn("nowhere"))


async def test_nobody_listens() -> None:
    for readonly in (False, True):
        with pytest.raises(TransientError, match="can't be reached"):
            await open_journal("postgresql://ana:secret@127.0.0.1:9/journal", readonly=readonly)


async def test_a_server_that_goes_away() -> None:
    with postgres_server() as server:
        journal = await open_journal(server.dsn())
        await journal.claim()
    with pytest.raises(TransientError) as refusal:
        await journal.add_job(make_job(A))
    assert refusal.value.remedy
    with pytest.raises(TransientError):
        await journal.ledger()
    await journal.close()


async def test_our_own_mistakes_surface(journal: SqlJournal) -> None:
    with pytest.raises(SQLAlchemyError), translated():
        async with journal._engine.begin() as connection:
            await connection.execute(text("SELECT nonsense"))
