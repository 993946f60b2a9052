"""Transactions are told with what they waited for, and with whether the database failed them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edgesync.domain.job import JobId
from edgesync.errors import NotFoundError, TransientError
from edgesync.journal import engine, open_journal
from tests.contract.journal.samples import A, make_job


class Ear:
    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.waited = 0.0

    def __call__(self, kind: str, waited: float, seconds: float, failed: bool) -> None:
        assert 0 <= waited <= seconds
        self.told.append((kind, failed))
        self.waited = waited


async def test_reads_writes_and_refusals_are_told_apart_from_failures(url: str) -> None:
    ear = Ear()
    journal = await open_journal(url, on_transaction=ear)
    await journal.claim()
    ear.told.clear()
    await journal.add_job(make_job(A))
    await journal.ledger()
    with pytest.raises(NotFoundError):
        await journal.job(JobId("nothing"))
    assert ear.told == [("write", False), ("read", False), ("read", False)]
    await journal.close()


async def test_a_transaction_that_never_got_its_turn_waited_all_the_time(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "DEADLINE", 0.1)
    ear = Ear()
    journal = await open_journal(sqlite_url, on_transaction=ear)
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError):
        await journal.add_job(make_job(A))
    assert ear.told[-1] == ("write", True)
    assert ear.waited >= 0.1
    other.close()
    await journal.close()
