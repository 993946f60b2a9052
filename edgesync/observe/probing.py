"""Finds out whether one site is alive, by asking its Ceph or from how its copies end.

Every store has its own task and its own deadline: a dead site costs nobody else a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from edgesync.domain.job import EventKind
from edgesync.domain.ports import Clock, Cluster
from edgesync.domain.site import Breaker, BreakerState, Capacity
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, PermanentError, UnreachableError
from edgesync.observe.patience import Alarm, within
from edgesync.plan.breaker import BreakerRules, after_outcome, after_probe, after_refusal, explain

log = structlog.get_logger(__name__)

# A result so young, in seconds, is as good as a new probe.
FRESH = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRules:
    """How often a store is probed, how long a probe may take (seconds), and when its breaker moves."""

    every: float
    deadline: float
    breaker: BreakerRules


class Prober:
    """One store's breaker, and the probes that move it."""

    def __init__(
        self,
        store: StoreId,
        cluster: Cluster | None,
        clock: Clock,
        rules: ProbeRules,
        *,
        rng: Callable[[], float],
        tell: Callable[[EventKind, str], None],
    ) -> None:
        self.store = store
        # None: no Ceph is configured, and outcomes are all there is.
        self.cluster = cluster
        self.rules = rules
        self.breaker = Breaker()
        self.capacity: Capacity | None = None
        self._clock = clock
        self._rng = rng
        self._tell = tell
        self._alarm = Alarm(clock)
        self._next = clock.now()
        self._running: asyncio.Task[EdgesyncError | None] | None = None
        # When the last probe ended, and what was wrong.
        self._last: tuple[datetime, EdgesyncError | None] | None = None
        # What Ceph refuses to us; empty: nothing.
        self.refusal = ""

    async def run(self) -> None:
        """Probe for ever, when it is time."""
        while True:
            wait = (self._next - self._clock.now()).total_seconds()
            if wait > 0:
                await self._alarm.sleep(wait)
            else:
                await self.probe()

    async def first(self) -> None:
        """Return when there has been a probe."""
        if self._last is None:
            await self.probe()

    async def probe(self) -> EdgesyncError | None:
        """Probe now, or wait for the probe that is under way; what was wrong. Ends within the deadline."""
        if self._running is None:
            self._running = asyncio.create_task(self._probe(), name=f"probe {self.store}")
            self._running.add_done_callback(self._ended)
        running = self._running
        # Not `shield`: a probe that is cancelled must not look to those who wait for it like their own end.
        await asyncio.wait({running})
        if running.cancelled():
            return UnreachableError(f"the probe of {self.store} was broken off")
        return running.result()

    async def check(self) -> None:
        """Raise what is wrong with the site now: UnreachableError, or PermanentError when we may not ask."""
        if self.cluster is None:
            return
        if self._last is not None and self._clock.now() - self._last[0] < FRESH:
            error = self._last[1]
        else:
            error = await self.probe()
        if error is not None:
            raise error

    def outcome(self, *, good: bool, cause: str) -> None:
        """A copy into the store ended."""
        now = self._clock.now()
        self._move(after_outcome(self.breaker, good, cause, now, self._rng(), self.rules.breaker))
        if not good:
            self.hasten()

    def hasten(self) -> None:
        """There was a bad sign: probe at once."""
        if self._last is None or self._clock.now() - self._last[0] >= FRESH:
            self._next = min(self._next, self._clock.now())
            self._alarm.ring()

    def change(self, cluster: Cluster | None) -> None:
        """Ask another cluster from now on, or none. Call while no probe is under way."""
        self.cluster = cluster
        self.capacity = None
        self.refusal = ""
        self._last = None
        self._next = self._clock.now()
        if cluster is None and self.breaker.probed:
            # Nobody will ever probe it shut.
            self.breaker = Breaker()

    async def stop(self) -> None:
        """Break off a probe that is under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _ended(self, _: asyncio.Task[EdgesyncError | None]) -> None:
        self._running = None

    async def _probe(self) -> EdgesyncError | None:
        if self.cluster is None:
            return None
        error: EdgesyncError | None = None
        try:
            capacity = await within(self._clock, self.rules.deadline, self.cluster.probe())
        except TimeoutError:
            error = UnreachableError(f"no answer from {self.store}'s Ceph within {self.rules.deadline:g} s")
        except EdgesyncError as trouble:
            error = trouble
        else:
            self.capacity = capacity
        self._take(error)
        return error

    def _take(self, error: EdgesyncError | None) -> None:
        now = self._clock.now()
        self._last = (now, error)
        if isinstance(error, PermanentError):
            self.capacity = None
            breaker = after_refusal(self.breaker, error.message)
        else:
            why = error.message if error else None
            breaker = after_probe(self.breaker, why, now, self._rng(), self.rules.breaker)
        self._tell_refusal(error)
        self._next = self._after(breaker, now)
        self._move(breaker)

    def _after(self, breaker: Breaker, now: datetime) -> datetime:
        """When to probe next."""
        if breaker.state is BreakerState.OPEN and breaker.probed and breaker.retry_at is not None:
            return breaker.retry_at
        soon = min(self.rules.every, self.rules.breaker.first)
        return now + timedelta(seconds=soon if breaker.state is BreakerState.HALF_OPEN else self.rules.every)

    def _tell_refusal(self, error: EdgesyncError | None) -> None:
        refusal = error.message if isinstance(error, PermanentError) else ""
        if refusal == self.refusal:
            return
        if refusal and error is not None:
            log.error("site can't be probed: copies go on", store=self.store, why=refusal, remedy=error.remedy)
        elif error is None:
            log.info("site can be probed again", store=self.store)
        self.refusal = refusal

    def _move(self, breaker: Breaker) -> None:
        before, self.breaker = self.breaker.state, breaker
        if breaker.state is before:
            return
        if breaker.state is BreakerState.OPEN and before is BreakerState.CLOSED:
            self._tell(
                EventKind.STORE_DOWN,
                f"{self.store} {explain(breaker)}; copies for it wait, and go on by themselves when it is back",
            )
        elif breaker.state is BreakerState.CLOSED:
            self._tell(EventKind.STORE_BACK, f"{self.store} is well again; what waited for it goes on")
        else:
            log.info(f"{self.store} {explain(breaker)}", store=self.store)
        self._alarm.ring()
