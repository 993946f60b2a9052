"""Readers share answers for as long as nothing is written, and never see what was before a write that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from edgesync.domain.job import HistoryFilter, JobId
from edgesync.errors import NotFoundError
from edgesync.journal import SqlJournal, open_journal
from edgesync.journal.recall import MOST
from tests.contract.journal.samples import A, make_job

ALL = HistoryFilter(limit=10)


class Reads:
    """Counts transactions that read."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, kind: str, _waited: float, _seconds: float, _failed: bool) -> None:
        self.number += kind == "read"


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest.fixture
async def journal(url: str, reads: Reads) -> AsyncIterator[SqlJournal]:
    opened = await open_journal(url, on_transaction=reads)
    await opened.claim()
    reads.number = 0
    yield opened
    await opened.close()


async def test_the_same_question_is_asked_once(journal: SqlJournal, reads: Reads) -> None:
    together = await asyncio.gather(*(journal.jobs(limit=5) for _ in range(20)))
    assert together == [()] * 20
    assert await journal.jobs(limit=5) == ()
    assert reads.number == 1
    assert await journal.jobs(limit=6) == ()
    assert await journal.history(ALL) == await journal.history(ALL) == ()
    assert reads.number == 3


async def test_after_a_write_everything_is_asked_anew(journal: SqlJournal, reads: Reads) -> None:
    job = make_job(A)
    assert await journal.jobs(limit=5) == ()
    await journal.add_job(job)
    assert [found.id for found in await journal.jobs(limit=5)] == [job.id]
    assert (await journal.job(job.id)).state == "queued"
    await journal.cancel(job.id, by="ana", at=job.created_at)
    assert (await journal.job(job.id)).state == "cancelled"
    assert reads.number == 4


async def test_an_answer_from_before_a_write_is_not_kept_beyond_it(journal: SqlJournal) -> None:
    job = make_job(A)
    # Asked before the write begins, answered at any time.
    early = asyncio.create_task(journal.jobs(limit=5))
    await asyncio.gather(early, journal.add_job(job))
    assert [found.id for found in await journal.jobs(limit=5)] == [job.id]


async def test_a_refusal_is_not_kept(journal: SqlJournal, reads: Reads) -> None:
    for number in (1, 2):
        with pytest.raises(NotFoundError):
            await journal.job(JobId("nothing"))
        assert reads.number == number


async def test_who_gives_up_leaves_the_answer_to_the_others(journal: SqlJournal, reads: Reads) -> None:
    asked = [asyncio.create_task(journal.jobs(limit=5)) for _ in range(2)]
    await asyncio.sleep(0)
    asked[0].cancel()
    assert await asked[1] == ()
    assert asked[0].cancelled()
    assert reads.number == 1


async def test_few_answers_are_kept(journal: SqlJournal, reads: Reads) -> None:
    for limit in range(1, MOST + 2):
        await journal.jobs(limit=limit)
    reads.number = 0
    await journal.jobs(limit=MOST + 1)
    assert reads.number == 0
    await journal.jobs(limit=1)
    assert reads.number == 1


async def test_where_others_may_write_nothing_is_kept(url: str, reads: Reads) -> None:
    writer = await open_journal(url)
    await writer.claim()
    reader = await open_journal(url, readonly=True, on_transaction=reads)
    assert await reader.jobs(limit=5) == ()
    job = make_job(A)
    await writer.add_job(job)
    assert [found.id for found in await reader.jobs(limit=5)] == [job.id]
    await reader.close()
    await writer.close()
