"""`/v1/events`: what happens, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from edgesync.domain.job import Event
from edgesync.domain.ports import Journal
from edgesync.expose.broadcast import Broadcast, Listener
from edgesync.expose.endpoints import EVENTS, Endpoint, looks
from edgesync.expose.picture import Picture, Showcase
from edgesync.expose.reading import MAX_SEQ
from edgesync.expose.views import event_view

# Seconds without news after which a line is sent that means nothing, so that broken connections are found.
HEARTBEAT = 15.0
# Seconds that a listener may take to make room for more.
PATIENCE = 10.0
# Seconds after which a stream ends: whoever comes back is asked for the credential again, which may count no more.
LASTING = 300.0
# Milliseconds after which a browser comes back.
_HELLO = b"retry: 2000\n\n"


class EventsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    # The position of the last event that was seen, like the header Last-Event-ID, which beats it.
    after: int | None = Field(default=None, ge=0, le=MAX_SEQ)


class Streaming:
    """The route that never ends."""

    def __init__(self, *, journal: Journal, showcase: Showcase) -> None:
        self._broadcast = Broadcast(journal, showcase)

    def endpoints(self) -> list[Endpoint]:
        return [
            looks(
                "/v1/events",
                self._events,
                summary="What happens, as it happens; resumed with Last-Event-ID.",
                query=EventsQuery,
                answers={HTTPStatus.OK: None},
                content=EVENTS,
            )
        ]

    async def running(self, app: web.Application) -> AsyncIterator[None]:
        """For `web.Application.cleanup_ctx`."""
        app.on_shutdown.append(self._close)
        looking = asyncio.create_task(self._broadcast.run())
        yield
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    async def _close(self, _app: web.Application) -> None:
        """Before open requests are waited for: these would not end."""
        self._broadcast.close()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        asked = {**request.query}
        if last := request.headers.get("Last-Event-ID"):
            asked["after"] = last
        after = EventsQuery.model_validate(asked).after
        async with self._broadcast.listening() as listener:
            response = web.StreamResponse(headers={"Content-Type": EVENTS, "X-Accel-Buffering": "no"})
            await response.prepare(request)
            try:
                await _send(response, _HELLO)
                await self._follow(response, listener, after)
            except (TimeoutError, ConnectionError):
                # It went away, or does not keep up; it comes back by itself. Nobody waits until it has read the rest.
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _follow(self, response: web.StreamResponse, listener: Listener, after: int | None) -> None:
        """Send what was missed, then what happens, until this listener is dropped or has to come back."""
        if after is not None:
            async for event in self._broadcast.since(after):
                await _send(response, _text(event))
                after = event.seq
        clock = asyncio.get_running_loop().time
        ends = clock() + LASTING
        while True:
            if clock() >= ends and listener.queue.empty():
                # It has heard everything until there: it comes back with that, and misses nothing in between.
                await _send(response, f"id: {self._broadcast.position}\n\n".encode())
                return
            try:
                async with asyncio.timeout(HEARTBEAT):
                    news = await listener.queue.get()
            except TimeoutError:
                await _send(response, b":\n\n")
                continue
            if news is None:
                return
            # What was missed may have been told, too.
            if not isinstance(news, Event) or after is None or news.seq > after:
                await _send(response, _text(news))


async def _send(response: web.StreamResponse, text: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        await response.write(text)


def _text(news: Event | Picture) -> bytes:
    """In the form of the standard. Only events have a position to come back with."""
    if isinstance(news, Event):
        return f"id: {news.seq}\ndata: {event_view(news).model_dump_json()}\n\n".encode()
    return f"event: picture\ndata: {news.world.at.isoformat()}\n\n".encode()
