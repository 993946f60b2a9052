"""What the fake does and the real Glance takes an hour for, or can't be made to do. From Glance's source."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from edgesync.clients.glance import GlanceClient
from edgesync.domain.image import ImageId, TaskStatus
from edgesync.domain.job import ImportSource
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, UnreachableError
from tests.contract.glance.driver import lists, newest_task
from tests.fakes.glance import MIB, FakeGlance, RefusalError, Timings, VirtualClock

CENTRAL, DCN0, DCN1 = StoreId("central"), StoreId("dcn0"), StoreId("dcn1")


@pytest.fixture
async def fake() -> AsyncIterator[FakeGlance]:
    timings = Timings(gap=1, staging_rate=100 * MIB, rate=10 * MIB, finish=1, message_every=60)
    async with FakeGlance(clock=VirtualClock(), timings=timings) as glance:
        yield glance


@pytest.fixture
async def glance(fake: FakeGlance) -> AsyncIterator[GlanceClient]:
    async with GlanceClient(fake.auth(), sleep=fake.clock.sleep) as client:
        yield client


async def test_an_import_second_by_second(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image(size=1000 * MIB)
    added = fake.clock.now()
    await glance.copy_image(image, [DCN0, DCN1], allow_failure=True)

    fake.advance(0.9)
    seen = await glance.image(image)
    assert seen.lock is not None
    assert (lists(seen), seen.updated_at) == (({CENTRAL}, set(), set()), added)
    assert (await newest_task(glance, image)).status is TaskStatus.PENDING

    fake.advance(0.2)  # 1.1 s: the lists are there, the image is being staged
    seen = await glance.image(image)
    assert (lists(seen), seen.updated_at) == (({CENTRAL}, {DCN0, DCN1}, set()), added + timedelta(seconds=1))
    assert (await newest_task(glance, image)).status is TaskStatus.PROCESSING

    fake.advance(69)  # 70.1 s: staging ended at 11 s
    assert (await newest_task(glance, image)).message == ""
    fake.advance(1)  # 71.1 s: a minute of writing
    assert (await newest_task(glance, image)).message == "Copied 600 MiB"

    fake.advance(40)  # 111.1 s: the first store is done
    seen = await glance.image(image)
    assert (lists(seen), seen.updated_at) == (({CENTRAL, DCN0}, {DCN1}, set()), added + timedelta(seconds=111))
    # Still about the first store, until the second has been written for a minute.
    assert (await newest_task(glance, image)).message == "Copied 1000 MiB"
    fake.advance(60)
    assert (await newest_task(glance, image)).message == "Copied 600 MiB"

    fake.advance(40.5)  # 211.6 s: both are done, the lock is not gone yet
    assert (await glance.image(image)).lock is not None
    fake.advance(1)
    seen = await glance.image(image)
    assert (lists(seen), seen.lock) == (({CENTRAL, DCN0, DCN1}, set(), set()), None)
    assert seen.updated_at == added + timedelta(seconds=211)


async def test_the_lists_are_stale_from_the_import_before(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image()
    fake.failing("dcn0")
    await glance.copy_image(image, [DCN0], allow_failure=True)
    fake.advance(10)
    assert lists(await glance.image(image)) == ({CENTRAL}, set(), {DCN0})
    fake.healthy("dcn0")
    await glance.copy_image(image, [DCN0], allow_failure=True)
    seen = await glance.image(image)
    assert seen.lock is not None
    assert lists(seen) == ({CENTRAL}, set(), {DCN0})
    fake.advance(10)
    assert lists(await glance.image(image)) == ({CENTRAL, DCN0}, set(), set())


async def crashed(fake: FakeGlance, glance: GlanceClient, *, after: float) -> ImageId:
    image = fake.add_image(size=1000 * MIB)
    await glance.copy_image(image, [DCN0], allow_failure=True)
    fake.advance(after)
    fake.crash_worker()
    return image


@pytest.mark.parametrize(("after", "minutes"), [(0.5, 120), (30, 60)], ids=["pending", "processing"])
async def test_a_stale_lock_is_taken_over(fake: FakeGlance, glance: GlanceClient, after: float, minutes: int) -> None:
    image = await crashed(fake, glance, after=after)
    fake.advance(minutes * 60 - 60)
    with pytest.raises(ConflictError):
        await glance.copy_image(image, [DCN1], allow_failure=True)
    fake.advance(60)
    await glance.copy_image(image, [DCN1], allow_failure=True)
    # What the dead import had listed is cleaned up at once.
    assert lists(await glance.image(image)) == ({CENTRAL}, set(), set())
    fake.advance(300)
    assert lists(await glance.image(image)) == ({CENTRAL, DCN1}, set(), set())
    newest, oldest = await glance.tasks(image)
    assert (newest.status, oldest.status) == (TaskStatus.SUCCESS, TaskStatus.FAILURE)


async def test_a_crash_in_mid_write_makes_every_later_copy_fail(fake: FakeGlance, glance: GlanceClient) -> None:
    image = await crashed(fake, glance, after=30)
    for _ in range(2):
        fake.advance(2 * 3600)
        await glance.copy_image(image, [DCN0], allow_failure=True)
        fake.advance(3600)
        assert lists(await glance.image(image)) == ({CENTRAL}, set(), {DCN0})
    fake.remove_orphan("dcn0", image)
    await glance.copy_image(image, [DCN0], allow_failure=True)
    fake.advance(3600)
    assert lists(await glance.image(image)) == ({CENTRAL, DCN0}, set(), set())


async def test_a_store_that_dies_in_mid_write_goes_on_where_it_was(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image(size=1000 * MIB)
    await glance.copy_image(image, [DCN0], allow_failure=True)
    fake.advance(11 + 50)
    fake.dead("dcn0")
    fake.advance(7200)
    assert lists(await glance.image(image)) == ({CENTRAL}, {DCN0}, set())
    fake.revive("dcn0")
    fake.advance(49)
    assert DCN0 not in (await glance.image(image)).stores
    fake.advance(1.5)
    assert DCN0 in (await glance.image(image)).stores


async def test_an_unreachable_store_blocks_requests_that_name_it(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image()
    fake.unreachable("dcn0")
    before = fake.clock.now()
    await glance.copy_image(image, [DCN0], allow_failure=True)
    assert fake.clock.now() - before == timedelta(seconds=60)
    assert fake.accepted == [(image, ("dcn0",))]


async def test_all_stores_leave_out_those_that_have_the_image(fake: FakeGlance) -> None:
    image = fake.add_image(stores=["central", "dcn0"])
    fake.add_store("web", read_only=True)
    now = fake.clock.now()
    assert fake.sim.copy_image(image, None, must_succeed=False, now=now) is not None
    assert fake.accepted == [(image, ("dcn1",))]
    full = fake.add_image(stores=["central", "dcn0", "dcn1"])
    assert fake.sim.copy_image(full, None, must_succeed=False, now=now) is None


async def test_a_rival_takes_the_lock(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image()
    fake.rival_import(image, ["dcn0"])
    with pytest.raises(ConflictError):
        await glance.copy_image(image, [DCN1], allow_failure=True)
    with pytest.raises(RefusalError):
        fake.rival_import(image, ["dcn1"])


@pytest.fixture
def told(fake: FakeGlance) -> list[tuple[str, str, int]]:
    """What a fake of Ceph would hear: store, what, MiB written."""
    heard: list[tuple[str, str, int]] = []
    fake.on_data(lambda event: heard.append((event.store, event.what, event.written // MIB)))
    return heard


async def test_a_listener_hears_what_becomes_of_data(
    fake: FakeGlance, glance: GlanceClient, told: list[tuple[str, str, int]]
) -> None:
    image = fake.add_image(size=1000 * MIB)
    await glance.copy_image(image, [DCN0], allow_failure=True)
    fake.advance(11 + 60)
    assert told == [("central", "complete", 1000), ("dcn0", "writing", 0), ("dcn0", "writing", 600)]
    assert fake.sim.written("dcn0", image, fake.clock.now()) == 600 * MIB
    fake.advance(60)
    await glance.delete_from_store(image, DCN0)
    await glance.delete_image(image)
    assert told[3:] == [("dcn0", "complete", 1000), ("dcn0", "removed", 0), ("central", "removed", 0)]


async def test_a_listener_hears_of_a_crash_and_of_a_failing_write(
    fake: FakeGlance, glance: GlanceClient, told: list[tuple[str, str, int]]
) -> None:
    image = await crashed(fake, glance, after=11 + 30)
    assert told[-1] == ("dcn0", "abandoned", 300)
    assert fake.sim.written("dcn0", image, fake.clock.now()) is None
    other = fake.add_image(size=1000 * MIB)
    await glance.copy_image(other, [DCN1], allow_failure=True)
    fake.advance(11 + 30)
    fake.failing("dcn1")
    fake.advance(60)
    # The driver takes its half image away; nobody does that after a crash.
    assert told[-1] == ("dcn1", "removed", 0)
    assert lists(await glance.image(other)) == ({CENTRAL}, set(), {DCN1})


async def test_a_listener_comes_late_and_hears_of_every_copy(fake: FakeGlance) -> None:
    image = fake.add_image(stores=["central", "dcn1"])
    heard: list[tuple[str, str]] = []
    fake.on_data(lambda event: heard.append((event.store, event.image)))
    assert heard == [("central", image), ("dcn1", image)]


async def test_somebody_else_knows_what_is_in_the_way(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image()
    fake.on_data(lambda _: None, lambda store, name: (store, name) == ("dcn0", image))
    await glance.copy_image(image, [DCN0, DCN1], allow_failure=True)
    fake.advance(60)
    assert lists(await glance.image(image)) == ({CENTRAL, DCN1}, set(), {DCN0})


async def test_a_lock_taken_over_ends_the_write_that_hung(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image(size=1000 * MIB)
    await glance.copy_image(image, [DCN0], allow_failure=True)
    fake.advance(11 + 30)
    fake.dead("dcn0")
    fake.age_task(image, 3600)
    await glance.copy_image(image, [DCN1], allow_failure=True)
    fake.revive("dcn0")
    fake.advance(300)
    assert lists(await glance.image(image)) == ({CENTRAL, DCN1}, set(), set())
    # Nothing of it is in the way of a later copy.
    await glance.copy_image(image, [DCN0], allow_failure=True)
    fake.advance(300)
    assert DCN0 in (await glance.image(image)).stores


async def test_a_location_that_is_forgotten_leaves_its_data(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image(stores=["central", "dcn0"])
    fake.forget_location(image, "dcn0")
    assert (await glance.image(image)).stores == {CENTRAL}
    await glance.copy_image(image, [DCN0], allow_failure=True)
    fake.advance(60)
    assert lists(await glance.image(image)) == ({CENTRAL}, set(), {DCN0})


async def test_a_part_that_a_crash_left_passes_for_the_whole(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image(status="uploading", size=None, stores=[], hash_value=None)
    fake.sim.intake.staged[image] = 3 * MIB
    await glance.import_image(image, ImportSource(uri=None, name="x"), [CENTRAL], allow_failure=True)
    fake.advance(60)
    seen = await glance.image(image)
    assert (seen.status, seen.size) == ("active", 3 * MIB)


async def test_a_staging_file_left_behind_makes_later_imports_fail(fake: FakeGlance, glance: GlanceClient) -> None:
    image = fake.add_image(status="queued", size=None, stores=[], hash_value=None)
    source = ImportSource(uri=fake.serve("http://images/x", size=10 * MIB), name="x")
    fake.failing("dcn0")
    for stores in ([CENTRAL, DCN0], [CENTRAL]):
        await glance.import_image(image, source, stores, allow_failure=False)
        fake.advance(60)
        seen = await glance.image(image)
        assert (seen.status, seen.stores, seen.lock) == ("queued", frozenset(), None)


async def test_the_clock_jumps_to_the_next_sleeper() -> None:
    clock = VirtualClock()
    order: list[str] = []

    async def sleeper(name: str, *pauses: float) -> None:
        for pause in pauses:
            await clock.sleep(pause)
            order.append(f"{name} {(clock.now() - start).total_seconds():g}")

    start = clock.now()
    cancelled = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(sleeper("a", 10, 10), sleeper("b", 15, 0.5), return_exceptions=True)
    assert order == ["a 10", "b 15", "b 15.5", "a 20"]
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_a_held_clock_stands_still() -> None:
    clock = VirtualClock()
    start = clock.now()
    with clock.hold():
        sleeping = asyncio.create_task(clock.sleep(5))
        await asyncio.sleep(0.02)
        assert clock.now() == start
        assert not sleeping.done()
    await sleeping
    assert clock.now() == start + timedelta(seconds=5)


async def test_a_clock_without_hands_of_its_own() -> None:
    clock = VirtualClock(auto=False)
    sleeping = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0.01)
    assert not sleeping.done()
    clock.advance(5)
    await sleeping


async def test_the_fake_as_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *["-m", "tests.fakes.glance", "--images", "50", "--stores", "4"],
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v2/images", params={"limit": "1000"}) as answer:
        assert len((await answer.json())["images"]) == 50
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        await process.communicate()
    assert process.returncode == 0


async def test_a_stopped_fake_answers_nobody(fake: FakeGlance, glance: GlanceClient) -> None:
    await fake.stop()
    with pytest.raises(UnreachableError):
        await glance.stores()
    await fake.start()
    assert len(await glance.stores()) == 3
