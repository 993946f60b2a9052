"""Copies by the rbd engine that wait for somebody else's import to end: who wants to end does not wait with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edgesync.domain.copy import CopyState
from edgesync.domain.job import CopyResult, EventKind, Job, JobState
from tests.scenario.blocks import EDGES, at, good, noise, nothing_but, once, passes, sent, slow
from tests.scenario.stage import Stage, set_stage

HOUR = 3600.0
SIZE = 16 << 20
# What becomes of the import: it ends, and writes back the locations that it had seen; or nobody ends it.
ENDS: dict[str, Callable[[Stage], None]] = {
    "forgets": lambda stage: stage.fake.revive("dcn1"),
    "dies": lambda stage: stage.fake.crash_worker(),
}


@pytest.fixture
async def lines(tmp_path: Path) -> AsyncIterator[Stage]:
    """Locks that hold for an hour are looked at less often."""
    async with set_stage(tmp_path, blocks=True, polling={"active": "10s"}) as stage:
        yield stage


async def held_up(stage: Stage, image: str, *stores: str, allow_failure: bool = True) -> Job:
    """A copy to dcn0 that has its name and its location; somebody's import, which knows nothing of it, goes on."""

    async def rival() -> None:
        stage.fake.rival_import(image, ["dcn1"])
        await stage.clock.sleep(5)

    stage.fake.dead("dcn1")
    at(stage, "dcn0", "location", rival)
    job = await stage.ask(image, *stores, allow_failure=allow_failure)
    await stage.until(lambda: "dcn0" in stage.fake.image(image).stores, "registered")
    await passes(stage, 60)
    assert (await stage.running.journal.job(job.id)).state is JobState.RUNNING
    return job


async def comes_to_rest(stage: Stage, image: str, end: str) -> None:
    ENDS[end](stage)
    stage.fake.revive("dcn1")
    if end == "forgets":
        await stage.until(lambda: stage.fake.image(image).lock is None, "the import ends")
    else:
        await passes(stage, HOUR)


@pytest.mark.parametrize("end", ENDS)
async def test_a_cancelled_job_ends_at_once_and_another_finds_the_copy(lines: Stage, end: str) -> None:
    image = lines.add_raw(tags=())
    async with lines.life():
        job = await held_up(lines, image, "dcn0")
        await lines.running.intake.cancel(job.id, "bob")
        # Not within the hour for which the lock holds.
        ended = await lines.ended(job)
        assert ended.state is JobState.CANCELLED
        assert [entry.result for entry in ended.stores] == [CopyResult.CANCELLED]
        (event,) = await lines.events(EventKind.COPY_INTERRUPTED)
        assert event.message == "cancelled by bob"
        assert lines.fake.image(image).lock
        no_false_location(lines, image)
        await comes_to_rest(lines, image, end)
        no_false_location(lines, image)
        if end == "dies":
            # Somebody who sees that it is there already asks for nothing.
            assert lines.copy(image, "dcn0").state is CopyState.UNWANTED
            nothing_but(lines, "dcn0", image)
            return
        assert "dcn0" not in lines.fake.image(image).stores
        assert (await lines.ended(await lines.ask(image, "dcn0"))).state is JobState.DONE
        await passes(lines, 600)
    good(lines, image, *EDGES)
    assert sent(lines, "dcn0", image) == SIZE


async def test_of_a_copy_that_was_forgotten_and_that_nobody_wants_nothing_stays(lines: Stage) -> None:
    image = lines.add_raw(tags=())
    async with lines.life():
        job = await held_up(lines, image, "dcn0")
        await lines.running.intake.cancel(job.id, "bob")
        await lines.ended(job)
        await comes_to_rest(lines, image, "forgets")
        await lines.until(lambda: not lines.pool("dcn0").has(image), "an orphan goes", within=24 * HOUR)
        await lines.until_recorded()
    good(lines, image, "dcn1")


async def test_a_site_that_waits_for_its_turn_and_one_that_is_written_are_let_go_of_at_once(lines: Stage) -> None:
    image = lines.add_raw(data=noise(SIZE), tags=())
    slow(lines, "dcn1", seconds=40)
    async with lines.life():
        job = await held_up(lines, image, *EDGES)
        await lines.running.intake.cancel(job.id, "bob")
        ended = await lines.ended(job)
        assert {entry.result for entry in ended.stores} == {CopyResult.CANCELLED}
        so_far = sent(lines, "dcn1", image)
        assert 0 < so_far < SIZE
        await passes(lines, 600)
        assert sent(lines, "dcn1", image) == so_far
        no_false_location(lines, image)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("allow_failure", [True, False], ids=["each", "all"])
async def test_a_daemon_that_ends_does_not_wait_and_the_next_one_sends_nothing_again(
    lines: Stage, end: str, allow_failure: bool
) -> None:
    image = lines.add_raw(tags=())
    with capture_logs() as told:
        async with lines.life():
            job = await held_up(lines, image, "dcn0", allow_failure=allow_failure)
    assert not [entry for entry in told if "does not stop" in entry["event"]]
    assert lines.fake.image(image).lock
    no_false_location(lines, image)
    async with lines.life():
        await passes(lines, 60)
        # Whether the location stays, nobody knows yet.
        assert (await lines.running.journal.job(job.id)).state is JobState.RUNNING
        await comes_to_rest(lines, image, end)
        assert (await lines.ended(job)).state is JobState.DONE
        await passes(lines, 600)
        assert "dcn0" in lines.fake.image(image).stores
        assert await lines.events(EventKind.COPY_FAILED, EventKind.COPY_INTERRUPTED) == []
    no_false_location(lines, image)
    assert once(lines, "dcn0", image)
    nothing_but(lines, "dcn0", image)


async def test_all_or_nothing_is_not_left_in_doubt(lines: Stage) -> None:
    """A copy that might stay would be neither: so its import's end is waited for, and the copy taken away again."""
    image = lines.add_raw(tags=())
    async with lines.life():
        job = await held_up(lines, image, *EDGES, allow_failure=False)
        await lines.running.intake.cancel(job.id, "bob")
        await passes(lines, 600)
        assert (await lines.running.journal.job(job.id)).pending
        await comes_to_rest(lines, image, "dies")
        await lines.until(lambda: not lines.picture.attempts, "ended")
        ended = await lines.ended(job)
        assert {entry.result for entry in ended.stores} == {CopyResult.CANCELLED}
        assert lines.fake.image(image).stores == ["central"]


def no_false_location(stage: Stage, image: str) -> None:
    data = stage.blocks["central"].data(image)
    for store in {*stage.fake.image(image).stores} - {"central"}:
        assert stage.blocks[store].data(image) == data
        assert stage.pool(store).image(image).protected
