"""However many pages are asked for, the daemon goes on."""

from __future__ import annotations

import asyncio

import pytest

from edgesync.errors import TransientError
from edgesync.expose.page import turns
from edgesync.expose.page.turns import Turns


class Hand:
    """A clock that only sleeping and making pages move on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_after_a_page_the_loop_is_free_for_as_long_as_it_took() -> None:
    hand = Hand()
    taking = Turns(lambda: hand.now, hand.sleep)
    for cost in (0.25, 0.5, 0.25):
        async with taking.taken():
            hand.now += cost
    assert hand.slept == [0.25, 0.5]
    hand.now += 10
    async with taking.taken():
        pass
    assert hand.slept == [0.25, 0.5], "nobody waits for what is long over"


async def test_a_page_that_fails_leaves_room_for_the_next() -> None:
    hand = Hand()
    taking = Turns(lambda: hand.now, hand.sleep)
    for _ in range(turns.MOST + 1):
        with pytest.raises(ValueError, match="template"):
            async with taking.taken():
                raise ValueError("template")


async def test_only_so_many_wait() -> None:
    taking, making = Turns(), asyncio.Event()

    async def page() -> None:
        async with taking.taken():
            await making.wait()

    pages = [asyncio.create_task(page()) for _ in range(turns.MOST)]
    await asyncio.sleep(0)
    with pytest.raises(TransientError, match="32 pages are being made already"):
        async with taking.taken():
            pass
    making.set()
    await asyncio.gather(*pages)
