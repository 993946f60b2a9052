"""Back to what an older edgesync knows: it can read all that is left, and only what it can't is gone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, text

from edgesync.domain.blocks import Verification
from edgesync.domain.image import ImageId
from edgesync.domain.job import (
    CopyResult,
    Engine,
    EngineChoice,
    EventKind,
    HistoryFilter,
    Job,
    JobState,
    Origin,
    Work,
)
from edgesync.domain.pause import Pause
from edgesync.errors import ConflictError, NotFoundError, PermanentError, RequestError
from edgesync.journal import Facts, Loss, Rollback, SqlJournal, look_at, open_journal, revisions, roll_back
from tests.contract.journal.samples import (
    IMAGE,
    LATER,
    NOON,
    OTHER_IMAGE,
    A,
    B,
    C,
    make_attempt,
    make_event,
    make_failure,
    make_job,
    make_known,
    make_verdict,
)
from tests.contract.journal.shell import execute, shell
from tests.contract.journal.test_upgrade import WORKED, bring_to, fill

KNOWN = [revision.id for revision in revisions()]
OLDER = KNOWN[:-1]

# All that an edgesync of an older schema can read, column by column; at any other word it refuses the journal.
_OF_COPIES = {
    "jobs.origin": "person policy",
    "jobs.state": "queued running done failed",
    "job_stores.result": "pending copied failed reverted",
    "attempt_stores.result": "pending copied failed reverted",
    "events.kind": "job-created job-ended copy-started copy-followed copy-done copy-failed copy-reverted rival-import"
    " image-gone store-appeared store-vanished glance-unreachable glance-back daemon-started daemon-stopped",
}
_OF_WORK = {
    "jobs.work": "copy import remove trash protect unlist",
    "jobs.origin": "person policy repair",
    "jobs.state": "queued running done failed cancelled",
    "job_stores.result": "pending copied failed reverted removed repaired cancelled interrupted",
    "attempts.work": "copy import remove trash protect unlist",
    "attempt_stores.result": "pending copied failed reverted removed repaired cancelled interrupted",
    "events.kind": f"{_OF_COPIES['events.kind']} copy-interrupted copy-stalled copy-removed removal-failed orphan-found"
    " orphan-trashed copy-broken copy-repaired repair-failed job-cancelled paused resumed store-down store-back"
    " config-reloaded config-refused",
}
_OF_BLOCKS = {
    **_OF_WORK,
    "jobs.work": f"{_OF_WORK['jobs.work']} seal sweep renew verify",
    "attempts.work": f"{_OF_WORK['attempts.work']} seal sweep renew verify",
    "jobs.engine": "auto rbd copy-image",
    "attempts.engine": "copy-image rbd",
    "job_stores.result": f"{_OF_WORK['job_stores.result']} sound damaged",
    "attempt_stores.result": f"{_OF_WORK['attempt_stores.result']} sound damaged",
    "events.kind": f"{_OF_WORK['events.kind']} copy-planned copy-verified verification-failed disk-cloned flatten-asked"
    " upload-started",
}
WORDS = {"0001": _OF_COPIES, "0002": _OF_WORK, "0003": _OF_BLOCKS}


async def back(url: str, to: str) -> Rollback:
    """Whatever is lost by it."""
    went = await roll_back(url, to, agreed=lambda _: True)
    assert (went.to, went.done) == (to, True)
    return went


async def write_everything(journal: SqlJournal) -> None:
    """Each kind of work, result, event and remark that this edgesync writes."""
    for number, work in enumerate(Work):
        image = ImageId(f"image-{number}")
        job = make_job(A, B, image=image, work=work)
        await journal.add_job(job)
        # A verification needs no attempt; one that mends leads a repair.
        led = make_attempt(job, A, work=Work.UNLIST if work is Work.VERIFY else work)
        await journal.start_attempt(led)
        if number % 2:
            await journal.finish_attempt(led.id, make_verdict(dcn0="failed"), [make_failure(A, image=image)], at=LATER)
    compared = make_job(A, B, C, work=Work.VERIFY)
    await journal.add_job(compared)
    await journal.settle(compared.id, make_verdict(dcn0="sound", dcn1="damaged"), at=LATER)
    await _write_copies(journal)
    removal = make_job(A, image=ImageId("removed"), work=Work.REMOVE)
    attempt = make_attempt(removal)
    await journal.start_attempt(attempt, job=removal)
    again = make_job(A, image=removal.image, origin=Origin.REPAIR, requested_by="repair")
    await journal.finish_attempt(attempt.id, make_verdict(dcn0="removed"), [], follow_up=again, at=LATER)
    await journal.pause(Pause(image=None, store=B, by="ana", reason="works", since=NOON), make_event(EventKind.PAUSED))
    await journal.keep_digests(IMAGE, make_known())
    await journal.add_verification(IMAGE, A, Verification(at=NOON, sound=True))
    await journal.keep_gaps({IMAGE: ((NOON, frozenset({A, B})),)}, ())
    await journal.add_events([make_event(kind) for kind in EventKind])


async def _write_copies(journal: SqlJournal) -> None:
    """Copies that end in each way there is."""
    for number, result in enumerate(("copied", "failed", "reverted", "interrupted")):
        job = make_job(A, B, image=ImageId(f"copied-{number}"), origin=Origin.POLICY, requested_by="golden")
        attempt = make_attempt(job, A, engine=Engine.RBD)
        await journal.start_attempt(attempt, job=replace(job, engine=EngineChoice.RBD, urgent=True))
        await journal.finish_attempt(attempt.id, make_verdict(dcn0=result), [], at=LATER)
    cancelled = make_job(A, B, image=ImageId("cancelled"))
    await journal.add_job(cancelled)
    await journal.cancel(cancelled.id, by="ana", at=LATER)


def described(connection: Connection) -> dict[str, Any]:
    """Tables with their columns, keys and indexes, as the database tells them."""
    look = sqlalchemy.inspect(connection)
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in look.get_columns(name)],
            look.get_pk_constraint(name)["constrained_columns"],
            sorted((index["name"] or "", tuple(index["column_names"])) for index in look.get_indexes(name)),
            sorted((key["name"] or "", tuple(key["column_names"])) for key in look.get_unique_constraints(name)),
            [
                (key["constrained_columns"], key["referred_table"], key["options"])
                for key in look.get_foreign_keys(name)
            ],
        )
        for name in look.get_table_names()
    }


async def test_the_schema_is_the_one_that_it_was_before_each_step_forward(url: str) -> None:
    seen = {}
    for revision in KNOWN:
        await bring_to(url, revision)
        async with shell(url) as database:
            seen[revision] = await database.run_sync(described)
    for revision in reversed(OLDER):
        await back(url, revision)
        async with shell(url) as database:
            assert await database.run_sync(described) == seen[revision]


async def test_no_word_is_left_that_the_older_one_can_not_read(url: str) -> None:
    journal = await open_journal(url)
    await write_everything(journal)
    await journal.close()
    for revision in reversed(OLDER):
        await back(url, revision)
        async with shell(url) as database:
            for place, words in WORDS[revision].items():
                table, column = place.split(".")
                found = set((await database.execute(text(f"SELECT {column} FROM {table}"))).scalars())  # noqa: S608
                assert found <= set(words.split()), (revision, place)
                assert len(found) > 1, (revision, place)
            for table, owner in (("job_stores", "job"), ("attempt_stores", "attempt"), ("attempts", "job")):
                lost = f"SELECT count(*) FROM {table} WHERE {owner}_id NOT IN (SELECT id FROM {owner}s)"  # noqa: S608
                assert (await database.execute(text(lost))).scalar_one() == 0, (revision, table)


def as_known(job: Job, revision: str) -> Job:
    """What is left of a job after a journey to an older schema."""
    if revision >= "0003":
        return job
    job = replace(job, engine=EngineChoice.AUTO, deep=False, mend=False)
    if revision >= "0002":
        return job
    readable = set(_OF_COPIES["job_stores.result"].split())
    stores = tuple(
        entry if entry.result in readable else replace(entry, result=CopyResult.FAILED) for entry in job.stores
    )
    state = JobState.FAILED if job.state is JobState.CANCELLED else job.state
    origin = Origin.PERSON if job.origin is Origin.REPAIR else job.origin
    return replace(job, stores=stores, state=state, origin=origin, urgent=False, source=None)


def surviving(works: Collection[str], jobs: Sequence[Job], revision: str) -> list[Job]:
    return [as_known(job, revision) for job in jobs if job.work in works]


@pytest.mark.parametrize("revision", OLDER)
async def test_down_step_by_step_and_up_again_loses_only_what_is_new(url: str, revision: str) -> None:
    journal = await open_journal(url)
    await write_everything(journal)
    jobs, attempts = await journal.jobs(limit=1000), await journal.attempts(limit=1000)
    ledger, events = await journal.ledger(), await journal.history(HistoryFilter(limit=1000))
    images = [job.image for job in jobs]
    makers = await journal.makers(images)
    await journal.close()
    for step in reversed(OLDER):
        if step >= revision:
            await back(url, step)
    again = await open_journal(url)
    works = set(WORDS[revision].get("jobs.work", "copy").split())
    kinds = set(WORDS[revision]["events.kind"].split())
    assert list(await again.jobs(limit=1000)) == surviving(works, jobs, revision)
    left = {job.id for job in await again.jobs(limit=1000)}
    assert [attempt.id for attempt in await again.attempts(limit=1000)] == [
        attempt.id for attempt in attempts if attempt.job in left and attempt.work in works
    ]
    assert await again.history(HistoryFilter(limit=1000)) == tuple(event for event in events if event.kind in kinds)
    now = await again.ledger()
    assert now.failures == ledger.failures
    assert [job.id for job in now.jobs] == [job.id for job in ledger.jobs if job.work in works]
    assert now.pauses == (ledger.pauses if revision >= "0002" else ())
    assert await again.makers(images) == (makers if revision >= "0002" else {})
    blocks = (await again.digests(IMAGE), await again.verifications(IMAGE))
    assert blocks == ((make_known(), {A: Verification(at=NOON, sound=True)}) if revision >= "0003" else (None, {}))
    assert await again.gaps() == {}
    # Work goes on.
    await again.claim()
    for attempt in now.attempts:
        await again.finish_attempt(attempt.id, make_verdict(dcn0="copied"), [], at=LATER)
    await again.close()


async def test_an_image_that_was_being_imported_waits_for_its_copies_again(url: str) -> None:
    journal = await open_journal(url)
    imported, copied = make_job(A, B, work=Work.IMPORT), make_job(A)
    await journal.start_attempt(make_attempt(imported, A), job=imported)
    await journal.add_job(copied)
    assert (await journal.job(copied.id)).state is JobState.RUNNING
    await journal.close()
    await back(url, "0001")
    again = await open_journal(url)
    assert await again.jobs() == (replace(copied, state=JobState.QUEUED),)
    await again.close()


async def test_what_the_older_one_has_done_meanwhile_is_there(url: str) -> None:
    await fill(url, *WORKED, revision="0002")
    journal = await open_journal(url)
    before = await journal.attempts()
    await journal.close()
    await back(url, "0002")
    await execute(url, "DELETE FROM attempts WHERE id = 'first'")
    again = await open_journal(url)
    assert await again.attempts() == before[:1]
    assert await again.makers([IMAGE]) == {(IMAGE, A): "golden"}
    await again.close()


async def test_what_would_be_lost_is_told_and_nothing_is_done_before_it_is_agreed_to(url: str) -> None:
    journal = await open_journal(url)
    await journal.add_job(make_job(A, B, work=Work.VERIFY))
    kept = make_job(A)
    await journal.add_job(kept)
    await journal.pause(Pause(image=None, store=B, by="ana", reason="", since=NOON), make_event(EventKind.PAUSED))
    await journal.keep_digests(IMAGE, make_known())
    await journal.keep_gaps({IMAGE: ((NOON, frozenset({A})),), OTHER_IMAGE: ((NOON, frozenset({A})),)}, ())
    await journal.close()
    went = await roll_back(url, "0001", agreed=lambda _: False)
    assert (went.before, went.to, went.done) == (KNOWN[-1], "0001", False)
    told = {
        "table digests": 1,
        "table gaps": 2,
        "table pauses": 1,
        "rows of jobs": 1,
        "rows of job_stores": 2,
        "rows of events": 1,
        **{f"column jobs.{name}": 1 for name in ("work", "urgent", "source", "cancelled_at", "engine", "deep", "mend")},
    }
    assert {loss.what: loss.rows for loss in went.losses} == told
    again = await open_journal(url)
    assert len(await again.jobs()) == 2
    assert len((await again.ledger()).pauses) == 1
    assert await again.digests(IMAGE) == make_known()
    assert len(await again.gaps()) == 2
    await again.close()
    assert await back(url, "0001") == replace(went, done=True)
    assert (await look_at(url)).revision == "0001"


async def test_where_nothing_is_lost_nothing_is_told(url: str) -> None:
    await (await open_journal(url)).close()
    asked: list[Sequence[Loss]] = []

    def agreed(losses: Sequence[Loss]) -> bool:
        asked.append(losses)
        return not losses

    assert (await roll_back(url, OLDER[-1], agreed=agreed)).done
    # It is there already.
    assert (await roll_back(url, OLDER[-1], agreed=agreed)).done
    assert asked == [(), ()]


async def test_what_fails_half_way_changes_nothing(url: str) -> None:
    journal = await open_journal(url)
    job = make_job(A, work=Work.REMOVE)
    await journal.add_job(job)
    await journal.close()
    # One of the last steps will find nothing to drop.
    await execute(url, "ALTER TABLE copies RENAME TO somewhere_else")
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        await back(url, "0001")
    await execute(url, "ALTER TABLE somewhere_else RENAME TO copies")
    assert (await look_at(url)).revision == KNOWN[-1]
    again = await open_journal(url)
    assert await again.jobs() == (job,)
    await again.close()


async def test_reading_after_a_rollback_says_what_to_do(url: str) -> None:
    await (await open_journal(url)).close()
    await back(url, "0002")
    with pytest.raises(PermanentError, match="schema of an older edgesync, 0002") as refusal:
        await open_journal(url, readonly=True)
    assert "install that older edgesync" in refusal.value.remedy


async def test_it_waits_for_the_daemon_to_stop(url: str) -> None:
    daemon = await open_journal(url)
    await daemon.claim()
    with pytest.raises(
        ConflictError, match=r"Another edgesync \(process \d+ on .+\) writes to this journal"
    ) as refusal:
        await back(url, "0002")
    assert "Stop that one first" in refusal.value.remedy
    await daemon.add_job(make_job(A))
    await daemon.close()
    await back(url, "0002")


async def test_a_daemon_that_lost_its_lock_unawares_is_shut_out(url: str) -> None:
    daemon = await open_journal(url)
    await daemon.claim()
    assert daemon._claim is not None
    await daemon._claim._lock.release()
    await back(url, OLDER[-1])
    with pytest.raises(PermanentError, match="taken over"):
        await daemon.add_job(make_job(A))
    await daemon.close()


@pytest.mark.parametrize("to", ["0000", "9999", "head", "base", "-1", ""])
async def test_a_schema_that_nobody_knows_is_refused_with_those_that_are(url: str, to: str) -> None:
    await (await open_journal(url)).close()
    with pytest.raises(RequestError, match="There is no schema") as refusal:
        await back(url, to)
    assert all(revision.id in refusal.value.remedy for revision in revisions())
    assert (await look_at(url)).revision == KNOWN[-1]


async def test_forward_is_not_back(url: str) -> None:
    await bring_to(url, "0001")
    with pytest.raises(RequestError, match="schema 0001 is older than 0002"):
        await back(url, "0002")


async def test_the_journal_of_a_newer_one_is_left_alone(url: str) -> None:
    await (await open_journal(url)).close()
    await execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(PermanentError, match="newer edgesync"):
        await back(url, "0001")
    assert (await look_at(url)).revision == "9999"


async def test_without_a_journal_there_is_nothing_to_do(url: str) -> None:
    assert await look_at(url) == Facts()
    with pytest.raises(NotFoundError, match="no journal yet"):
        await back(url, "0001")
    # Nor was one made.
    with pytest.raises(sqlalchemy.exc.DBAPIError, match=r"alembic_version"):
        await execute(url, "SELECT * FROM alembic_version")


async def test_who_has_the_journal_and_how_large_it_is(url: str) -> None:
    daemon = await open_journal(url)
    assert (await look_at(url)).writer is None
    await daemon.claim()
    facts = await look_at(url)
    assert facts.writer is not None
    assert facts.writer.startswith("process ")
    assert facts.revision == KNOWN[-1]
    await daemon.keep_digests(IMAGE, make_known(1 << 36))
    assert (await look_at(url)).size > facts.size + (1 << 18)
    # To ask leaves nothing behind that a daemon would stumble over.
    await daemon.close()
    assert (await look_at(url)).writer is None
    again = await open_journal(url)
    await again.claim()
    await again.close()
