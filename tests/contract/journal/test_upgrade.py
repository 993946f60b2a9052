"""A journal that an older schema has filled: nothing is lost when it is brought up to date."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from edgesync.domain.copy import Failure
from edgesync.domain.job import (
    Engine,
    EngineChoice,
    EventKind,
    HistoryFilter,
    JobId,
    JobState,
    Origin,
    StoreResult,
    Work,
)
from edgesync.domain.pause import Pause
from edgesync.errors import PermanentError
from edgesync.journal import migrate, open_journal
from edgesync.journal.engine import Place
from tests.contract.journal.samples import (
    IMAGE,
    LATER,
    NOON,
    A,
    B,
    make_job,
    make_verdict,
    results_of,
)
from tests.contract.journal.shell import execute

# As the release that knew only copies wrote them; what a database spells its own way is put in by `spelled`.
FILLED = (
    "INSERT INTO jobs (id, image_id, image_name, origin, requested_by, allow_failure, priority, state, created_at,"
    " ended_at) VALUES"
    " ('ended', '{image}', 'cirros', 'person', 'ana', {yes}, 5, 'done', '{noon}', '{noon}'),"
    " ('open', '{image}', 'cirros', 'policy', 'golden', {no}, 0, 'running', '{noon}', NULL)",
    "INSERT INTO job_stores (job_id, store_id, position, result, reason) VALUES"
    " ('ended', 'dcn0', 0, 'copied', ''), ('open', 'dcn1', 0, 'pending', ''), ('open', 'dcn0', 1, 'copied', 'there')",
    "INSERT INTO attempts (id, job_id, opened_job, image_id, allow_failure, started_at, task_id, ended_at, message)"
    " VALUES ('first', 'ended', {no}, '{image}', {yes}, '{noon}', 'task-1', '{noon}', 'fine'),"
    " ('second', 'open', {yes}, '{image}', {no}, '{noon}', 'task-2', NULL, '')",
    "INSERT INTO attempt_stores (attempt_id, store_id, position, result, reason) VALUES"
    " ('first', 'dcn0', 0, 'copied', ''), ('second', 'dcn1', 0, 'pending', '')",
    "INSERT INTO failures (image_id, store_id, attempts, error, remedy, failed_at, next_try) VALUES"
    " ('{image}', 'dcn1', 2, 'no space', 'Free some.', '{noon}', '{later}')",
    "INSERT INTO events (at, kind, message, image_id, store_id, job_id) VALUES"
    " ('{noon}', 'job-ended', 'cirros was copied to dcn0.', '{image}', NULL, 'ended')",
    "UPDATE writer SET epoch = 7, host = 'old', pid = 1, since = '{noon}'",
)


# What the second schema has beside that.
WORKED = (
    "UPDATE jobs SET work = 'remove', urgent = {yes}, cancelled_at = '{later}' WHERE id = 'open'",
    "UPDATE attempts SET work = 'remove' WHERE id = 'second'",
    "INSERT INTO copies (image_id, store_id, origin, requested_by, at) VALUES"
    " ('{image}', 'dcn0', 'policy', 'golden', '{noon}')",
    "INSERT INTO pauses (image_id, store_id, by, reason, since) VALUES ('', 'dcn1', 'ana', 'works', '{noon}')",
)


async def bring_to(url: str, revision: str) -> None:
    """Bring a journal forward to a schema."""

    def go(connection: Connection) -> None:
        command.upgrade(migrate._config(connection), revision)

    engine = create_async_engine(Place.parse(url).url)
    async with engine.begin() as connection:
        await connection.run_sync(go)
    await engine.dispose()


async def fill(url: str, *more: str, revision: str = "0001") -> None:
    """A journal as an older edgesync left it."""
    await bring_to(url, revision)
    await execute(url, *(spelled(url, statement) for statement in FILLED + more))


def spelled(url: str, statement: str) -> str:
    sqlite = url.startswith("sqlite")
    moments = (f"{at:%Y-%m-%d %H:%M:%S.%f}" + ("" if sqlite else "+00") for at in (NOON, LATER))
    noon, later = moments
    return statement.format(
        image=IMAGE, noon=noon, later=later, yes="1" if sqlite else "true", no="0" if sqlite else "false"
    )


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
async def test_everything_is_there_afterwards(url: str, revision: str) -> None:
    await fill(url, revision=revision)
    journal = await open_journal(url)
    ended, waiting = reversed(await journal.jobs())
    assert ended == make_job(
        A, id="ended", state=JobState.DONE, priority=5, stores=ended.stores, created_at=NOON, ended_at=NOON
    )
    assert results_of(ended) == {A: "copied"}
    assert (waiting.work, waiting.urgent, waiting.source) == (Work.COPY, False, None)
    assert (ended.engine, waiting.engine) == (EngineChoice.AUTO, EngineChoice.AUTO)
    assert (waiting.origin, waiting.requested_by, waiting.allow_failure) == (Origin.POLICY, "golden", False)
    assert results_of(waiting) == {B: "pending", A: "copied"}
    second, first = await journal.attempts()
    assert (first.id, first.job, first.task, first.message) == ("first", "ended", "task-1", "fine")
    assert first.results == (StoreResult(store=A, result=ended.stores[0].result),)
    assert (second.id, second.work, second.task, second.ended_at) == ("second", Work.COPY, "task-2", None)
    # There was no other.
    assert (first.engine, second.engine) == (Engine.COPY_IMAGE, Engine.COPY_IMAGE)
    ledger = await journal.ledger()
    assert ledger.jobs == (waiting,)
    assert ledger.attempts == (second,)
    assert ledger.failures == {
        (IMAGE, B): Failure(
            image=IMAGE, store=B, attempts=2, error="no space", remedy="Free some.", failed_at=NOON, next_try=LATER
        )
    }
    assert ledger.pauses == ()
    (event,) = await journal.history(HistoryFilter())
    assert (event.kind, event.message) == (EventKind.JOB_ENDED, "cirros was copied to dcn0.")
    # Nobody wrote down who had copies made: nothing may be taken for a policy's.
    assert await journal.makers([IMAGE]) == {}
    assert await journal.attempted([(IMAGE, A), (IMAGE, B)]) == {(IMAGE, A), (IMAGE, B)}
    assert (await journal.digests(IMAGE), await journal.verifications(IMAGE)) == (None, {})
    await journal.close()


async def test_what_only_the_second_schema_knew_is_there_too(url: str) -> None:
    await fill(url, *WORKED, revision="0002")
    journal = await open_journal(url)
    waiting = await journal.job(JobId("open"))
    assert (waiting.work, waiting.urgent, waiting.engine) == (Work.REMOVE, True, EngineChoice.AUTO)
    assert (await journal.ledger()).attempts[0].work is Work.REMOVE
    assert (await journal.ledger()).pauses == (Pause(image=None, store=B, by="ana", reason="works", since=NOON),)
    assert await journal.makers([IMAGE]) == {(IMAGE, A): "golden"}
    await journal.close()


async def test_work_goes_on_where_it_was(url: str) -> None:
    await fill(url)
    journal = await open_journal(url)
    await journal.claim()
    (attempt,) = (await journal.ledger()).attempts
    removal = make_job(A, work=Work.REMOVE, urgent=True)
    await journal.finish_attempt(attempt.id, make_verdict(dcn1="copied"), [], follow_up=removal, at=LATER)
    assert (await journal.job(JobId("open"))).state is JobState.DONE
    assert await journal.makers([IMAGE]) == {(IMAGE, B): "golden"}
    assert [job.id for job in await journal.jobs()] == [removal.id, "open", "ended"]
    assert (await journal.ledger()).failures == {}
    await journal.close()
    # Once is enough.
    again = await open_journal(url)
    assert (await again.ledger()).jobs == (removal,)
    await again.close()


async def test_it_is_not_read_before(url: str) -> None:
    await fill(url)
    with pytest.raises(PermanentError, match="schema of an older edgesync, 0001") as refusal:
        await open_journal(url, readonly=True)
    assert "brings it up to date" in refusal.value.remedy
