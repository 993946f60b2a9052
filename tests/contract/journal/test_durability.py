"""What was acknowledged is there: after writes of several processes, after SIGKILL, after a cancelled task."""

from __future__ import annotations

import asyncio
import random
import sys

from edgesync.domain.job import HistoryFilter
from edgesync.journal import SqlJournal, open_journal
from tests.contract.journal.samples import A, make_attempt, make_job, make_verdict


async def start_writer(url: str, name: str, count: int) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "tests.contract.journal.process", "write", url, name, str(count))
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def recorded(journal: SqlJournal) -> tuple[set[str], set[str]]:
    """The jobs, and the jobs that have their event."""
    jobs = await journal.jobs(limit=10_000)
    events = await journal.history(HistoryFilter(limit=10_000))
    return {job.id for job in jobs}, {event.message for event in events}


async def test_four_processes_lose_nothing(journal: SqlJournal, url: str) -> None:
    writers = [await start_writer(url, f"writer{number}", 50) for number in range(4)]
    answers = await asyncio.gather(*(writer.communicate() for writer in writers))
    assert [writer.returncode for writer in writers] == [0] * 4
    acknowledged = {line for out, _ in answers for line in out.decode().split()}
    assert len(acknowledged) == 200
    assert await recorded(journal) == (acknowledged, acknowledged)


async def test_acknowledged_writes_survive_sigkill(url: str) -> None:
    await (await open_journal(url)).close()
    acknowledged: set[str] = set()
    for number in range(3):
        writer = await start_writer(url, f"round{number}", 100_000)
        assert writer.stdout is not None
        for _ in range(random.randint(20, 60)):
            acknowledged.add((await writer.stdout.readline()).decode().strip())
        writer.kill()
        rest, _ = await writer.communicate()
        acknowledged.update(line.decode() for line in rest.split(b"\n")[:-1])
        journal = await open_journal(url)
        jobs, events = await recorded(journal)
        await journal.close()
        assert acknowledged <= jobs
        assert acknowledged <= events
        # At most the one write that was under way is there without its acknowledgement.
        assert len(jobs - acknowledged) <= number + 1


async def test_a_cancelled_write_is_whole_or_absent_and_blocks_nobody(journal: SqlJournal) -> None:
    for number in range(30):
        job = make_job(A)
        attempt = make_attempt(job)
        await journal.start_attempt(attempt, job=job)
        verdict = make_verdict(dcn0="copied")
        writing = asyncio.create_task(journal.finish_attempt(attempt.id, verdict, [], at=job.created_at))
        await asyncio.sleep(number * 0.0004)
        writing.cancel()
        await asyncio.wait([writing])
        found = await journal.job(job.id)
        assert found.state.ended is (found.ended_at is not None) is (not found.pending)
        # Whether it was recorded or not: asking again gets it done.
        await journal.finish_attempt(attempt.id, verdict, [], at=job.created_at)
        assert (await journal.job(job.id)).state.ended
    assert len(await journal.history(HistoryFilter())) == 30


async def test_readers_see_one_moment(journal: SqlJournal) -> None:
    """A ledger never shows an attempt without its job or the other way round."""

    async def write() -> None:
        for _ in range(40):
            job = make_job(A)
            attempt = make_attempt(job)
            await journal.start_attempt(attempt, job=job)
            await journal.finish_attempt(attempt.id, make_verdict(dcn0="copied"), [], at=job.created_at)

    writing = asyncio.create_task(write())
    while not writing.done():
        ledger = await journal.ledger()
        assert [job.id for job in ledger.jobs] == [attempt.job for attempt in ledger.attempts]
    await writing
