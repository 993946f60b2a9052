"""Waiting no longer than some time of the clock we were given, which in tests is not the event loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from edgesync.domain.ports import Clock

T = TypeVar("T")


async def within(clock: Clock, seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """The call's result; TimeoutError, and the call cancelled, when it takes longer."""
    calling = asyncio.create_task(call)
    sleeping = asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait({calling, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise TimeoutError
        return calling.result()
    finally:
        for task in (calling, sleeping):
            task.cancel()
        await asyncio.gather(calling, sleeping, return_exceptions=True)


class Alarm:
    """A sleep that somebody else can end early."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring = asyncio.Event()

    def ring(self) -> None:
        self._ring.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep so long, or until the next `ring`; one that came since the last sleep counts."""
        try:
            await within(self._clock, seconds, self._ring.wait())
        except TimeoutError:
            return
        finally:
            self._ring.clear()
