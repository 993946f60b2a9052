"""Tells open pages that something has changed: they then ask for themselves again.

What has changed is not said, so nothing piles up: a page that is slow, or asleep, misses nothing but the steps between.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

from aiohttp import ClientConnectionResetError, web

from edgesync.expose.picture import Showcase
from edgesync.expose.refusals import respond

# Open pages at the same time. Further ones are as good as without scripts.
MOST_PAGES = 100
# Seconds between two looks at whether something has changed, and between two signs of life.
PACE, SILENCE = 1.0, 15.0
# Of the daemon's time, all open pages together may take such a share.
SHARE = 0.1
# Seconds for a page to take one message, of a few bytes.
PATIENCE = 10.0
# Seconds after which a stream ends. The browser asks for it again, and is refused if its credential counts no more.
LASTING = 300.0
# Milliseconds after which a browser that lost the stream asks for it again.
RETRY = b"retry: 2000\n\n"


class Live:
    """The stream `/live`."""

    def __init__(self, showcase: Showcase) -> None:
        self._showcase = showcase
        self._open = 0
        self._closing = asyncio.Event()
        # Seconds that it takes to make a page.
        self.cost = 0.0

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if self._open >= MOST_PAGES:
            return respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_PAGES} pages are open already", "reload this one")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        self._open += 1
        try:
            await self._tell(response)
        except (ClientConnectionResetError, TimeoutError):
            # Nobody waits until it has read the rest.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._open -= 1
        return response

    async def _tell(self, response: web.StreamResponse) -> None:
        await _send(response, RETRY)
        seen, silent, lasted = None, 0.0, 0.0
        while not self._closing.is_set() and lasted < LASTING:
            now = version_of(self._showcase)
            if now != seen:
                seen, silent = now, 0.0
                await _send(response, b"event: change\ndata: 1\n\n")
            elif silent >= SILENCE:
                silent = 0.0
                await _send(response, b": still here\n\n")
            pace = max(PACE, self.cost * self._open / SHARE)
            silent += pace
            lasted += pace
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pace)

    async def close(self, _app: web.Application) -> None:
        """Open streams would keep the daemon from stopping."""
        self._closing.set()


def version_of(showcase: Showcase) -> object:
    """Differs whenever a page may look different. It holds no picture alive."""
    picture, health = showcase.picture, showcase.health
    if picture is None:
        return health
    done = sum(progress.bytes_done for progress in picture.progress.values())
    return id(picture), picture.world.at, health, done, len(picture.stalls)


async def _send(response: web.StreamResponse, message: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        await response.write(message)
