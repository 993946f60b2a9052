"""One reading for many sites."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cached_property

import pytest

from edgesync.domain.blocks import KIB, MIB, Digests, of_zeros
from edgesync.domain.store import StoreId
from edgesync.errors import UnreachableError
from edgesync.execute.rbd import spread as spreading
from edgesync.execute.rbd.lane import WINDOW, WRITERS, Lane
from edgesync.execute.rbd.memory import Memory
from edgesync.execute.rbd.source import AHEAD, CHUNK, Hasher, Source
from edgesync.execute.rbd.spread import MOST, Spread
from edgesync.execute.rbd.throttle import Throttle
from tests.unit.execute.rbd.disks import SIZE, Disk, blank, digests, full, image


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def data() -> bytes:
    return image()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("not within ten seconds")


class Stage:
    """A source, and lanes to it."""

    def __init__(self, data: bytes, executor: Executor) -> None:
        self.source = full(data)
        self.executor = executor
        self.news = asyncio.Condition()
        self.memory = Memory(64 * MIB)
        self.lanes: list[Lane] = []

    @cached_property
    def spread(self) -> Spread:
        return Spread(lambda lane: self.reader(lane.lacks), memory=self.memory, news=self.news)

    def reader(
        self, wanted: Callable[..., bool], *, hasher: Hasher | None = None, known: Digests | None = None
    ) -> Source:
        block = digests(bytes(self.source.data[: 64 * KIB])).block
        return Source(self.source, block=block, executor=self.executor, hasher=hasher, known=known, wanted=wanted)

    def lane(self, name: str, disk: Disk, have: Digests | None = None, *, unit: int = 0) -> Lane:
        size = len(self.source.data)
        lane = Lane(StoreId(name), disk, have or of_zeros(size, 64 * KIB), news=self.news, unit=unit)
        self.lanes.append(lane)
        return lane

    async def run(self, *, hasher: Hasher | None = None, known: Digests | None = None) -> Source:
        source = self.reader(self.spread.wanted, hasher=hasher, known=known)
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes:
                group.create_task(lane.serve())
                group.create_task(self.spread.feed(lane))
            await asyncio.sleep(0)
            await self.spread.lead(source)
        return source


@pytest.fixture
def stage(data: bytes, executor: Executor) -> Stage:
    return Stage(data, executor)


async def test_every_site_gets_everything(stage: Stage, data: bytes) -> None:
    disks = [blank() for _ in range(3)]
    for number, disk in enumerate(disks):
        stage.lane(f"dcn{number}", disk)
    hasher = hashlib.sha512()
    source = await stage.run(hasher=hasher)
    assert all(disk.data == data for disk in disks)
    assert source.digests == digests(data)
    assert hasher.hexdigest() == hashlib.sha512(data).hexdigest()
    assert sorted(stage.source.reads) == [(at, min(CHUNK, SIZE - at)) for at in range(0, SIZE, CHUNK)]


async def test_zeros_are_not_sent(stage: Stage, data: bytes) -> None:
    disk = blank()
    lane = stage.lane("dcn0", disk)
    await stage.run()
    solid = sum(min(64 * KIB, SIZE - at) for at in range(0, SIZE, 64 * KIB) if any(data[at : at + 64 * KIB]))
    assert lane.sent == sum(length for _, length in disk.writes) == solid


async def test_what_is_there_is_not_sent_again(stage: Stage, data: bytes) -> None:
    disk = blank()
    disk.data[: 20 * MIB] = data[: 20 * MIB]
    lane = stage.lane("dcn0", disk, digests(bytes(disk.data)))
    await stage.run()
    assert disk.data == data
    assert min(offset for offset, _ in disk.writes) >= 20 * MIB
    assert lane.position == SIZE


async def test_garbage_under_a_hole_is_overwritten(stage: Stage, data: bytes) -> None:
    disk = blank()
    disk.data[:] = b"x" * SIZE
    stage.lane("dcn0", disk, digests(bytes(disk.data)))
    await stage.run()
    assert disk.data == data


async def test_with_known_digests_only_what_differs_is_read(stage: Stage, data: bytes) -> None:
    disk = blank()
    disk.data[:] = data
    disk.data[9 * MIB] ^= 1
    stage.lane("dcn0", disk, digests(bytes(disk.data)))
    await stage.run(known=digests(data))
    assert disk.data == data
    assert stage.source.reads == [(8 * MIB, CHUNK)]
    assert disk.writes == [(9 * MIB, 64 * KIB)]


async def test_whole_objects_of_a_clone_are_written(stage: Stage, data: bytes) -> None:
    disk = blank()
    disk.data[:] = data
    disk.data[9 * MIB] ^= 1
    disk.data[SIZE - 1] ^= 1
    stage.lane("dcn0", disk, digests(bytes(disk.data)), unit=MIB)
    await stage.run(known=digests(data))
    assert disk.data == data
    assert sorted(disk.writes) == [(9 * MIB, MIB), (33 * MIB, 7)]


async def test_a_site_that_hangs_holds_up_nobody(stage: Stage, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "PATIENCE", 0.01)
    quick, slow = blank(), blank(is_open=False)
    stage.lane("dcn0", quick)
    lane = stage.lane("dcn1", slow)
    running = asyncio.create_task(stage.run())
    await until(lambda: quick.data == data)
    assert not slow.writes
    # What it holds in memory is bounded, however far the others are.
    assert lane.position <= (WINDOW + WRITERS + 1) * CHUNK
    slow.open.set()
    await running
    assert slow.data == data


async def test_a_site_that_is_let_go_gives_back_what_waits(
    stage: Stage, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "PATIENCE", 0.01)
    quick, slow = blank(), blank(is_open=False)
    stage.lane("dcn0", quick)
    lane = stage.lane("dcn1", slow)
    stage.memory = Memory(0)
    async with stage.memory.hold(1):
        # So that it can't go on by itself.
        running = asyncio.create_task(stage.run())
        await until(lambda: quick.data == data)
        assert lane.holding == {number * CHUNK for number in range(WRITERS)}
        assert lane.position == WRITERS * CHUNK
    slow.open.set()
    await running
    assert slow.data == data
    assert len(slow.writes) == len(set(slow.writes)), "nothing is sent twice"


async def test_sites_that_lack_different_parts_do_not_hold_more_together(executor: Executor) -> None:
    data = image(100 * MIB)
    stage = Stage(data, executor)
    disks = []
    for number in range(5):
        disk = blank(len(data), is_open=False)
        disk.data[:] = data
        for start in range(number * CHUNK, len(data), 5 * CHUNK):
            disk.data[start : start + CHUNK] = bytes(CHUNK)
        stage.lane(f"dcn{number}", disk, digests(bytes(disk.data)))
        disks.append(disk)
    running = asyncio.create_task(stage.run(known=digests(data)))

    def held() -> int:
        return len({offset for lane in stage.lanes for offset in lane.holding})

    await until(lambda: held() == MOST)
    await asyncio.sleep(0.05)
    assert held() == MOST
    assert len(stage.source.reads) <= MOST + AHEAD + 1
    for disk in disks:
        disk.open.set()
    await running
    assert all(disk.data == data for disk in disks)


async def test_one_that_hangs_with_an_old_part_holds_up_nobody(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window is not full: it lacks little. It is let go all the same when the others starve for it."""
    monkeypatch.setattr(spreading, "PATIENCE", 0.01)
    monkeypatch.setattr(spreading, "MOST", WRITERS + 2)
    data = image(60 * MIB)
    stage = Stage(data, executor)
    quick, stuck = blank(len(data)), blank(len(data), is_open=False)
    stuck.data[:] = data
    stuck.data[: 6 * CHUNK] = bytes(6 * CHUNK)
    stage.lane("dcn0", quick)
    lane = stage.lane("dcn1", stuck, digests(bytes(stuck.data)))
    running = asyncio.create_task(stage.run(known=digests(data)))
    await until(lambda: quick.data == data)
    assert len(lane.holding) <= WINDOW + WRITERS
    stuck.open.set()
    await running
    assert stuck.data == data


async def test_on_a_limited_line_whole_objects_of_a_clone_are_written(stage: Stage, data: bytes) -> None:
    disk = blank()
    lane = stage.lane("dcn0", disk, unit=MIB)
    seconds = 0.0

    async def sleep(longer: float) -> None:
        nonlocal seconds
        seconds += longer

    lane._throttles = (Throttle(lambda: 2e6, time=lambda: seconds, sleep=sleep),)
    await stage.run(known=digests(data))
    assert disk.data == data
    assert all(offset % MIB == 0 and length == min(MIB, SIZE - offset) for offset, length in disk.writes)


async def test_without_need_the_slower_one_is_waited_for(stage: Stage, data: bytes) -> None:
    """Both read together: each chunk is read once only."""
    one, other = blank(), blank()
    stage.lane("dcn0", one)
    stage.lane("dcn1", other)
    await stage.run()
    assert len(stage.source.reads) == len(set(stage.source.reads))


async def test_a_site_that_fails_is_out_and_the_others_finish(stage: Stage, data: bytes) -> None:
    good, bad = blank(), blank()
    bad.fails_at = 3
    stage.lane("dcn0", good)
    lane = stage.lane("dcn1", bad)
    await stage.run()
    assert good.data == data
    assert isinstance(lane.error, UnreachableError)
    assert len(bad.writes) == 3


async def test_the_digests_are_complete_even_if_every_site_fails(stage: Stage, data: bytes) -> None:
    bad = blank()
    bad.fails_at = 0
    stage.lane("dcn0", bad)
    assert (await stage.run()).digests == digests(data)


async def test_a_site_that_comes_late_reads_for_itself(stage: Stage, data: bytes) -> None:
    early, late = blank(), blank()
    stage.lane("dcn0", early)
    await stage.run()
    lane = stage.lane("dcn1", late)
    async with asyncio.TaskGroup() as group:
        group.create_task(lane.serve())
        group.create_task(stage.spread.feed(lane))
    assert late.data == data


async def test_a_source_that_breaks_ends_the_sites(stage: Stage, data: bytes) -> None:
    async def broken(offset: int, length: int) -> bytes:
        if offset >= 12 * MIB:
            raise UnreachableError("the hub is gone")
        return data[offset : offset + length]

    stage.source.read = broken  # type: ignore[method-assign]
    disk = blank()
    lane = stage.lane("dcn0", disk)
    serving = asyncio.create_task(lane.serve())
    feeding = asyncio.create_task(stage.spread.feed(lane))
    await asyncio.sleep(0)
    with pytest.raises(UnreachableError, match="the hub"):
        await stage.spread.lead(stage.reader(stage.spread.wanted))
    with pytest.raises(UnreachableError, match="the hub"):
        await feeding
    await serving
    assert disk.data[: 12 * MIB] == data[: 12 * MIB]
    assert not any(disk.data[16 * MIB :])
