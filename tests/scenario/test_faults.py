"""Answers that a client must survive: no crash, no wrong state, a clear event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from edgesync.domain.blocks import MIB, SMALLEST_BLOCK, KnownDigests, Verification, of_zeros
from edgesync.domain.copy import CopyState
from edgesync.domain.job import Event, EventKind, JobState
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.errors import TransientError
from edgesync.expose.matrix import copy_view
from edgesync.expose.requests import ImportRequest
from tests.fakes.glance.faults import Fault, Kind, NotJson, Reset, TokenExpired, Truncate, status
from tests.scenario.stage import Stage

KINDS = [
    TokenExpired(),
    status(500),
    status(503, retry_after="5"),
    Reset(),
    Truncate(),
    NotJson(),
]
READS = ["images", "image", "tasks", "stores_detail"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__ + str(getattr(kind, "status", "")))
@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize("times", [1, 12])
async def test_a_bad_answer_delays_and_does_no_harm(stage: Stage, kind: Kind, operation: str, times: int) -> None:
    image = stage.add_golden()
    stage.fake.faults.add(Fault(operation=operation, kind=kind, times=times))
    async with stage.life():
        await stage.until_at(image, "dcn0", "dcn1")
        assert {job.state for job in await stage.jobs()} == {JobState.DONE}
        assert await stage.events(EventKind.COPY_FAILED) == []
    assert sorted(stage.imports(image)) == ["dcn0", "dcn1"]


async def test_while_glance_is_away_the_daemon_says_so_and_comes_back(stage: Stage) -> None:
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.picture is not None, "first look")
        await stage.fake.stop()
        await stage.until(lambda: bool(daemon.showcase.health.trouble), "trouble noticed")
        assert daemon.showcase.health.remedy
        noticed = daemon.showcase.at
        await stage.until(lambda: daemon.showcase.at > noticed, "it goes on trying, and the page goes on counting")
        await stage.fake.start()
        image = stage.add_golden()
        await stage.until_at(image, "dcn0", "dcn1")
        assert not daemon.showcase.health.trouble
        assert len(await stage.events(EventKind.GLANCE_UNREACHABLE)) == 1
        assert len(await stage.events(EventKind.GLANCE_BACK)) == 1


async def test_an_image_that_comes_while_the_journal_fails_is_not_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.picture is not None, "first look")
        await stage.fake.stop()
        await stage.until(lambda: bool(daemon.showcase.health.trouble), "trouble noticed")
        write = daemon.journal.add_events
        failed: list[Sequence[Event]] = []

        async def full_once(events: Sequence[Event]) -> None:
            if not failed:
                failed.append(events)
                raise TransientError("no room left")
            await write(events)

        monkeypatch.setattr(daemon.journal, "add_events", full_once)
        image = stage.add_golden()
        await stage.fake.start()
        await stage.until_at(image, "dcn0", "dcn1")
        assert failed


async def test_a_journal_that_can_not_be_written_is_told_as_such(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.health.ticked_at is not None, "first tick")

        async def full(*_: object, **__: object) -> None:
            raise TransientError("no room left")

        with monkeypatch.context() as patched:
            patched.setattr(daemon.journal, "start_attempt", full)
            image = stage.add_golden()
            await stage.until(lambda: daemon.showcase.health.trouble == "no room left", "trouble noticed")
            assert daemon.showcase.health.sees_glance
        await stage.until_at(image, "dcn0", "dcn1")
        await stage.until(lambda: not daemon.showcase.health.trouble, "trouble over")
        assert await stage.events(EventKind.GLANCE_UNREACHABLE, EventKind.GLANCE_BACK) == []


async def test_an_image_deleted_in_mid_copy_ends_cleanly(stage: Stage) -> None:
    image = stage.add_golden(mebibytes=4096)
    async with stage.life() as daemon:
        await stage.until(lambda: bool(stage.fake.image(image).importing), "import under way")
        stage.fake.delete_image(image)
        await stage.until(lambda: not daemon.runner.images, "attempt ended")
        (gone,) = await stage.events(EventKind.IMAGE_GONE)
        assert gone.image == image
        (job,) = await stage.jobs()
        assert job.state is JobState.FAILED
        await stage.until(lambda: image not in daemon.showcase.picture.world.images, "forgotten")  # type: ignore[union-attr]
    assert len(stage.fake.accepted) == 1


async def test_what_the_journal_knows_of_an_images_blocks_goes_with_it(stage: Stage) -> None:
    gone, stays = (stage.fake.add_image(tags=[], stores=["central"]) for _ in range(2))
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.health.ticked_at is not None, "first turn")
        known = KnownDigests(hash_algo="sha512", hash_value="00", digests=of_zeros(MIB, SMALLEST_BLOCK))
        sound = Verification(at=stage.clock.now(), sound=True)
        for image in (gone, stays):
            await daemon.journal.keep_digests(image, known)
            await daemon.journal.add_verification(image, StoreId("central"), sound)
        stage.fake.delete_image(gone)
        # Only a full pass tells.
        for _ in range(100):
            if await daemon.journal.digests(gone) is not None:
                await stage.clock.sleep(5)
        assert await daemon.journal.digests(gone) is None
        assert await daemon.journal.verifications(gone) == {}
        assert await daemon.journal.digests(stays) == known
        assert await daemon.journal.verifications(stays) == {"central": sound}


async def test_a_store_that_vanishes_is_told_and_the_others_go_on(stage: Stage) -> None:
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.picture is not None, "first look")
        stage.fake.remove_store("dcn1")
        await stage.clock.sleep(400)
        (vanished,) = await stage.events(EventKind.STORE_VANISHED)
        assert vanished.store == "dcn1"
        image = stage.add_golden()
        await stage.until_at(image, "dcn0")
        stage.fake.add_store("dcn1")
        await stage.until_at(image, "dcn1")
        assert len(await stage.events(EventKind.STORE_APPEARED)) == 1


async def test_a_vanished_hub_stops_everything_with_a_reason(stage: Stage) -> None:
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.picture is not None, "first look")
        stage.fake.remove_store("central")
        await stage.until(lambda: "hub" in daemon.showcase.health.trouble, "trouble noticed")
        stage.add_golden()
        await stage.clock.sleep(300)
        # Glance answers: somebody should not look for the cause at it.
        assert daemon.showcase.health.sees_glance
        assert "set hub to the id" in daemon.showcase.health.remedy
        assert await stage.events(EventKind.GLANCE_UNREACHABLE) == []
        (vanished,) = await stage.events(EventKind.STORE_VANISHED)
        assert vanished.store == "central"
    assert stage.fake.accepted == []


async def test_a_failing_store_is_shown_with_reason_remedy_and_next_try(stage: Stage) -> None:
    image = stage.add_golden()
    stage.fake.orphan("dcn1", image)
    async with stage.life() as daemon:
        await stage.until_at(image, "dcn0")
        picture = daemon.showcase.picture
        assert picture is not None
        copy = copy_view(picture, picture.world.images[image], StoreId("dcn1"))
        assert copy.state is CopyState.FAILED
        assert copy.next_try is not None
        assert "leftover image" in copy.remedy


async def test_a_file_that_begins_to_come_in_while_the_ledger_is_read_is_not_taken_for_one_left_behind(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.picture is not None, "a first look")
        taken = await daemon.intake.import_image(ImportRequest(name="rhel", file=True))
        (job,) = taken.jobs
        read, whole, sent = daemon.journal.ledger, asyncio.Event(), asyncio.Event()

        async def data() -> AsyncIterator[bytes]:
            yield b"half"
            sent.set()
            await whole.wait()
            yield b"half"

        async def ledger() -> Ledger:
            # A turn that began to read before anything of the file was there, and has its answer after that.
            await sent.wait()
            return await read()

        monkeypatch.setattr(daemon.journal, "ledger", ledger)
        daemon.cycle.ledger_changed()
        daemon.loop.wake()
        await asyncio.sleep(0)
        receiving = asyncio.create_task(daemon.intake.receive(job.id, data(), "alice"))
        await sent.wait()
        await daemon.clock.sleep(30)
        whole.set()
        await receiving
        assert (await stage.ended(job)).state is JobState.DONE
        assert EventKind.COPY_FAILED not in {event.kind for event in await stage.events()}
