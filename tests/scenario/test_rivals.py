"""Somebody else's copy-image of the same copy, before, during and right after ours: always exactly one good copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesync.domain.job import CopyResult, EventKind, JobState
from tests.fakes.glance import RefusalError, Timings
from tests.scenario.blocks import EDGES, at, good, passes
from tests.scenario.stage import Stage, set_stage

# So slow that ours overtakes it, or so fast that it overtakes ours.
RATES = {"slow": 1 << 20, "even": 64 << 20, "fast": 4096 << 20}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("stores", [("dcn0",), ("dcn1",), EDGES], ids="+".join)
@pytest.mark.parametrize(
    ("method", "number"),
    [("create", 1), ("write", 1), ("write", 4), ("digests", 1), ("seal", 1), ("rename", 1), ("location", 1)],
)
async def test_a_rival_begins_at_any_step(
    tmp_path: Path, rate: str, stores: tuple[str, ...], method: str, number: int
) -> None:
    async with set_stage(tmp_path, blocks=True, timings=Timings(rate=RATES[rate])) as stage:
        image = stage.add_raw(mebibytes=8)

        def rival() -> None:
            try:
                stage.fake.rival_import(image, stores)
            except RefusalError:
                # Ours is registered there already.
                assert set(stage.fake.image(image).stores) & set(stores)

        at(stage, "dcn0", method, rival, number=number)
        async with stage.life():
            await settled(stage, image)
        good(stage, image, *EDGES)


@pytest.mark.parametrize("rate", RATES)
async def test_a_rival_that_was_there_first(tmp_path: Path, rate: str) -> None:
    async with set_stage(tmp_path, blocks=True, timings=Timings(rate=RATES[rate])) as stage:
        image = stage.add_raw(mebibytes=8)
        stage.fake.rival_import(image, ["dcn0"])
        async with stage.life():
            await settled(stage, image)
        good(stage, image, *EDGES)


async def test_a_rival_whose_glance_api_dies_leaves_room_for_ours(tmp_path: Path) -> None:
    """Its lock holds for an hour, and half its copy is in the way."""
    async with set_stage(tmp_path, blocks=True, timings=Timings(rate=1 << 20)) as stage:
        image = stage.add_raw(mebibytes=8)
        at(stage, "dcn0", "write", lambda: stage.fake.rival_import(image, ["dcn0"]), number=2)
        async with stage.life():
            await stage.until(lambda: stage.pool("dcn0").has(image), "the rival writes")
            stage.fake.crash_worker()
            await stage.until(lambda: set(EDGES) <= set(stage.fake.image(image).stores), "both", within=3 * 3600)
            await stage.until_recorded()
            assert await stage.events(EventKind.COPY_FAILED) == []
        good(stage, image, *EDGES)


async def settled(stage: Stage, image: str) -> None:
    """Everything is there, nobody works on it any more, and none of our jobs has failed."""
    await stage.until(lambda: set(EDGES) <= set(stage.fake.image(image).stores), "both", within=3 * 3600)
    await stage.until(lambda: stage.fake.image(image).lock is None, "the rival ends")
    await passes(stage, 300)
    await stage.until(lambda: set(EDGES) <= set(stage.fake.image(image).stores), "both again", within=3 * 3600)
    await stage.until_recorded()
    await passes(stage, 1200)
    assert await stage.events(EventKind.COPY_FAILED) == []
    jobs = await stage.jobs()
    assert {job.state for job in jobs} <= {JobState.DONE}
    assert {entry.result for job in jobs for entry in job.stores} <= {CopyResult.COPIED, CopyResult.REPAIRED}
