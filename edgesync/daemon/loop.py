"""Repeats the tick: for ever (`run`), or until there is nothing left to do (`once`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

import structlog

from edgesync.daemon.cycle import Cycle
from edgesync.daemon.wishes import Pace
from edgesync.domain.action import Plan
from edgesync.domain.ports import Clock
from edgesync.errors import TransientError

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Loop:
    """Ticks until told to stop. `wake` starts the next tick at once."""

    def __init__(self, cycle: Cycle, clock: Clock, pace: Pace, *, on_tick: Callable[[float, bool], None]) -> None:
        self._cycle = cycle
        self._clock = clock
        self._pace = pace
        self._on_tick = on_tick
        self._woken = asyncio.Event()
        self._stopped = asyncio.Event()
        self._blind = 0
        # When the present turn began, by a clock that nobody sets; None between two.
        self._began: float | None = None

    @property
    def turning_for(self) -> float:
        """Seconds that the present turn has been going on; 0 between two."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def configure(self, pace: Pace) -> None:
        self._pace = pace

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        self._stopped.set()
        self._woken.set()

    async def run(self) -> None:
        """Tick until `stop` is called."""
        while not self._stopped.is_set():
            self._woken.clear()
            await self.unless_stopped(self._tick(None))
            await self._pause()

    async def run_once(self, started: datetime) -> bool:
        """Tick until every copy that can be made has had its try; False when stopped before."""
        while not self._stopped.is_set():
            self._woken.clear()
            plan = await self.unless_stopped(self._tick(started))
            if plan is not None and not self._cycle.busy:
                return True
            error = self._cycle.error
            if error is not None and not isinstance(error, TransientError):
                raise error
            await self._pause()
        return False

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do it, or break it off at `stop`: a Glance that hangs must not hold up the end.

        That does no more harm than a crash there, and what the journal was given is written all the same.
        """
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _tick(self, forgive_before: datetime | None) -> Plan | None:
        began = self._clock.now()
        self._began = time.monotonic()
        plan: Plan | None = None
        try:
            plan = await self._cycle.tick(forgive_before=forgive_before)
        except Exception:
            # The daemon outlives whatever a single tick stumbles over; the metric of the last good tick tells.
            log.exception("tick failed")
        finally:
            self._began = None
        self._blind = 0 if plan is not None else self._blind + 1
        self._on_tick((self._clock.now() - began).total_seconds(), plan is not None)
        return plan

    async def _pause(self) -> None:
        """Until something happens, or it is time to look again; ever longer while Glance can't be seen."""
        seconds = self._pace.active if self._cycle.busy else self._pace.idle
        if self._blind:
            seconds = min(self._pace.idle, self._pace.active * 2 ** min(self._blind, 10))
        sleeping = asyncio.create_task(self._clock.sleep(seconds))
        waking = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()
            await asyncio.gather(sleeping, waking, return_exceptions=True)
