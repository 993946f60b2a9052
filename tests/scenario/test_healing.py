"""What goes wrong behind edgesync's back is put right, or told; and nothing good is lost on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edgesync.domain.copy import CopyState
from edgesync.domain.image import ImageId
from edgesync.domain.job import CopyResult, EventKind, JobState, Work
from edgesync.domain.policy import Match, Policy, Repair
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.errors import RequestError
from edgesync.expose.requests import ImportRequest, RemovalRequest
from tests.fakes.glance import MIB, Timings
from tests.fakes.glance.faults import Fault, Status
from tests.scenario.stage import GOLDEN, STORES, Stage, set_stage

HOUR = 3600.0
URI = "http://images.example/new.raw"


def lent(limit: int = 10) -> Policy:
    return Policy(
        name="lent",
        match=Match(tags=frozenset({"lent"})),
        stores=frozenset({StoreId("dcn0")}),
        prune=True,
        prune_limit=limit,
    )


async def lend(stage: Stage, number: int) -> list[ImageId]:
    """Images that the policy has copied to dcn0, and no longer wants there."""
    images = [stage.fake.add_image(name=f"lent{number}", tags=["lent"]) for number in range(number)]
    for image in images:
        await stage.until_at(image, "dcn0")
    return images


def give_back(stage: Stage, *images: ImageId) -> None:
    for image in images:
        stage.fake.change_image(image, tags=[])


def finding(stage: Stage, image: str, store: str) -> Defect | None:
    found = stage.picture.site(StoreId(store)).findings.get(ImageId(image))
    return found.defect if found else None


# Pruning.


async def test_copies_that_must_stay_do_not_keep_others_from_being_pruned(tmp_path: Path) -> None:
    async with set_stage(tmp_path, policies=[lent(limit=1)], polling={"full_pass": "15m"}) as stage, stage.life():
        images = await lend(stage, 4)
        for image in images[:2]:
            stage.pools.clone("dcn0", image)
        give_back(stage, *images)
        await stage.clock.sleep(3 * HOUR)
        assert ["dcn0" in stage.fake.image(image).stores for image in images] == [True, True, False, False]
        # Half a dozen tries in three hours, not one in each of a dozen passes.
        assert len(await stage.events(EventKind.REMOVAL_FAILED)) < 10
        removed = await stage.events(EventKind.COPY_REMOVED)
        assert removed[1].at - removed[0].at >= timedelta(minutes=14), "one in a pass"


async def test_the_last_good_copy_is_never_pruned_nor_removed(tmp_path: Path) -> None:
    async with set_stage(tmp_path, policies=[lent()], audit={"repair": "report"}) as stage, stage.life() as daemon:
        (image,) = await lend(stage, 1)
        stage.pool("central").remove(image)
        await stage.until(lambda: finding(stage, image, "central") is Defect.NO_IMAGE, "the hub has lost it")
        give_back(stage, image)
        await stage.clock.sleep(2 * HOUR)
        assert stage.pool("dcn0").has(image)
        job = (await daemon.intake.remove(RemovalRequest(image=image, store="dcn0"))).jobs[0]
        ended = await stage.ended(job)
        assert ended.state is JobState.FAILED
        assert "the only good copy" in ended.stores[0].reason
        assert stage.pool("dcn0").has(image)


async def test_images_that_glance_hides_keep_their_copies(sites: Stage) -> None:
    """As without the admin role: 404 for the images of other projects."""
    images = [sites.add_golden(f"img{number}") for number in range(2)]
    async with sites.life():
        for image in images:
            await sites.until_at(image, *STORES)
        hidden = [sites.fake.sim.images.pop(image) for image in images]
        sites.fake.sim.listing.forget()
        await sites.clock.sleep(3 * HOUR)
        assert all(pool.has(image) for pool in sites.pools for image in images)
        assert await sites.events(EventKind.ORPHAN_TRASHED) == []
        assert finding(sites, images[0], "dcn0") is Defect.ORPHAN, "it is told, though"
        sites.fake.sim.images |= {image.id: image for image in hidden}
        sites.fake.sim.listing.forget()
        await sites.until(lambda: finding(sites, images[0], "dcn0") is None, "seen again", within=2 * HOUR)
        assert await sites.events(EventKind.COPY_FAILED) == []


# Drift.


@pytest.mark.parametrize("repair", ["report", "fix"])
async def test_drift_is_reported_or_mended_as_configured(tmp_path: Path, repair: str) -> None:
    async with set_stage(tmp_path, audit={"repair": repair, "every": "10m"}) as stage, stage.life():
        image = stage.add_golden()
        await stage.until_at(image, *STORES)
        stage.pool("dcn0").image(image).protected = False
        stage.pool("dcn1").image(image).size -= MIB
        await stage.clock.sleep(HOUR)
        await stage.until_recorded()
        mended = repair == "fix"
        assert stage.pool("dcn0").image(image).protected is mended
        assert (stage.pool("dcn1").image(image).size == stage.fake.image(image).size) is mended
        assert len(await stage.events(EventKind.COPY_BROKEN)) == 2
        assert len(await stage.events(EventKind.COPY_REPAIRED)) == (2 if mended else 0)
        assert (finding(stage, image, "dcn0"), finding(stage, image, "dcn1")) == (
            (None, None) if mended else (Defect.UNPROTECTED, Defect.WRONG_SIZE)
        )


# What others do in the middle.


async def test_an_image_that_is_only_at_an_edge_comes_to_the_hub_first(stage: Stage) -> None:
    image = stage.add_golden(stores=("dcn1",))
    async with stage.life():
        await stage.until_at(image, *STORES)
    assert stage.imports(image) == ["central", "dcn0"]


async def test_without_edge_origin_it_waits_and_says_why(tmp_path: Path) -> None:
    edges_only = replace(GOLDEN, stores=frozenset({StoreId("dcn0")}))
    async with set_stage(tmp_path, ceph=False, policies=[edges_only], edge_origin=False) as stage:
        image = stage.add_golden(stores=("dcn1",))
        async with stage.life():
            await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
            await stage.clock.sleep(HOUR)
            whys = {entry.why for entry in stage.picture.plan.waiting if entry.image == image}
            assert any("not at central" in why for why in whys)
        assert stage.imports(image) == []


async def test_an_image_deactivated_in_mid_copy_is_waited_for(sites: Stage) -> None:
    """Glance leaves half a copy behind then, which is cleared away when its time has come."""
    stage = sites
    image = stage.add_golden(mebibytes=2048)
    async with stage.life():
        await stage.until(lambda: stage.imports(image) == ["dcn0"], "the copy")
        await stage.clock.sleep(3)
        stage.fake.deactivate(image)
        await stage.until_recorded()
        await stage.clock.sleep(HOUR)
        assert stage.imports(image) == ["dcn0"]
        assert await stage.events(EventKind.COPY_FAILED) == []
        stage.fake.reactivate(image)
        await stage.until_at(image, "dcn0", "dcn1")


async def test_all_or_nothing_leaves_alone_what_a_rival_has_made(stage: Stage) -> None:
    """Its worker dies, edgesync is stopped, and somebody else takes the lock when it has expired."""
    image = stage.fake.add_image(size=512 * MIB)
    async with stage.life():
        job = await stage.ask(image, "dcn0", "dcn1", allow_failure=False)
        await stage.until(lambda: stage.fake.image(image).lock is not None, "the import")
        stage.fake.crash_worker()
    stage.clock.advance(2 * HOUR)
    stage.fake.rival_import(image, ["dcn0"])
    await stage.clock.sleep(60)
    assert "dcn0" in stage.fake.image(image).stores
    async with stage.life():
        stores = {entry.store: entry.result for entry in (await stage.ended(job)).stores}
        assert stores == {"dcn0": CopyResult.COPIED, "dcn1": CopyResult.COPIED}
    assert stage.fake.count("delete_from_store") == 0


async def test_an_all_or_nothing_copy_that_can_not_be_taken_back_is_told_and_tried_on(tmp_path: Path) -> None:
    async with set_stage(tmp_path, ceph=False, polling={"active": "15s"}) as stage:
        image = stage.fake.add_image(size=512 * MIB)
        stage.fake.faults.add(Fault(operation="delete_from_store", kind=Status(status=500), times=10**6))
        async with stage.life():
            job = await stage.ask(image, "dcn0", "dcn1", allow_failure=False)
            await stage.until(lambda: "dcn0" in stage.fake.image(image).stores, "the first copy")
            stage.fake.crash_worker()
            stage.fake.change_image(image, lock=None)
            await stage.clock.sleep(HOUR)
            (told,) = await stage.events(EventKind.COPY_STALLED)
            assert "delete the copy" in told.message
            assert stage.copy(image, "dcn0").state is not CopyState.PRESENT
            stage.fake.faults.clear()
            assert (await stage.ended(job)).state is JobState.FAILED
            assert stage.fake.image(image).stores == ["central"]


async def test_a_removal_that_glance_never_manages_is_told(tmp_path: Path) -> None:
    async with set_stage(tmp_path, ceph=False, polling={"active": "15s"}) as stage:
        image = stage.fake.add_image(stores=list(STORES))
        stage.fake.faults.add(Fault(operation="delete_from_store", kind=Status(status=500), times=10**6))
        async with stage.life() as daemon:
            await stage.until(lambda: daemon.showcase.picture is not None, "first look")
            job = (await daemon.intake.remove(RemovalRequest(image=image, store="dcn0"))).jobs[0]
            await stage.clock.sleep(HOUR)
            ended = await stage.ended(job)
            assert ended.state is JobState.FAILED
            assert stage.fake.count("delete_from_store") < 50


# Imports.


@pytest.mark.parametrize("moment", [0.0, 0.4, 1.0, 2.0, 5.0])
async def test_an_import_killed_in_the_middle_is_taken_up_and_not_repeated(sites: Stage, moment: float) -> None:
    sites.fake.serve(URI, size=1024 * MIB)
    async with sites.life() as daemon:
        await sites.until(lambda: daemon.showcase.picture is not None, "first look")
        job = (await daemon.intake.import_image(ImportRequest(name="new", uri=URI, all_stores=True))).jobs[0]
        await sites.clock.sleep(moment)
    async with sites.life():
        ended = await sites.ended(job)
        assert ended.state is JobState.DONE
        assert ended.work is Work.IMPORT
        assert sorted(sites.imports(ended.image)) == sorted(STORES)
        assert set(sites.fake.image(ended.image).stores) == set(STORES)
        assert await sites.events(EventKind.COPY_FAILED) == []


async def test_an_import_cancelled_in_the_middle_ends_as_glance_ends_it(stage: Stage) -> None:
    stage.fake.serve(URI, size=1024 * MIB)
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.picture is not None, "first look")
        job = (await daemon.intake.import_image(ImportRequest(name="new", uri=URI, all_stores=True))).jobs[0]
        await stage.until(lambda: stage.imports(job.image) == list(STORES), "the import")
        taken = await daemon.intake.cancel(job.id, "alice")
        assert "can't be stopped" in taken.notes[0]
        assert (await stage.ended(job)).state is JobState.DONE
    assert stage.imports(job.image) == list(STORES)


async def test_a_policy_says_more_of_repairs_than_the_audit(tmp_path: Path) -> None:
    careful = replace(GOLDEN, repair=Repair.REPORT)
    async with set_stage(tmp_path, policies=[careful], audit={"every": "10m"}) as stage, stage.life():
        image = stage.add_golden()
        await stage.until_at(image, *STORES)
        stage.pool("dcn0").image(image).protected = False
        await stage.until(lambda: finding(stage, image, "dcn0") is Defect.UNPROTECTED, "found", within=2 * HOUR)
        await stage.clock.sleep(HOUR)
        assert not stage.pool("dcn0").image(image).protected
        with pytest.raises(RequestError, match="straight back"):
            await stage.running.intake.remove(RemovalRequest(image=image, store="dcn0"))


async def test_a_glance_whose_clock_is_behind_keeps_its_lock_and_is_not_pestered(tmp_path: Path) -> None:
    behind = Timings(lock_expiry=HOUR + 600)
    slowly = {"active": "10s"}
    async with set_stage(tmp_path, ceph=("central", "dcn0"), timings=behind, polling=slowly) as stage:
        image = stage.add_golden(mebibytes=2048)
        async with stage.life():
            await stage.until(lambda: stage.imports(image) == ["dcn0"], "the copy")
            await stage.clock.sleep(3)
            stage.fake.crash_worker()
            await stage.clock.sleep(HOUR + 500)
            assert 1 < stage.fake.count("copy_image") < 30
            assert await stage.events(EventKind.RIVAL_IMPORT) == [], "nobody else is at work"
            await stage.until_at(image, "dcn0", "dcn1")
