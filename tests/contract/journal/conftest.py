"""The two databases behind one contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edgesync.journal import SqlJournal, open_journal
from tests.contract.journal.shell import execute
from tests.servers.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
async def postgres_url(postgres: PostgresServer) -> str:
    """An empty database: the same one for every test (a new one costs ten times as much), whoever was connected."""
    await execute(
        postgres.dsn(),
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
    )
    return postgres.dsn()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty place for a journal, once on each database."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    place: str = request.getfixturevalue(name)
    return place


@pytest.fixture
async def journal(url: str) -> AsyncIterator[SqlJournal]:
    opened = await open_journal(url)
    yield opened
    await opened.close()
