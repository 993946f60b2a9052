"""Copies are compared with their image, block by block; what is damaged is told, and mended without breaking clones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgesync.domain.blocks import MIB
from edgesync.domain.copy import CopyState, WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import CopyResult, Engine, EngineChoice, EventKind, JobState, Work
from edgesync.domain.site import BreakerState, Defect
from edgesync.domain.store import StoreId
from edgesync.errors import RequestError
from edgesync.expose.gauges import sites
from edgesync.expose.problems import problems
from edgesync.expose.requests import PauseRequest, Scope, VerificationRequest
from tests.scenario.comparing import compared, finding, flattening, outcome, spread, verify
from tests.scenario.stage import GOLDEN, STORES, Stage, set_stage

HOUR = 3600.0
DCN0, DCN1, CENTRAL = StoreId("dcn0"), StoreId("dcn1"), StoreId("central")


def known(stage: Stage, store: str, image: str) -> bool:
    """Whether anybody has compared that copy."""
    return ImageId(image) in stage.running.sites.sites([StoreId(store)])[StoreId(store)].verified


def oldest(stage: Stage, store: str) -> datetime:
    """As the metric tells it."""
    (family,) = [one for one in sites(stage.picture) if one.name == "edgesync_oldest_verification_timestamp_seconds"]
    (sample,) = [one for one in family.samples if one.labels == {"store": store}]
    return datetime.fromtimestamp(sample.value, UTC)


async def test_sound_copies_are_told_so_and_show_when(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life():
        image = await spread(stage)
        found = await outcome(stage, image)
        assert {store: result for store, (result, _) in found.items()} == dict.fromkeys(STORES, CopyResult.SOUND)
        assert stage.copy(image, "dcn0").verified_at is not None
        assert stage.blocks["central"].fetched == 24 * MIB, "read once for all"
        assert stage.blocks["dcn0"].fetched == 0
        assert stage.blocks["dcn0"].sent == []
        await outcome(stage, image)
        assert stage.blocks["central"].fetched == 24 * MIB, "and remembered"
        assert all(attempt.work is Work.COPY for attempt in await stage.attempts(image))


async def test_a_copy_that_edgesync_makes_is_verified_by_that(tmp_path: Path) -> None:
    async with compared(tmp_path, rbd={"enabled": True}) as stage, stage.life():
        image = await spread(stage)
        await stage.until(lambda: stage.copy(image, "dcn0").verified_at is not None, "verified")
        assert stage.imports(image) == []
        found = await outcome(stage, image)
        assert all(result is CopyResult.SOUND for result, _ in found.values())
        assert stage.blocks["central"].fetched == 24 * MIB, "its digests were taken while it was copied"


async def test_damage_is_named_and_told_everywhere(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).corrupt(9 * MIB)
        found = await outcome(stage, image)
        assert found["dcn1"][0] is found["central"][0] is CopyResult.SOUND
        result, reason = found["dcn0"]
        assert result is CopyResult.DAMAGED
        assert reason == f"1 damaged range (64 KiB): bytes {9 * MIB}-{9 * MIB + 65535}"
        await stage.until(lambda: finding(stage, image, "dcn0") is Defect.DAMAGED, "a finding")
        assert stage.copy(image, "dcn0").state is CopyState.BROKEN
        (told,) = await stage.events(EventKind.COPY_BROKEN)
        assert str(9 * MIB) in told.message
        assert stage.blocks["dcn0"].data(image) != stage.blocks["dcn1"].data(image), "nobody asked to mend it"


async def test_damage_is_known_to_the_next_daemon(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage:
        async with stage.life():
            image = await spread(stage)
            stage.blocks["dcn0"].contents(image).corrupt(MIB)
            await outcome(stage, image)
        async with stage.life():
            await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
            await stage.until(lambda: finding(stage, image, "dcn0") is Defect.DAMAGED, "still a finding")
            assert len(await stage.events(EventKind.COPY_BROKEN)) == 2


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "by policy"])
async def test_a_damaged_copy_is_made_good_again(tmp_path: Path, asked: bool) -> None:
    async with compared(tmp_path, audit={"repair": "report" if asked else "fix"}) as stage, stage.life():
        image = await spread(stage)
        good, location = stage.blocks["dcn1"].data(image), stage.fake.image(image)
        stage.blocks["dcn0"].contents(image).corrupt(9 * MIB)
        async with flattening(stage.blocks["dcn0"]):
            found = await outcome(stage, image, repair=asked)
            if asked:
                assert found["dcn0"][0] is CopyResult.REPAIRED
                assert "8192 KiB came from central" in found["dcn0"][1]
            await stage.until(lambda: stage.blocks["dcn0"].data(image) == good, "mended")
            await stage.until_recorded()
        await stage.until(lambda: finding(stage, image, "dcn0") is None, "no finding any more")
        assert stage.pool("dcn0").image(image).protected
        assert sum(sent.length for sent in stage.blocks["dcn0"].sent) == 8 * MIB, "one object"
        assert stage.blocks["dcn1"].sent == stage.blocks["central"].sent == []
        assert stage.fake.image(image).stores == location.stores
        assert await stage.blocks["dcn0"].parent(image) is None
        assert [entry.image.name for entry in stage.pool("dcn0").trashed if "damaged" in entry.image.name]
        assert (await outcome(stage, image))["dcn0"][0] is CopyResult.SOUND


async def test_what_a_site_s_disks_have_lost_is_damage_with_its_range_and_made_good(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).lost.add(9 * MIB)
        result, reason = (await outcome(stage, image))["dcn0"]
        assert result is CopyResult.DAMAGED
        assert reason == f"1 damaged range (64 KiB): bytes {9 * MIB}-{9 * MIB + 65535}"
        async with flattening(stage.blocks["dcn0"]):
            assert (await outcome(stage, image, repair=True))["dcn0"][0] is CopyResult.REPAIRED
        assert stage.blocks["dcn0"].data(image) == stage.blocks["dcn1"].data(image)
        assert sum(sent.length for sent in stage.blocks["dcn0"].sent) == 8 * MIB, "one object"
        assert (await outcome(stage, image))["dcn0"][0] is CopyResult.SOUND


async def test_clones_of_a_damaged_copy_are_named_and_live_on(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life() as daemon:
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).corrupt(MIB)
        stage.pools.clone("dcn0", image, "vms/disk-7")
        async with flattening(stage.blocks["dcn0"]):
            found = await outcome(stage, image, repair=True)
        assert found["dcn0"][0] is CopyResult.REPAIRED
        assert "vms/disk-7" in found["dcn0"][1]
        assert stage.blocks["dcn0"].data(image) == stage.blocks["dcn1"].data(image)
        (kept,) = [name for name in stage.pool("dcn0").images if name.startswith(f"{image}.damaged.")]
        assert stage.pool("dcn0").image(kept).children == ("vms/disk-7",)

        def told() -> bool:
            found = problems(daemon.showcase.picture, daemon.showcase.health)
            return any("vms/disk-7" in problem.what and kept in problem.remedy for problem in found)

        await stage.until(told, "the next audit sees what was kept")


async def test_without_a_manager_everything_comes_from_the_hub(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life():
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).corrupt(MIB)
        stage.blocks["dcn0"].manages = False
        assert (await outcome(stage, image, repair=True))["dcn0"][0] is CopyResult.REPAIRED
        assert stage.blocks["dcn0"].data(image) == stage.blocks["dcn1"].data(image)
        assert sum(sent.length for sent in stage.blocks["dcn0"].sent[-3:]) == 24 * MIB


@pytest.mark.parametrize("method", ["clone", "write", "flatten", "seal", "rename", "trash"])
async def test_a_daemon_that_dies_in_the_middle_of_a_repair_is_made_up_for(tmp_path: Path, method: str) -> None:
    """Before each step, and for the renames before each of both."""
    async with compared(tmp_path) as stage:
        died = asyncio.Event()
        left = 2 if method == "rename" else 1

        async def die(name: str, _image: str) -> None:
            nonlocal left
            if name == method and left:
                left -= 1
                if not left:
                    died.set()
                    await asyncio.Event().wait()

        async with stage.life():
            image = await spread(stage)
            stage.blocks["dcn0"].contents(image).corrupt(MIB)
            stage.blocks["dcn0"].before = die
            async with flattening(stage.blocks["dcn0"]):
                (job,) = await verify(stage, image, repair=True)
                await stage.until(died.is_set, "in the middle of it")
        async with stage.life(), flattening(stage.blocks["dcn0"]):
            ended = await stage.ended(job)
            assert {entry.store: entry.result for entry in ended.stores}[DCN0] is CopyResult.REPAIRED
            assert stage.blocks["dcn0"].data(image) == stage.blocks["dcn1"].data(image)
            assert [name for name in stage.pool("dcn0").images if name != image] == []
            assert sum(sent.length for sent in stage.blocks["dcn0"].sent) == 8 * MIB, "nothing twice"


async def test_nothing_is_copied_from_a_damaged_hub(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life():
        image = stage.add_golden()
        await stage.until_at(image, *STORES)
        # What the fake made up does not hash to what Glance wrote down.
        found = await outcome(stage, image)
        assert found["central"][0] is CopyResult.DAMAGED
        assert "os_hash_value" in found["central"][1]
        assert found["dcn0"][0] is CopyResult.FAILED, "there is nothing to compare it with"
        await stage.until(lambda: finding(stage, image, "central") is Defect.DAMAGED, "a finding")
        stage.fake.forget_location(image, "dcn1")
        stage.fake.remove_orphan("dcn1", image)
        await stage.until(lambda: stage.waits(image, "dcn1", WaitReason.NOT_AT_HUB), "nothing comes from there")


async def test_a_hub_whose_disks_have_lost_data_is_damaged(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        unknown, known = await spread(stage), await spread(stage)
        await outcome(stage, known)
        for image in (unknown, known):
            stage.blocks["central"].contents(image).lost.add(17 * MIB)
        result, reason = (await outcome(stage, unknown))["central"]
        assert result is CopyResult.DAMAGED
        assert f"its bytes {16 * MIB}-{18 * MIB - 1}" in reason
        assert (await outcome(stage, known, deep=True))["central"] == (
            CopyResult.DAMAGED,
            f"1 damaged range (64 KiB): bytes {17 * MIB}-{17 * MIB + 65535}",
        )
        await stage.until(lambda: finding(stage, unknown, "central") is Defect.DAMAGED, "a finding")


async def test_deep_reads_the_hubs_data_again(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        await outcome(stage, image)
        before = stage.blocks["central"].fetched
        found = await outcome(stage, image, deep=True)
        assert all(result is CopyResult.SOUND for result, _ in found.values())
        assert "sha512" in found["dcn0"][1]
        assert stage.blocks["central"].fetched == before + 24 * MIB, "once for all copies"
        stage.blocks["central"].contents(image).corrupt(17 * MIB)
        found = await outcome(stage, image, deep=True)
        assert found["central"] == (
            CopyResult.DAMAGED,
            f"1 damaged range (64 KiB): bytes {17 * MIB}-{17 * MIB + 65535}",
        )


async def test_a_verification_waits_for_a_pause_and_for_a_dead_site(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life() as daemon:
        image = await spread(stage)
        await daemon.intake.pause(PauseRequest(store="dcn0"))
        stage.cut("dcn1")
        await stage.until(lambda: stage.picture.site(DCN1).breaker.state is BreakerState.OPEN, "it is down")
        (job,) = await verify(stage, image)
        await stage.clock.sleep(120)
        waiting = await daemon.journal.job(job.id)
        assert waiting.pending == {DCN0, DCN1}
        await daemon.intake.resume(Scope(store="dcn0"))
        stage.heal("dcn1")
        assert (await stage.ended(job)).state is JobState.DONE


async def test_a_verification_waits_for_a_dead_hub_whose_data_it_needs(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life() as daemon:
        image = await spread(stage)
        stage.cut("central")
        (job,) = await verify(stage, image, stores=("dcn0",))
        await stage.clock.sleep(300)
        assert (await daemon.journal.job(job.id)).pending == {DCN0}
        stage.heal("central")
        ended = await stage.ended(job)
        assert [entry.result for entry in ended.stores] == [CopyResult.SOUND]


async def test_nothing_is_mended_where_somebody_has_paused_it(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life() as daemon:
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).corrupt(MIB)
        await daemon.intake.pause(PauseRequest(image=image))
        (job,) = await verify(stage, image, repair=True, stores=("dcn0",))
        await stage.clock.sleep(600)
        assert (await daemon.journal.job(job.id)).pending == {DCN0}
        assert {attempt.work for attempt in await stage.attempts(image)} == {Work.COPY}
        await daemon.intake.resume(Scope(image=image))
        async with flattening(stage.blocks["dcn0"]):
            ended = await stage.ended(job)
        assert [entry.result for entry in ended.stores] == [CopyResult.REPAIRED]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_copy_that_lacks_only_its_snapshot_is_sealed_for_whoever_asks_and_then_compared(
    tmp_path: Path, whole: bool
) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        await outcome(stage, image)
        found = stage.pool("dcn0").image(image)
        found.snapshot = found.protected = False
        if not whole:
            stage.blocks["dcn0"].contents(image).corrupt(MIB)
        result, _ = (await outcome(stage, image, repair=True, stores=("dcn0",)))["dcn0"]
        await stage.until_at(image, *STORES)
        works = {attempt.work for attempt in await stage.attempts(image)}
        if whole:
            assert (result, works) == (CopyResult.SOUND, {Work.COPY, Work.SEAL})
            assert stage.pool("dcn0").image(image).id == found.id
        else:
            assert (result, works) == (CopyResult.REPAIRED, {Work.COPY, Work.SEAL, Work.UNLIST})
        assert stage.pool("dcn0").image(image).protected
        assert stage.blocks["dcn0"].data(image) == stage.blocks["dcn1"].data(image)


async def test_a_copy_that_is_made_again_is_made_by_the_engine_of_the_policy_that_wants_it(tmp_path: Path) -> None:
    by_glance = replace(GOLDEN, engine=EngineChoice.COPY_IMAGE)
    async with set_stage(tmp_path, policies=[by_glance], blocks=True) as stage, stage.life():
        image = stage.add_raw()
        await stage.until_at(image, *STORES)
        stage.pool("dcn0").remove(image)
        await stage.until(lambda: stage.pool("dcn0").has(image), "made again", within=7200)
        await stage.until_recorded()
        assert stage.imports(image).count("dcn0") == 2
        copies = [attempt for attempt in await stage.attempts(image) if attempt.work is Work.COPY]
        assert {attempt.engine for attempt in copies} == {Engine.COPY_IMAGE}


async def test_a_damaged_copy_is_made_good_though_it_is_unprotected_too(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).corrupt(MIB)
        stage.pool("dcn0").image(image).protected = False
        async with flattening(stage.blocks["dcn0"]):
            result, _ = (await outcome(stage, image, repair=True, stores=("dcn0",)))["dcn0"]
        assert result is CopyResult.REPAIRED
        assert stage.blocks["dcn0"].data(image) == stage.blocks["dcn1"].data(image)
        assert stage.pool("dcn0").image(image).protected


async def test_what_was_found_and_what_keeps_it_from_being_mended_is_told_and_in_the_history(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        stage.pools.clone("dcn0", image, "vms/disk-7")
        stage.pool("dcn0").image(image).size += MIB
        stage.pool("dcn1").image(image).protected = False
        found = await outcome(stage, image)
        assert found["dcn0"][0] is CopyResult.DAMAGED
        assert "the RBD image has 25 MiB" in found["dcn0"][1]
        assert found["dcn1"][0] is CopyResult.SOUND
        assert found["dcn1"][1].endswith("is not protected")
        again = await outcome(stage, image, repair=True, stores=("dcn0",))
        assert again["dcn0"][1].endswith("not mended, since there are clones of it (vms/disk-7)")
        sound = [event.message for event in await stage.events(EventKind.COPY_VERIFIED)]
        assert sound == [f"sound: {found['central'][1]}", f"sound: {found['dcn1'][1]}"]
        bad = [(event.store, event.message) for event in await stage.events(EventKind.VERIFICATION_FAILED)]
        assert bad == [(DCN0, f"damaged: {found['dcn0'][1]}"), (DCN0, f"damaged: {again['dcn0'][1]}")]


async def test_verifications_of_copies_that_are_gone_are_forgotten_everywhere(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage:
        async with stage.life() as daemon:
            image, other = await spread(stage), await spread(stage, "other")
            first = stage.clock.now()
            await outcome(stage, image)
            await stage.clock.sleep(60)
            await outcome(stage, other)
            await daemon.intake.pause(PauseRequest(image=image, store="dcn0"))
            stage.fake.sim.delete_from_store(image, "dcn0", stage.clock.now())
            await stage.until(lambda: not known(stage, "dcn0", image), "forgotten", within=HOUR)
            assert set(await daemon.journal.verifications(image)) == {DCN1, CENTRAL}
            assert oldest(stage, "dcn0") > first + timedelta(seconds=60)
        stage.fake.delete_image(other)
        async with stage.life() as daemon:
            await stage.until(
                lambda: known(stage, "dcn1", image) and not known(stage, "dcn1", other), "the other", within=HOUR
            )
            await stage.clock.sleep(60)
            assert await daemon.journal.verifications(other) == {}


async def test_all_images_are_verified_those_first_that_were_longest_ago(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life():
        first, second = await spread(stage, "a"), await spread(stage, "b")
        await outcome(stage, first)
        await stage.until(lambda: stage.copy(first, "central").verified_at is not None, "shown")
        jobs = await verify(stage, stores=("dcn0",))
        assert [job.image for job in jobs] == [second, first]
        assert all(entry.store == "dcn0" for job in jobs for entry in job.stores)
        for job in jobs:
            assert (await stage.ended(job)).state is JobState.DONE


async def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    async with set_stage(tmp_path, ceph=("central", "dcn0")) as stage, stage.life() as daemon:
        image = stage.add_golden(stores=("central",))
        await stage.until_at(image, *STORES)
        with pytest.raises(RequestError, match="not configured for dcn1"):
            await daemon.intake.verify(VerificationRequest(image=image, stores=("dcn1",)))
        other = stage.fake.add_image(name="elsewhere", stores=["central"])
        await stage.until(lambda: other in stage.picture.world.images, "seen")
        with pytest.raises(RequestError, match="no copy in dcn0"):
            await daemon.intake.verify(VerificationRequest(image=other, stores=("dcn0",)))


async def test_the_scrub_compares_every_copy_in_time_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    scrub = {"every": "3h", "bandwidth": "1 MiB/s"}
    async with compared(tmp_path, scrub=scrub) as stage:
        async with stage.life() as daemon:
            images = [await spread(stage, f"img{number}") for number in range(3)]
            scrubbing = asyncio.create_task(daemon.scrub.run())
            await stage.until(lambda: len(daemon.sites.sites([DCN0])[DCN0].verified) >= 2, "two of three")
            scrubbing.cancel()
            done = dict(daemon.sites.sites([DCN0])[DCN0].verified)
            first, second = sorted(found.at for found in done.values())[:2]
            assert second - first >= timedelta(seconds=24), "at 1 MiB/s"
        async with stage.life() as daemon:
            scrubbing = asyncio.create_task(daemon.scrub.run())
            await stage.until(lambda: len(daemon.sites.sites([DCN0])[DCN0].verified) == 3, "the rest")
            after = daemon.sites.sites([DCN0])[DCN0].verified
            assert {image: after[image].at for image in done} == {image: found.at for image, found in done.items()}
            stage.blocks["dcn0"].contents(images[0]).corrupt(MIB)
            async with flattening(stage.blocks["dcn0"]):
                while stage.blocks["dcn0"].data(images[0]) != stage.blocks["dcn1"].data(images[0]):
                    assert stage.clock.now() - first < timedelta(hours=5), "found and mended"
                    await stage.clock.sleep(600)
            scrubbing.cancel()
            assert len(await stage.events(EventKind.COPY_BROKEN)) == 1
