"""How often one address may ask, and how long a request may take to arrive."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from edgesync.expose.refusals import respond

# Addresses that are remembered: with more, those that came longest ago start again.
ADDRESSES = 4096
# Seconds for a body to arrive; only files that are imported have no limit.
ARRIVAL = 15.0
# Seconds' worth of requests that may come at once.
BURST = 2.0


class Buckets:
    """Counts what comes from each address: `burst` at once, then `rate` per second."""

    def __init__(self, *, rate: float, burst: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._monotonic = monotonic
        # What is left of each, and when that was so; the one that came longest ago first.
        self._left: dict[str, tuple[float, float]] = {}

    def holds(self, address: str | None) -> bool:
        """Whether one more would be let through."""
        return self._now(address or "")[0] >= 1

    def take(self, address: str | None) -> float:
        """Count one; 0, or the seconds until it would have been let through."""
        name = address or ""
        left, now = self._now(name)
        self._left.pop(name, None)
        while len(self._left) >= ADDRESSES:
            del self._left[next(iter(self._left))]
        self._left[name] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def _now(self, name: str) -> tuple[float, float]:
        now = self._monotonic()
        left, at = self._left.get(name, (self._burst, now))
        return min(self._burst, left + (now - at) * self._rate), now


def pacing(rate: float) -> Middleware:
    """The middleware that refuses what comes faster than `rate` requests per second from one address."""
    buckets = Buckets(rate=rate, burst=rate * BURST)

    @web.middleware
    async def pace(request: web.Request, handler: Handler) -> web.StreamResponse:
        wait = buckets.take(request.remote)
        return at_once(wait) if wait else await handler(request)

    return pace


def at_once(wait: float) -> web.Response:
    """The refusal of what came too early by so many seconds."""
    refusal = respond(HTTPStatus.TOO_MANY_REQUESTS, "too many requests from this address", "ask less often")
    refusal.headers["Retry-After"] = str(math.ceil(wait))
    return refusal


async def body_of(request: web.Request) -> bytes:
    """The whole body, which has a limit (`web.Application.client_max_size`)."""
    try:
        async with asyncio.timeout(ARRIVAL):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text=f"the body did not arrive within {ARRIVAL:g} seconds") from error
