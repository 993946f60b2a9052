"""Copies layered on one another at a site: none that others need is lost, and what nobody wants goes in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgesync.domain.blocks import KIB, KnownDigests
from edgesync.domain.image import ImageId
from edgesync.domain.job import EventKind
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId
from edgesync.errors import RequestError
from edgesync.expose.requests import FlattenRequest, RemovalRequest
from tests.fakes.blocks import FakeBlocks
from tests.scenario.stage import Stage, set_stage

HOUR = 3600.0
LENT = Policy(name="lent", match=Match(tags=frozenset({"lent"})), stores=frozenset({StoreId("dcn0")}), prune=True)


@asynccontextmanager
async def layered(folder: Path) -> AsyncIterator[tuple[Stage, FakeBlocks, ImageId, ImageId]]:
    """A policy's two images at dcn0, the second one's copy on top of the first's."""
    async with set_stage(folder, policies=[LENT]) as stage:
        blocks = FakeBlocks(stage.pool("dcn0"))
        stage.blocks = {"dcn0": blocks}
        async with stage.life():
            base, upper = await on_top_of_each_other(stage, blocks)
            yield stage, blocks, base, upper


async def on_top_of_each_other(stage: Stage, blocks: FakeBlocks) -> tuple[ImageId, ImageId]:
    base, upper = (stage.fake.add_image(name=name, tags=["lent"]) for name in ("base", "upper"))
    await stage.until_at(base, "dcn0")
    await stage.until_at(upper, "dcn0")
    stage.pool("dcn0").remove(upper)
    await blocks.clone(base, upper, object_size=64 * KIB)
    await blocks.seal(upper)
    stage.fake.use("dcn0", base)
    return base, upper


def flattened(stage: Stage, blocks: FakeBlocks, base: ImageId) -> None:
    blocks.flatten_now()
    stage.fake.unuse("dcn0", base)


async def test_a_base_that_no_policy_wants_goes_once_its_children_are_independent(tmp_path: Path) -> None:
    async with layered(tmp_path) as (stage, blocks, base, upper):
        stage.fake.change_image(base, tags=[])
        await stage.until(lambda: bool(blocks.flattening), "the manager is asked", within=HOUR)
        assert list(blocks.flattening) == [upper]
        # As long as the manager is at it, the base is there, and nobody tries in vain to delete it.
        await stage.clock.sleep(HOUR)
        assert "dcn0" in stage.fake.image(base).stores
        before = blocks.data(upper)
        flattened(stage, blocks, base)
        await stage.until(lambda: "dcn0" not in stage.fake.image(base).stores, "the base is pruned", within=HOUR)
        await stage.until_recorded()
        assert blocks.data(upper) == before
        assert "dcn0" in stage.fake.image(upper).stores
        assert await stage.events(EventKind.REMOVAL_FAILED) == []
        (asked,) = await stage.events(EventKind.FLATTEN_ASKED)
        assert asked.image == upper


async def test_of_a_base_and_a_copy_that_both_go_nothing_is_flattened(tmp_path: Path) -> None:
    async with layered(tmp_path) as (stage, blocks, base, upper):
        for image in (base, upper):
            stage.fake.change_image(image, tags=[])
        await stage.until(lambda: "dcn0" not in stage.fake.image(upper).stores, "the upper one goes", within=HOUR)
        stage.pool("dcn0").image(base).children = ()
        stage.fake.unuse("dcn0", base)
        await stage.until(lambda: "dcn0" not in stage.fake.image(base).stores, "the base goes", within=HOUR)
        assert await stage.events(EventKind.FLATTEN_ASKED, EventKind.REMOVAL_FAILED) == []
        assert blocks.flattening == {}


async def test_a_single_run_prunes_what_nothing_is_layered_on_and_tries_nothing_in_vain(tmp_path: Path) -> None:
    async with set_stage(tmp_path, policies=[LENT]) as stage:
        blocks = FakeBlocks(stage.pool("dcn0"))
        stage.blocks = {"dcn0": blocks}
        async with stage.life():
            base, upper = await on_top_of_each_other(stage, blocks)
            lone = stage.fake.add_image(name="lone", tags=["lent"])
            await stage.until_at(lone, "dcn0")
        for image in (base, lone):
            stage.fake.change_image(image, tags=[])
        async with stage.life(single=True) as daemon:
            assert await daemon.loop.run_once(stage.clock.now())
            assert await stage.events(EventKind.REMOVAL_FAILED) == []
        there = {image for image in (base, upper, lone) if "dcn0" in stage.fake.image(image).stores}
        assert there == {base, upper}


async def test_what_only_a_start_sees_leaving_goes_without_waiting_for_the_next_complete_look(tmp_path: Path) -> None:
    async with set_stage(tmp_path, policies=[LENT], polling={"full_pass": "1d"}) as stage:
        blocks = FakeBlocks(stage.pool("dcn0"))
        stage.blocks = {"dcn0": blocks}
        async with stage.life():
            base, upper = await on_top_of_each_other(stage, blocks)
            lone = stage.fake.add_image(name="lone", tags=["lent"])
            await stage.until_at(lone, "dcn0")
        for image in (base, lone):
            stage.fake.change_image(image, tags=[])
        async with stage.life():
            await stage.until(lambda: "dcn0" not in stage.fake.image(lone).stores, "what lies alone is pruned")
            await stage.until_recorded()
            assert await stage.events(EventKind.REMOVAL_FAILED) == []
            assert {image for image in (base, upper) if "dcn0" in stage.fake.image(image).stores} == {base, upper}


async def test_a_person_is_told_how_to_be_rid_of_a_base(tmp_path: Path) -> None:
    async with layered(tmp_path) as (stage, blocks, base, upper):
        stage.fake.change_image(base, tags=[])
        await stage.until(lambda: stage.picture.wants.stores(base) == frozenset(), "nobody wants it")
        order = RemovalRequest(image=base, store="dcn0", requested_by="alice")
        with pytest.raises(RequestError, match=f"1 copy layered on it .{upper}.") as refused:
            await stage.running.intake.remove(order)
        assert refused.value.remedy == (f"make the copies independent: edgesync flatten {upper} --store dcn0 --wait")
        assert (await stage.running.intake.flatten(FlattenRequest(image=upper, store="dcn0"))).task is not None
        flattened(stage, blocks, base)
        (job,) = (await stage.running.intake.remove(order)).jobs
        await stage.ended(job)
        assert "dcn0" not in stage.fake.image(base).stores
        assert "dcn0" in stage.fake.image(upper).stores


@pytest.mark.parametrize(
    ("store", "proven"), [("dcn0", True), ("central", True), ("dcn0", False)], ids=["edge", "hub", "damaged"]
)
async def test_a_copy_that_lacks_its_snapshot_is_sealed_again_if_it_is_proven_whole(
    tmp_path: Path, store: str, proven: bool
) -> None:
    async with set_stage(tmp_path, audit={"every": "10m"}) as stage:
        blocks = FakeBlocks(stage.pool(store))
        stage.blocks = {store: blocks}
        async with stage.life() as daemon:
            image = stage.add_golden()
            await stage.until_at(image, "central", "dcn0", "dcn1")
            digests = await blocks.digests(image, 64 * KIB, snapshot=True)
            shown = stage.picture.world.images[image]
            known = KnownDigests(hash_algo=shown.hash_algo, hash_value=shown.hash_value, digests=digests)
            await daemon.journal.keep_digests(image, known)
            found = stage.pool(store).image(image)
            if not proven:
                blocks.contents(image).corrupt(1)
            found.snapshot = found.protected = False
            await stage.until(
                lambda: stage.pool(store).has(image) and stage.pool(store).image(image).protected, "mended", within=HOUR
            )
            await stage.until_recorded()
            (mended,) = await stage.events(EventKind.COPY_REPAIRED)
            assert ("its snapshot was taken again" in mended.message) == proven
            assert len(await stage.events(EventKind.REPAIR_FAILED)) == (0 if proven else 1)
            # The very image, or one that Glance has made anew.
            assert (stage.pool(store).image(image).id == found.id) == proven
            assert stage.imports(image).count("dcn0") == (1 if proven else 2)
