"""Opening: a new journal, an old one, a newer one, one that is not there, one that is somebody else's."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from edgesync.domain.job import HistoryFilter
from edgesync.domain.world import Ledger
from edgesync.errors import ConfigError, ConflictError, PermanentError
from edgesync.journal import SqlJournal, open_journal, revisions
from edgesync.journal.engine import Place
from edgesync.journal.tables import metadata
from tests.contract.journal.samples import A, make_attempt, make_event, make_job
from tests.contract.journal.shell import execute


async def test_migrations_lead_to_the_tables(journal: SqlJournal, url: str) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    engine = create_async_engine(Place.parse(url).url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_a_journal_is_there_when_opened_again(url: str) -> None:
    job = make_job(A)
    attempt = make_attempt(job)
    first = await open_journal(url)
    await first.start_attempt(attempt, job=job)
    await first.close()
    again = await open_journal(url)
    ledger = await again.ledger()
    await again.close()
    assert [entry.id for entry in ledger.jobs] == [job.id]
    assert ledger.attempts == (attempt,)


@pytest.mark.parametrize("readonly", [False, True])
async def test_a_newer_journal_is_refused(url: str, readonly: bool) -> None:
    await (await open_journal(url)).close()
    await execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(PermanentError, match="newer edgesync") as refusal:
        await open_journal(url, readonly=readonly)
    # What the newer one has to be told.
    assert f"edgesync journal rollback --to {revisions()[-1].id}" in refusal.value.remedy


async def test_somebody_elses_tables_are_left_alone(url: str) -> None:
    await execute(url, "CREATE TABLE jobs (id INTEGER)")
    with pytest.raises(PermanentError, match="somebody else: jobs"):
        await open_journal(url)


async def test_words_from_the_future_are_named(journal: SqlJournal, url: str) -> None:
    await journal.add_job(make_job(A))
    await execute(url, "UPDATE jobs SET state = 'paused'")
    with pytest.raises(PermanentError, match="'paused' where this edgesync knows only queued, running") as refusal:
        await journal.ledger()
    assert "newer" in refusal.value.remedy


async def test_reading_beside_a_daemon(journal: SqlJournal, url: str) -> None:
    await journal.claim()
    job = make_job(A)
    await journal.add_job(job)
    reader = await open_journal(url, readonly=True)
    assert (await reader.ledger()).jobs == (job,)
    await journal.add_events([make_event()])
    assert len(await reader.history(HistoryFilter())) == 1
    for write in (reader.claim(), reader.add_job(make_job(A)), reader.trim(job.created_at)):
        with pytest.raises(PermanentError, match="opened for reading"):
            await write
    await reader.close()


async def test_reading_a_journal_that_is_not_there(url: str, tmp_path: Path) -> None:
    reader = await open_journal(url, readonly=True)
    assert await reader.ledger() == Ledger()
    assert await reader.jobs() == ()
    await reader.close()
    assert not any(await asyncio.to_thread(lambda: list(tmp_path.iterdir())))
    # Nor was anything made on the server.
    with pytest.raises(Exception, match=r"alembic_version"):
        await execute(url, "SELECT * FROM alembic_version")


async def test_an_upgrade_waits_for_the_daemon_to_stop(url: str) -> None:
    daemon = await open_journal(url)
    await daemon.claim()
    # As a newer edgesync would find it: a schema that has to be changed.
    tables = (table.name for table in reversed(metadata.sorted_tables))
    await execute(url, "DELETE FROM alembic_version", *(f"DROP TABLE {table}" for table in tables))
    with pytest.raises(ConflictError, match="writes to this journal"):
        await open_journal(url)
    await daemon.close()
    await (await open_journal(url)).close()


async def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"journal\.url: the folder .*/missing does not exist") as refusal:
        await open_journal(f"sqlite+aiosqlite:///{tmp_path}/missing/journal.db")
    assert "install -d" in refusal.value.remedy
    reader = await open_journal(f"sqlite+aiosqlite:///{tmp_path}/missing/journal.db", readonly=True)
    assert await reader.ledger() == Ledger()
    await reader.close()


async def test_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="not writable") as refusal:
        await open_journal(f"sqlite:///{tmp_path}/journal.db")
    assert "chown" in refusal.value.remedy


@pytest.mark.parametrize("readonly", [False, True])
async def test_a_folder_that_is_closed_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readonly: bool) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(ConfigError, match="may not look at") as refusal:
        await open_journal(f"sqlite:///{tmp_path}/journal.db", readonly=readonly)
    assert "sudo -u edgesync" in refusal.value.remedy


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://root:secret@db/journal", "mysql is not supported"),
        ("sqlite://", "no file"),
        ("sqlite:///:memory:", "no file"),
    ],
)
async def test_urls_that_cannot_be_right(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refusal:
        await open_journal(url)
    assert "secret" not in str(refusal.value)
    assert "sqlite:////" in refusal.value.remedy


async def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/edge #1 100%25.db"
    journal = await open_journal(url)
    await journal.add_job(make_job(A))
    reader = await open_journal(url, readonly=True)
    assert len(await reader.jobs()) == 1
    await reader.close()
    await journal.close()
