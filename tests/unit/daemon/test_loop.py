"""The end of the loop does not wait for a Glance that hangs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from edgesync.daemon.clock import SystemClock
from edgesync.daemon.cycle import Cycle
from edgesync.daemon.loop import Loop
from edgesync.daemon.wishes import Pace


class Stuck:
    """A cycle whose tick never comes back."""

    busy = False
    error = None

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.broken_off = False

    async def tick(self, **_: Any) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.broken_off = True
            raise


@pytest.mark.parametrize("once", [False, True])
async def test_told_to_stop_it_breaks_off_a_hanging_tick(once: bool) -> None:
    cycle = Stuck()
    loop = Loop(cast("Cycle", cycle), SystemClock(), Pace(active=1, idle=30), on_tick=lambda *_: None)
    running: asyncio.Task[Any] = asyncio.create_task(loop.run_once(datetime.now(UTC)) if once else loop.run())
    await cycle.began.wait()
    loop.stop()
    assert not await asyncio.wait_for(running, 5)
    assert cycle.broken_off


async def test_cancelled_it_leaves_no_tick_behind() -> None:
    cycle = Stuck()
    loop = Loop(cast("Cycle", cycle), SystemClock(), Pace(active=1, idle=30), on_tick=lambda *_: None)
    running = asyncio.create_task(loop.run())
    await cycle.began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cycle.broken_off
