"""Two clocks for tests: the real one that can be set forward, and a virtual one that never waits.

Both satisfy `edgesync.domain.ports.Clock`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

START = datetime(2026, 1, 1, tzinfo=UTC)


class SettableClock(Protocol):
    """What the fake asks of a clock: the domain's, plus a hand to move it and a way to stop it."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...

    def advance(self, seconds: float) -> None: ...

    def hold(self) -> AbstractContextManager[None]: ...


class RealClock:
    """Real time plus whatever `advance` added."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)

    @contextmanager
    def hold(self) -> Iterator[None]:
        yield


class VirtualClock:
    """Time that jumps to the next sleeper as soon as everybody else has come to rest.

    "At rest" means: the loop went round `settle` times and nobody held the clock. The fake holds it while it answers
    a request, so an exchange between a client and the fake takes no virtual time. With `auto=False` only `advance`
    moves the hands.
    """

    def __init__(self, start: datetime = START, *, auto: bool = True, settle: int = 40) -> None:
        self._now = start
        self._auto = auto
        self._settle = settle
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._holds = 0
        self._watching = False

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), woken))
        self._watch()
        await woken

    def advance(self, seconds: float) -> None:
        """Move the hands and wake everybody who is due."""
        self._move(self._now + timedelta(seconds=seconds))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Stop the hands, for as long as something is under way that must take no time."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if self._sleepers and not self._holds:
                self._watch()

    def _watch(self) -> None:
        if self._auto and not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_soon(self._turn, self._settle)

    def _turn(self, left: int) -> None:
        """One round of the loop; the count starts again when nobody holds the clock any more."""
        if self._holds:
            self._watching = False
        elif left:
            asyncio.get_running_loop().call_soon(self._turn, left - 1)
        else:
            self._watching = False
            self._drop_cancelled()
            if self._sleepers:
                self._move(self._sleepers[0][0])

    def _move(self, target: datetime) -> None:
        self._now = max(self._now, target)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)
        self._drop_cancelled()
        if self._sleepers:
            self._watch()

    def _drop_cancelled(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
