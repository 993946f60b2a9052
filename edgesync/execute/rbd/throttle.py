"""Keeps the bytes of a site, or of all sites together, below a rate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise

# What goes out at once takes no longer than this at the allowed rate, in seconds: so the rate holds over any second.
GRAIN = 0.1
# Smaller pieces cost more than they smooth.
SMALLEST = 64 * 1024

# Bytes per second at present; None: as fast as it goes.
Rate = Callable[[], float | None]


def monotonic() -> float:
    return asyncio.get_running_loop().time()


class Throttle:
    """One limit. Whoever sends takes the bytes first, and waits until they may go."""

    def __init__(
        self,
        rate: Rate,
        *,
        time: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._time = time
        self._sleep = sleep
        # When all that was taken so far has gone.
        self._free_at = 0.0

    @property
    def rate(self) -> float | None:
        return self._rate()

    async def take(self, size: int) -> None:
        """Wait for so many bytes' turn. Who takes first goes first, so nobody starves."""
        rate = self._rate()
        if rate is None:
            return
        now = self._time()
        begins = max(now, self._free_at)
        self._free_at = begins + size / rate
        if begins > now:
            await self._sleep(begins - now)


async def take_all(throttles: Iterable[Throttle], size: int) -> None:
    """The turn of all limits: a site's own, then that of the line that all sites share."""
    for throttle in throttles:
        await throttle.take(size)


def pieces(length: int, throttles: Iterable[Throttle], *, unit: int = 0) -> Iterable[tuple[int, int]]:
    """Cut a write so that no piece of it is a burst: (offset, length) of each.

    Nothing is cut inside an object of `unit` bytes (0: anywhere), though one may be a burst on a slow line: writes of
    parts of a clone's object would have the rest fetched and written as well.
    """
    rates = [rate for throttle in throttles if (rate := throttle.rate) is not None]
    if not rates:
        return [(0, length)]
    grain = max(SMALLEST, unit)
    step = max(grain, int(min(rates) * GRAIN) // grain * grain)
    return [(start, end - start) for start, end in pairwise([*range(0, length, step), length])]
