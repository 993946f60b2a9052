"""Pages are made one after the other, and the daemon's loop gets as long for everything else as each has taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from edgesync.errors import TransientError

# Pages that are asked for and not made yet.
MOST = 32


class Turns:
    """Whoever makes a page takes one. At most half of the loop's time goes into pages, whatever is asked for."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._free_at = 0.0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """For as long as it takes to make one; TransientError when too many wait already."""
        if self._waiting >= MOST:
            raise TransientError(f"{MOST} pages are being made already", remedy="try again in a moment")
        self._waiting += 1
        try:
            async with self._lock:
                if (rest := self._free_at - self._monotonic()) > 0:
                    await self._sleep(rest)
                began = self._monotonic()
                try:
                    yield
                finally:
                    ended = self._monotonic()
                    self._free_at = ended + (ended - began)
        finally:
            self._waiting -= 1
