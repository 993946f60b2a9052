"""A new version that is larger than the one before it: layered on that all the same, and whole, wherever it is cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgesync.domain.blocks import MIB
from edgesync.domain.image import ImageId
from edgesync.domain.job import EventKind, JobState
from edgesync.expose.requests import FlattenRequest, VerificationRequest
from tests.scenario.blocks import BLOCK, EDGES, at, noise, nothing_but, once, passes, sent
from tests.scenario.cutting import Scissors, first_of, made
from tests.scenario.stage import Outside, Stage, set_stage

# It ends inside a block.
FIRST = noise(MIB + 1000)
# One block differs; the first one goes on where it ended; then there are zeros; and a byte is the last.
SECOND = noise(BLOCK, seed=2) + FIRST[BLOCK:] + noise(4 * BLOCK, seed=3) + bytes(MIB) + b"x"
# Independent parts of the whole, so that they can run side by side.
PARTS = 4


@asynccontextmanager
async def first_version(folder: Path, data: bytes = FIRST) -> AsyncIterator[tuple[Stage, ImageId]]:
    """It is everywhere."""
    async with set_stage(folder, blocks=True) as stage:
        image = stage.add_raw("rhel-1", data=data)
        for store in EDGES:
            stage.blocks[store].put(image, data)
        stage.fake.change_image(image, stores=["central", *EDGES])
        yield stage, image


async def whole(stage: Stage, *chain: ImageId) -> None:
    """Each is at both edges, whole, on top of the one before it, and nothing else is there."""
    for store in EDGES:
        nothing_but(stage, store, *chain)
        for image, parent in zip(chain, (None, *chain), strict=False):
            assert stage.blocks[store].data(image) == stage.blocks["central"].data(image)
            assert stage.pool(store).image(image).protected
            assert await stage.blocks[store].parent(image) == (parent and f"images/{parent}")
            assert set(stage.fake.image(image).stores) == {"central", *EDGES}


async def test_only_what_differs_is_sent(tmp_path: Path) -> None:
    async with first_version(tmp_path) as (stage, first):
        second = stage.add_raw("rhel-2", data=SECOND)
        async with stage.life():
            await stage.until_at(second, *EDGES)
            (attempt,) = await stage.attempts(second)
            planned = await stage.events(EventKind.COPY_PLANNED)
        await whole(stage, first, second)
        # The block that differs, those from the one on in which the first ends, and the last.
        differs = (1 + 5) * BLOCK + len(SECOND) % BLOCK
        for store in EDGES:
            assert sent(stage, store, second) == differs
            assert stage.blocks[store].contents(second).copied_up == 0
        assert "on top of rhel-1 instead of" in planned[-1].message
        assert set(attempt.stores) == set(EDGES)


async def test_a_chain_of_ever_larger_ones_is_verified_and_flattened_as_any_other(tmp_path: Path) -> None:
    async with first_version(tmp_path) as (stage, first):
        chain = [first]
        async with stage.life():
            for number, data in enumerate((SECOND, SECOND + noise(MIB, seed=4) + bytes(BLOCK + 1)), 2):
                chain.append(stage.add_raw(f"rhel-{number}", data=data))
                await stage.until_at(chain[-1], *EDGES)
            await whole(stage, *chain)
            for image in chain:
                (job,) = (await stage.running.intake.verify(VerificationRequest(image=image))).jobs
                assert (await stage.ended(job)).state is JobState.DONE
            assert await stage.events(EventKind.COPY_BROKEN) == []
            assert (await stage.running.intake.flatten(FlattenRequest(image=chain[-1], store="dcn0"))).task is not None
            stage.blocks["dcn0"].flatten_now()
        assert await stage.blocks["dcn0"].parent(chain[-1]) is None
        assert stage.blocks["dcn0"].data(chain[-1]) == stage.blocks["central"].data(chain[-1])


async def test_a_smaller_version_is_not_layered_on_a_larger_one(tmp_path: Path) -> None:
    async with first_version(tmp_path, SECOND) as (stage, _):
        second = stage.add_raw("rhel-2", data=SECOND[:-1])
        async with stage.life():
            await stage.until_at(second, *EDGES)
        for store in EDGES:
            assert stage.blocks[store].data(second) == SECOND[:-1]
            assert await stage.blocks[store].parent(second) is None


@pytest.mark.parametrize("deed", ["cut", "lost"])
@pytest.mark.parametrize("method", ["clone", "grow", "write", "seal"])
async def test_a_site_that_dies_in_between_goes_on_from_there(tmp_path: Path, method: str, deed: str) -> None:
    async with first_version(tmp_path) as (stage, first):
        second = stage.add_raw("rhel-2", data=SECOND)
        site = stage.pool("dcn1")

        def lose() -> None:
            site.answers_lost = True

        deeds: dict[str, Callable[[], None]] = {"cut": lambda: stage.cut("dcn1"), "lost": lose}
        at(stage, "dcn1", method, deeds[deed])
        async with stage.life():
            await stage.until_at(second, "dcn0")
            await passes(stage, 20)
            stage.heal("dcn1")
            site.answers_lost = False
            await stage.until_at(second, *EDGES)
        await whole(stage, first, second)
        assert once(stage, "dcn1", second)
        assert not site.trashed


@pytest.mark.parametrize("part", range(PARTS))
async def test_it_ends_the_same_wherever_it_is_cut(tmp_path: Path, part: int) -> None:
    step = part + 1
    while await told(tmp_path / str(step), step):
        step += PARTS
    assert step > 6 * PARTS, "there should be more steps to be cut at"


async def told(folder: Path, step: int) -> bool:
    """Have the second version copied with a cut at this step, and then to its end; False when it ended before."""
    async with first_version(made(folder)) as (stage, first):
        second = stage.add_raw("rhel-2", data=SECOND)
        stage.outside = scissors = Scissors(step)
        async with stage.life():
            cut = await first_of(stage.until_at(second, *EDGES), scissors)
        stage.outside = Outside()
        if cut:
            async with stage.life():
                await stage.until_at(second, *EDGES)
        await whole(stage, first, second)
        assert all(once(stage, store, second) for store in EDGES), scissors.where
        assert not any(pool.trashed for pool in stage.pools), scissors.where
    return cut
