"""Death at the worst moments: the next life converges, and repeats nothing."""

from __future__ import annotations

import pytest

from edgesync.domain.job import EventKind, JobState
from tests.fakes.glance.faults import Fault, LoseAnswer, Reset, status
from tests.scenario.stage import Stage


async def test_a_running_import_is_followed_by_the_next_life(stage: Stage) -> None:
    image = stage.add_golden(mebibytes=4096)
    async with stage.life():
        await stage.until(lambda: len(stage.fake.accepted) == 1, "import accepted")
        await stage.until(lambda: bool(stage.fake.image(image).importing), "import under way")
    async with stage.life():
        await stage.until_at(image, "dcn0", "dcn1")
        second, first = await stage.attempts(image)
        assert first.ended_at is not None
        assert first.ended_at <= second.started_at
        (followed,) = await stage.events(EventKind.COPY_FOLLOWED)
        assert followed.job == first.job
        assert {job.state for job in await stage.jobs()} == {JobState.DONE}
    assert stage.imports(image) == ["dcn0", "dcn1"]


async def test_an_import_that_ended_meanwhile_is_judged_by_the_next_life(stage: Stage) -> None:
    image = stage.add_golden(mebibytes=1024)
    async with stage.life():
        await stage.until(lambda: bool(stage.fake.image(image).importing), "import under way")
    stage.fake.advance(600)
    async with stage.life():
        await stage.until_at(image, "dcn0", "dcn1")
        assert len(await stage.attempts(image)) == 2
        assert len(await stage.events(EventKind.COPY_DONE)) == 2
    assert stage.imports(image) == ["dcn0", "dcn1"]


@pytest.mark.parametrize("rounds", range(0, 40, 3))
async def test_dying_at_any_moment_repeats_nothing(stage: Stage, rounds: int) -> None:
    """The life is cut short after so many steps of virtual time, again and again."""
    image = stage.add_golden(mebibytes=256)
    for _ in range(30):
        async with stage.life():
            for _ in range(rounds + 1):
                await stage.clock.sleep(0.05)
        if {"dcn0", "dcn1"} <= set(stage.fake.image(image).stores):
            break
        stage.fake.advance(0.3)
    async with stage.life():
        await stage.until_at(image, "dcn0", "dcn1")
        attempts = await stage.attempts(image)
        assert all(attempt.ended_at is not None for attempt in attempts)
        assert await stage.events(EventKind.COPY_FAILED) == []
    assert stage.imports(image) == ["dcn0", "dcn1"]


@pytest.mark.parametrize("fault", [LoseAnswer(), Reset(), status(500), status(503, retry_after="7")])
async def test_a_lost_answer_to_the_request_starts_no_second_import(stage: Stage, fault: object) -> None:
    image = stage.add_golden()
    stage.fake.faults.add(Fault(operation="copy_image", kind=fault))  # type: ignore[arg-type]
    async with stage.life():
        await stage.until_at(image, "dcn0", "dcn1")
        assert len(await stage.attempts(image)) == 2
        assert await stage.events(EventKind.COPY_FAILED) == []
    assert stage.imports(image) == ["dcn0", "dcn1"]
