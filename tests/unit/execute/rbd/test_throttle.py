"""Throttles, on a clock of their own."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from edgesync.execute.rbd.throttle import GRAIN, SMALLEST, Throttle, pieces, take_all


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def throttle(rate: float | None, time: Time) -> Throttle:
    return Throttle(lambda: rate, time=time, sleep=time.sleep)


@given(rate=st.floats(1e5, 1e9), sizes=st.lists(st.integers(1, 1 << 22), min_size=50, max_size=80))
def test_the_rate_is_kept(rate: float, sizes: list[int]) -> None:
    time = Time()
    limit = throttle(rate, time)

    async def send() -> None:
        for size in sizes:
            await limit.take(size)

    asyncio.run(send())
    # All but the last have gone by now.
    assert time.now >= sum(sizes[:-1]) / rate * 0.999
    assert time.now <= sum(sizes) / rate * 1.001


async def test_nothing_is_saved_up() -> None:
    """An idle line does not allow a burst afterwards."""
    time = Time()
    limit = throttle(1000.0, time)
    await limit.take(1000)
    time.now += 3600
    await limit.take(1000)
    await limit.take(1000)
    assert time.now == 3601


async def test_without_a_limit_nobody_waits() -> None:
    time = Time()
    await throttle(None, time).take(1 << 40)
    assert time.now == 0


async def test_the_slower_of_two_lines_counts() -> None:
    time = Time()
    lines = (throttle(2000.0, time), throttle(1000.0, time))
    for _ in range(11):
        await take_all(lines, 1000)
    assert time.now == 10


async def test_a_new_rate_holds_at_once() -> None:
    time = Time()
    rates = [1000.0]
    limit = Throttle(lambda: rates[-1], time=time, sleep=time.sleep)
    await limit.take(1000)
    rates.append(500.0)
    await limit.take(1000)
    await limit.take(1000)
    assert time.now == 3


@given(rate=st.floats(1e4, 1e9), length=st.integers(1, 1 << 23))
def test_pieces_are_no_bursts(rate: float, length: int) -> None:
    cut = list(pieces(length, [throttle(rate, Time())]))
    assert [start for start, _ in cut] == [sum(size for _, size in cut[:number]) for number in range(len(cut))]
    assert sum(size for _, size in cut) == length
    assert all(0 < size <= max(SMALLEST, rate * GRAIN) for _, size in cut)


@given(rate=st.floats(1e4, 1e9), objects=st.integers(1, 128), order=st.integers(16, 21))
def test_no_piece_ends_inside_an_object_of_a_clone(rate: float, objects: int, order: int) -> None:
    unit = 1 << order
    cut = list(pieces(objects * unit, [throttle(rate, Time())], unit=unit))
    assert [start for start, _ in cut] == [sum(size for _, size in cut[:number]) for number in range(len(cut))]
    assert sum(size for _, size in cut) == objects * unit
    assert all(size % unit == 0 and 0 < size <= max(unit, rate * GRAIN) for _, size in cut)


def test_without_a_limit_it_goes_in_one_piece() -> None:
    assert list(pieces(1 << 23, [throttle(None, Time())])) == [(0, 1 << 23)]
