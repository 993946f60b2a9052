"""Copies that edgesync makes itself, block by block: what arrives, what is sent for it, and what is left over."""

from __future__ import annotations

import asyncio

import pytest

from edgesync.clients.glance import GlanceClient
from edgesync.domain.blocks import MIB
from edgesync.domain.copy import CopyState, WaitReason
from edgesync.domain.job import CopyResult, Engine, EventKind, JobState
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.expose.requests import VerificationRequest
from tests.fakes.glance.faults import Fault, Kind, LoseAnswer, Reset, status
from tests.scenario.blocks import BLOCK, EDGES, at, good, noise, nothing_but, once, passes, sent, slow
from tests.scenario.stage import Stage

SIZE = 16 * MIB


async def test_one_reading_feeds_all_sites(lines: Stage) -> None:
    image = lines.add_raw()
    async with lines.life():
        await lines.until_at(image, *EDGES)
        (attempt,) = await lines.attempts(image)
        assert (attempt.engine, set(attempt.stores)) == (Engine.RBD, set(EDGES))
        assert {job.state for job in await lines.jobs()} == {JobState.DONE}
        assert len(await lines.events(EventKind.COPY_DONE)) == 2
    assert lines.imports(image) == []
    assert lines.blocks["central"].fetched == SIZE
    good(lines, image, *EDGES)


async def test_zeros_are_not_sent(lines: Stage) -> None:
    data = bytes(3 * BLOCK) + noise(2 * BLOCK) + bytes(SIZE) + noise(1) + bytes(BLOCK)
    image = lines.add_raw(data=data)
    async with lines.life():
        await lines.until_at(image, *EDGES)
    good(lines, image, *EDGES)
    assert [sent(lines, store, image) for store in EDGES] == [3 * BLOCK, 3 * BLOCK]


@pytest.mark.parametrize("size", [1, BLOCK, 2 * MIB + 1], ids=str)
async def test_images_of_odd_sizes(lines: Stage, size: int) -> None:
    image = lines.add_raw(data=noise(size))
    async with lines.life():
        await lines.until_at(image, *EDGES)
    good(lines, image, *EDGES)
    assert [sent(lines, store, image) for store in EDGES] == [size, size]


# Sites that die.


async def test_a_site_that_is_dead_from_the_start_delays_nobody(lines: Stage) -> None:
    lines.cut("dcn1")
    image = lines.add_raw()
    async with lines.life():
        await lines.until_at(image, "dcn0")
        good(lines, image, "dcn0")
        lines.heal("dcn1")
        await lines.until_at(image, *EDGES)
        assert await lines.events(EventKind.COPY_FAILED) == []
    assert lines.imports(image) == []
    good(lines, image, *EDGES)


@pytest.mark.parametrize(
    ("method", "number"),
    [
        ("create", 1),
        ("writing", 1),
        ("write", 1),
        ("write", 5),
        ("digests", 1),
        ("seal", 1),
        ("rename", 1),
        ("location", 1),
    ],
)
async def test_a_site_that_dies_at_any_step_goes_on_from_there(lines: Stage, method: str, number: int) -> None:
    image = lines.add_raw()
    at(lines, "dcn1", method, lambda: lines.cut("dcn1"), number=number)
    async with lines.life():
        await lines.until_at(image, "dcn0")
        assert lines.fake.image(image).stores == ["central", "dcn0"]
        lines.heal("dcn1")
        await lines.until_at(image, *EDGES)
        assert await lines.events(EventKind.COPY_FAILED) == []
    assert lines.imports(image) == []
    good(lines, image, *EDGES)
    assert once(lines, "dcn0", image)
    assert once(lines, "dcn1", image)


@pytest.mark.parametrize("method", ["create", "write", "seal", "rename"])
async def test_what_is_done_and_not_answered_is_not_done_again(lines: Stage, method: str) -> None:
    image = lines.add_raw()

    def lost() -> None:
        lines.pool("dcn1").answers_lost = True

    at(lines, "dcn1", method, lost)
    async with lines.life():
        await lines.until_at(image, "dcn0")
        await passes(lines, 20)
        lines.pool("dcn1").answers_lost = False
        await lines.until_at(image, *EDGES)
    assert lines.imports(image) == []
    good(lines, image, *EDGES)
    assert once(lines, "dcn1", image)


async def test_a_write_that_hangs_holds_nobody_up(lines: Stage) -> None:
    image = lines.add_raw(mebibytes=32)
    lines.blocks["dcn1"].fail_write(3)
    async with lines.life():
        await lines.until(lambda: "dcn0" in lines.fake.image(image).stores, "dcn0", within=4)
        await lines.until_at(image, *EDGES)
    good(lines, image, *EDGES)
    assert once(lines, "dcn1", image)


@pytest.mark.parametrize("method", ["reading", "extents", "read"])
async def test_a_hub_that_dies_is_nobodys_failure(lines: Stage, method: str) -> None:
    image = lines.add_raw()
    at(lines, "central", method, lambda: lines.cut("central"), number=4 if method == "read" else 1)
    async with lines.life():
        await lines.until(lambda: lines.waits(image, "dcn0", WaitReason.STORE_DOWN), "the hub is down")
        assert lines.fake.image(image).stores == ["central"]
        lines.heal("central")
        await lines.until_at(image, *EDGES)
        assert await lines.events(EventKind.COPY_FAILED) == []
    assert lines.imports(image) == []
    good(lines, image, *EDGES)
    assert once(lines, "dcn1", image)


@pytest.mark.parametrize(("store", "method"), [("central", "read"), ("dcn1", "write"), ("dcn1", "digests")])
async def test_a_mistake_of_edgesyncs_own_ends_the_attempt_and_not_the_daemon(
    lines: Stage, store: str, method: str
) -> None:
    """Nobody waits for ever for what the mistake has kept from coming."""
    image = lines.add_raw()

    def mistake() -> None:
        raise RuntimeError("a bug")

    at(lines, store, method, mistake, number=3 if method != "digests" else 1)
    async with lines.life():
        await lines.until_at(image, *EDGES)
        assert await lines.events(EventKind.COPY_FAILED) == []
    good(lines, image, *EDGES)
    assert once(lines, "dcn0", image)


@pytest.mark.parametrize("method", ["write", "seal", "rename", "location"])
async def test_a_glance_that_dies_is_waited_for(lines: Stage, method: str) -> None:
    image = lines.add_raw()
    stopped = asyncio.Event()

    async def stop() -> None:
        await lines.fake.stop()
        stopped.set()

    at(lines, "dcn1", method, stop)
    async with lines.life():
        await lines.until(stopped.is_set, "Glance is down")
        await passes(lines, 120)
        await lines.fake.start()
        await lines.until_at(image, *EDGES)
        assert await lines.events(EventKind.COPY_FAILED) == []
    assert lines.imports(image) == []
    good(lines, image, *EDGES)
    assert once(lines, "dcn1", image)


@pytest.mark.parametrize("fault", [LoseAnswer(), Reset(), status(500), status(503)], ids=repr)
@pytest.mark.parametrize("times", [1, 4])
async def test_a_registration_that_gets_lost_is_made_up_for(lines: Stage, fault: Kind, times: int) -> None:
    image = lines.add_raw()
    lines.fake.faults.add(Fault(operation="add_location", kind=fault, times=times))
    async with lines.life():
        await lines.until_at(image, *EDGES)
    assert lines.imports(image) == []
    good(lines, image, *EDGES)
    assert once(lines, "dcn0", image)
    assert once(lines, "dcn1", image)


# Images that change.


@pytest.mark.parametrize(
    ("store", "method", "number"),
    [
        ("central", "read", 3),
        ("dcn0", "create", 1),
        ("dcn0", "write", 4),
        ("dcn0", "seal", 1),
        ("dcn0", "rename", 1),
        ("dcn0", "location", 1),
        ("dcn1", "seal", 1),
    ],
)
async def test_of_an_image_that_is_deleted_nothing_stays(lines: Stage, store: str, method: str, number: int) -> None:
    image = lines.add_raw()
    at(lines, store, method, lambda: lines.fake.delete_image(image), number=number)
    async with lines.life():
        await lines.until(lambda: image not in lines.fake.sim.images, "deleted")
        await lines.until_recorded()
        await passes(lines, 60)
        assert len(await lines.events(EventKind.IMAGE_GONE)) == 1
        assert await lines.jobs(JobState.RUNNING) == ()
    for edge in EDGES:
        nothing_but(lines, edge)


@pytest.mark.parametrize(("method", "number"), [("write", 3), ("seal", 1), ("rename", 1), ("location", 1)])
async def test_an_image_that_is_deactivated_is_copied_when_it_is_active_again(
    lines: Stage, method: str, number: int
) -> None:
    image = lines.add_raw()
    at(lines, "dcn0", method, lambda: lines.fake.deactivate(image), number=number)
    async with lines.life():
        await lines.until(lambda: lines.fake.image(image).status == "deactivated", "deactivated")
        await lines.until_recorded()
        await passes(lines, 60)
        assert await lines.events(EventKind.COPY_FAILED) == []
        lines.fake.reactivate(image)
        await lines.until_at(image, *EDGES)
    assert lines.imports(image) == []
    good(lines, image, *EDGES)
    assert once(lines, "dcn0", image)


async def test_data_that_were_not_uploaded_are_not_spread(lines: Stage) -> None:
    image = lines.add_raw(data=noise(SIZE))
    lines.blocks["central"].contents(image).corrupt(5 * MIB)
    async with lines.life():
        await lines.until(lambda: lines.running.showcase.picture is not None, "first look")
        await passes(lines, 4 * 3600)
        (job,) = await lines.jobs()
        assert job.state is JobState.FAILED
        assert {entry.result for entry in job.stores} == {CopyResult.FAILED}
        view = lines.copy(image, "dcn0")
        assert view.state is CopyState.WAITING
        assert view.reason == f"{WaitReason.NOT_AT_HUB}: the copy at central is damaged, and nothing is copied from it"
        assert lines.copy(image, "central").state is CopyState.BROKEN
        failed = await lines.events(EventKind.COPY_FAILED)
        assert [event.store for event in failed] == list(EDGES)
        assert all("os_hash_value" in event.message and "Upload the image again" in event.message for event in failed)
        assert len(await lines.attempts(image)) == 1
        assert lines.fake.image(image).stores == ["central"]
        for edge in EDGES:
            nothing_but(lines, edge)
        # Who asks by hand may have mended it.
        lines.blocks["central"].contents(image).corrupt(5 * MIB)
        assert await verified(lines, image, "central") == {"central": CopyResult.SOUND}
        assert (await lines.ended(await lines.ask(image, "dcn0"))).state is JobState.DONE
        good(lines, image, "dcn0")


async def test_data_that_were_not_uploaded_are_shown_as_broken_until_they_are_verified(lines: Stage) -> None:
    image = lines.add_raw(data=noise(SIZE))
    lines.blocks["central"].contents(image).corrupt(5 * MIB)

    def broken() -> bool:
        return (
            lines.running.showcase.picture is not None
            and image in lines.picture.world.images
            and lines.copy(image, "central").state is CopyState.BROKEN
        )

    async with lines.life():
        await lines.until(broken, "the hub's copy is broken")
        finding = lines.picture.site(StoreId("central")).findings[image]
        assert finding.defect is Defect.DAMAGED
        assert "os_hash_value" in finding.detail
        (told,) = await lines.events(EventKind.COPY_BROKEN)
        assert told.store == "central"
        found = (await lines.running.journal.verifications(image))[StoreId("central")]
        assert (found.sound, found.rbd_id) == (False, lines.pool("central").image(image).id)
    async with lines.life():
        await lines.until(broken, "the next daemon knows it, too")
        lines.blocks["central"].contents(image).corrupt(5 * MIB)
        assert await verified(lines, image, "central") == {"central": CopyResult.SOUND}
        await lines.until(lambda: not broken(), "it is sound again")
        assert (await lines.ended(await lines.ask(image, *EDGES))).state is JobState.DONE
    good(lines, image, *EDGES)


async def test_data_that_have_changed_since_they_were_spread_are_not_spread_any_more(lines: Stage) -> None:
    """Their digests are known from the first copy; what is read for the second is held against them."""
    image = lines.add_raw(data=noise(SIZE), tags=())
    async with lines.life():
        await lines.until(lambda: lines.running.showcase.picture is not None, "first look")
        assert (await lines.ended(await lines.ask(image, "dcn0"))).state is JobState.DONE
        lines.blocks["central"].contents(image).corrupt(5 * MIB)
        job = await lines.ended(await lines.ask(image, "dcn1"))
        assert job.state is JobState.FAILED
        assert f"first at byte {5 * MIB}" in job.stores[0].reason
        await lines.until(lambda: lines.copy(image, "central").state is CopyState.BROKEN, "the hub's copy is broken")
        assert lines.fake.image(image).stores == ["central", "dcn0"]
        nothing_but(lines, "dcn1")


# All or nothing.


async def test_all_or_nothing_with_a_dead_site_leaves_nothing(lines: Stage) -> None:
    image = lines.add_raw(tags=())
    at(lines, "dcn1", "write", lambda: lines.cut("dcn1"), number=3)
    async with lines.life():
        job = await lines.ended(await lines.ask(image, *EDGES, allow_failure=False))
        assert job.state is JobState.FAILED
        lines.heal("dcn1")
        await passes(lines, 1200)
    assert lines.fake.image(image).stores == ["central"]
    for edge in EDGES:
        nothing_but(lines, edge)


@pytest.mark.parametrize("method", ["rename", "location"])
async def test_all_or_nothing_takes_back_what_was_registered(lines: Stage, method: str) -> None:
    image = lines.add_raw(tags=())
    at(lines, "dcn1", method, lambda: lines.cut("dcn1"))
    async with lines.life():
        job = await lines.ended(await lines.ask(image, *EDGES, allow_failure=False))
        assert job.state is JobState.FAILED
        lines.heal("dcn1")
        await passes(lines, 3600)
    assert lines.fake.image(image).stores == ["central"]
    for edge in EDGES:
        nothing_but(lines, edge)


async def test_all_or_nothing_brings_all(lines: Stage) -> None:
    image = lines.add_raw(tags=())
    async with lines.life():
        job = await lines.ended(await lines.ask(image, *EDGES, allow_failure=False))
        assert job.state is JobState.DONE
    good(lines, image, *EDGES)


async def test_all_or_nothing_leaves_what_somebody_else_has_made_meanwhile(lines: Stage) -> None:
    """A daemon dies in the middle; before the next one begins, a rival has brought one of the two copies."""
    image = lines.add_raw(tags=())
    async with lines.life():
        await lines.until(lambda: lines.running.showcase.picture is not None, "first look")
        slow(lines, "dcn0", seconds=60)
        slow(lines, "dcn1", seconds=60)
        job = await lines.ask(image, *EDGES, allow_failure=False)
        await lines.until(lambda: sent(lines, "dcn1", image) > 0, "under way")
    lines.fake.rival_import(image, ["dcn0"])
    await lines.until(lambda: "dcn0" in lines.fake.image(image).stores, "the rival's copy")
    await lines.until(lambda: lines.fake.image(image).lock is None, "the rival ends")
    lines.cut("dcn1")
    async with lines.life():
        assert (await lines.ended(job)).state is JobState.FAILED
        lines.heal("dcn1")
        await passes(lines, 3600)
    good(lines, image, "dcn0")


@pytest.mark.parametrize("allow_failure", [True, False])
async def test_a_location_without_data_is_given_ours(lines: Stage, allow_failure: bool) -> None:
    """A request of a daemon that is dead arrives late, when the next one has begun to make the copy again."""
    image = lines.add_raw(tags=())

    async def late() -> None:
        url = await lines.blocks["dcn1"].location(image)
        async with GlanceClient(lines.fake.auth("late"), sleep=lines.clock.sleep) as glance:
            shown = await glance.add_location(image, url, StoreId("dcn1"))
        assert "dcn1" in shown.stores
        arrived.set()

    arrived = asyncio.Event()
    at(lines, "dcn1", "seal", late)
    async with lines.life():
        await lines.until(lambda: lines.running.showcase.picture is not None, "first look")
        job = await lines.ask(image, *EDGES, allow_failure=allow_failure)
        assert (await lines.ended(job)).state is JobState.DONE
        await passes(lines, 1200)
    assert arrived.is_set()
    good(lines, image, *EDGES)
    assert once(lines, "dcn1", image)


async def verified(stage: Stage, image: str, store: str) -> dict[str, CopyResult]:
    """What a verification of one copy finds."""
    (job,) = (await stage.running.intake.verify(VerificationRequest(image=image, stores=(store,)))).jobs
    return {entry.store: entry.result for entry in (await stage.ended(job)).stores}
