"""The bound on what all copies hold together."""

from __future__ import annotations

import asyncio

import pytest

from edgesync.execute.rbd.memory import Memory


class Holder:
    """Somebody who has asked for a share."""

    def __init__(self, memory: Memory, size: int) -> None:
        self.has = False
        self._done = asyncio.Event()
        self._task = asyncio.create_task(self._hold(memory, size))

    async def _hold(self, memory: Memory, size: int) -> None:
        async with memory.hold(size):
            self.has = True
            await self._done.wait()
        self.has = False

    async def leave(self) -> None:
        self._done.set()
        await self._task
        await settled()

    async def cancel(self) -> None:
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def holders(memory: Memory, *sizes: int) -> list[Holder]:
    made = [Holder(memory, size) for size in sizes]
    await settled()
    return made


def has(*who: Holder) -> list[bool]:
    return [holder.has for holder in who]


async def test_shares_are_lent_up_to_the_limit() -> None:
    first, second, third = await holders(Memory(10), 4, 6, 1)
    assert has(first, second, third) == [True, True, False]
    await first.leave()
    assert has(second, third) == [True, True]
    await second.leave()
    await third.leave()


async def test_a_large_share_is_not_starved_by_small_ones() -> None:
    small, large, late = await holders(Memory(10), 4, 8, 1)
    assert has(small, large, late) == [True, False, False], "one fits, and does not overtake"
    await small.leave()
    assert has(large, late) == [True, True]
    await large.leave()
    await late.leave()


async def test_a_share_larger_than_everything_is_lent_alone() -> None:
    memory = Memory(10)
    small, huge, late = await holders(memory, 1, 50, 1)
    assert has(small, huge, late) == [True, False, False]
    await small.leave()
    assert has(huge, late) == [True, False]
    await huge.leave()
    assert has(late) == [True]
    await late.leave()


async def test_who_goes_away_while_waiting_holds_nobody_up() -> None:
    first, second, third = await holders(Memory(10), 8, 8, 2)
    await second.cancel()
    assert has(first, third) == [True, True]
    await first.leave()
    await third.leave()


async def test_who_is_cancelled_in_the_moment_of_his_turn_gives_it_back() -> None:
    memory = Memory(10)
    first, second, third = await holders(memory, 10, 10, 10)
    first._done.set()
    # Until the first has left, and the second has its turn but has not run yet.
    while not second._task.done():
        second._task.cancel()
        await asyncio.sleep(0)
    await settled()
    assert has(third) == [True]
    await third.leave()


async def test_what_fails_inside_gives_its_share_back() -> None:
    memory = Memory(10)
    with pytest.raises(ZeroDivisionError):
        async with memory.hold(10):
            _ = 1 // 0
    (other,) = await holders(memory, 10)
    assert has(other) == [True]
    await other.leave()
