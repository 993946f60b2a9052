"""Death at every single step of a copy of edgesync's own: the next life comes to the same end, and repeats nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edgesync.domain.blocks import MIB
from edgesync.domain.job import CopyResult, EventKind, JobState
from edgesync.expose.requests import CopyRequest
from tests.scenario.blocks import BLOCK, EDGES, good, noise, once
from tests.scenario.cutting import Scissors, first_of, made
from tests.scenario.stage import Outside, Stage, set_stage

# Independent parts of the whole, so that they can run side by side.
PARTS = 4
DATA = noise(3 * MIB) + bytes(2 * MIB) + noise(BLOCK, seed=2)

Tale = Callable[[Stage, str], Awaitable[None]]


async def by_policy(stage: Stage, image: str) -> None:
    """Two sites, each for itself."""
    await stage.until_at(image, *EDGES)


async def all_or_nothing(stage: Stage, image: str) -> None:
    """A person asks, and insists."""
    await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
    jobs = await stage.jobs()
    if not jobs:
        jobs = (await stage.running.intake.copy(CopyRequest(image=image, stores=EDGES, allow_failure=False))).jobs
    assert (await stage.ended(jobs[0])).state is JobState.DONE


@pytest.mark.parametrize("tale", [by_policy, all_or_nothing])
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_copy_ends_the_same_wherever_it_is_cut(tmp_path: Path, tale: Tale, part: int) -> None:
    at = part + 1
    while await told(tmp_path / str(at), tale, at):
        at += PARTS
    assert at > 6 * PARTS, "there should be more steps to be cut at"


@pytest.mark.parametrize("part", range(PARTS))
async def test_of_an_image_that_is_deleted_meanwhile_nothing_stays(tmp_path: Path, part: int) -> None:
    at = part + 1
    while await told(tmp_path / str(at), by_policy, at, deleted=True):
        at += PARTS


async def told(folder: Path, tale: Tale, at: int, *, deleted: bool = False) -> bool:
    """Tell it with a cut at this step, and then to its end; False when it ended before that step."""
    async with set_stage(made(folder), blocks=True) as stage:
        image = stage.add_raw(data=DATA, tags=("golden",) if tale is by_policy else ())
        scissors = Scissors(at)
        stage.outside = scissors
        async with stage.life():
            if not await first_of(tale(stage, image), scissors):
                await check(stage, image)
                return False
        no_false_location(stage, image)
        if deleted:
            stage.fake.delete_image(image)
        stage.outside = Outside()
        async with stage.life():
            try:
                if deleted:
                    await stage.until(lambda: not any(stage.pool(edge).images for edge in EDGES), "swept", within=7200)
                    await stage.until_recorded()
                else:
                    await tale(stage, image)
                    await check(stage, image)
            except AssertionError as error:
                error.add_note(f"cut at step {at}, {scissors.where}")
                raise
    return True


def no_false_location(stage: Stage, image: str) -> None:
    """What Glance lists is there at any time."""
    for store in stage.fake.image(image).stores:
        assert stage.blocks[store].data(image) == DATA
        assert stage.pool(store).image(image).protected


async def check(stage: Stage, image: str) -> None:
    """That nothing was done twice, and nothing is left over."""
    good(stage, image, *EDGES)
    assert all(once(stage, store, image) for store in EDGES)
    assert stage.imports(image) == []
    assert not any(pool.trashed for pool in stage.pools)
    jobs = await stage.jobs()
    assert [job.state for job in jobs] == [JobState.DONE]
    attempts = await stage.attempts(image)
    assert all(entry.result is CopyResult.COPIED for attempt in attempts for entry in attempt.results)
    assert sorted(str(event.store) for event in await stage.events(EventKind.COPY_DONE)) == list(EDGES)
