"""Bounds the image data that all copies together hold, whatever their number and size."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Memory:
    """So many bytes, lent to whoever reads. First come, first served: a large share is not starved by small ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._queue: deque[tuple[int, asyncio.Event]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Have the share for as long as this lasts; one that is larger than the whole is lent when nothing else is."""
        turn = asyncio.Event()
        self._queue.append((size, turn))
        self._lend()
        try:
            await turn.wait()
        except asyncio.CancelledError:
            if turn.is_set():
                self._held -= size
            else:
                self._queue.remove((size, turn))
            self._lend()
            raise
        try:
            yield
        finally:
            self._held -= size
            self._lend()

    def _lend(self) -> None:
        while self._queue:
            size, turn = self._queue[0]
            if self._held and self._held + size > self._limit:
                return
            self._queue.popleft()
            self._held += size
            turn.set()
