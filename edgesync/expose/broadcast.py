"""What happens, told to everybody who listens: one look at the journal a second serves them all.

Whoever doesn't keep up is dropped, and comes back with the position of the last event that it got: nothing is lost, and
nothing waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from edgesync.domain.job import Event, HistoryFilter
from edgesync.domain.ports import Journal
from edgesync.errors import EdgesyncError, TransientError
from edgesync.expose.picture import Picture, Showcase

log = structlog.get_logger(__name__)

# Seconds between two looks at the journal, while anybody listens.
EVERY = 1.0
# Who listens at the same time; events that wait for one of them; events of one look.
LISTENERS, QUEUE, ROWS = 64, 256, 500
# An event, or a picture that has replaced another; None: this listener is dropped.
News = Event | Picture | None


class Listener:
    """One who listens."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[News] = asyncio.Queue(maxsize=QUEUE)

    def tell(self, news: News) -> None:
        try:
            self.queue.put_nowait(news)
        except asyncio.QueueFull:
            self.drop()

    def drop(self) -> None:
        """Whatever waits is not sent any more."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Broadcast:
    """Looks, and tells."""

    def __init__(self, journal: Journal, showcase: Showcase) -> None:
        self._journal = journal
        self._showcase = showcase
        self._listeners: set[Listener] = set()
        self._wanted = asyncio.Event()
        # Of the newest event that was told.
        self.position = 0
        self._picture: Picture | None = None

    async def run(self) -> None:
        """Look until cancelled; without listeners, nothing is looked at."""
        while True:
            await self._wanted.wait()
            try:
                more = await self._look()
            except EdgesyncError as error:
                log.warning("events can't be told", why=error.message)
                more = False
            except Exception:
                # Whoever listens would wait for ever, and nobody would know why.
                log.exception("events can't be told")
                more = False
            if not more:
                await asyncio.sleep(EVERY)

    def close(self) -> None:
        """Drop everybody: the daemon stops."""
        for listener in self._listeners:
            listener.drop()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """Somebody who is told what happens from now on; TransientError when there are too many already."""
        if len(self._listeners) >= LISTENERS:
            raise TransientError(f"{LISTENERS} listen already", remedy="close one of them, or ask GET /v1/history")
        listener = Listener()
        if not self._listeners:
            self.position = await self._newest()
            self._picture = self._showcase.picture
        self._listeners.add(listener)
        self._wanted.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._wanted.clear()
                # The daemon has gone on to others; this one would be kept for nobody.
                self._picture = None

    async def since(self, position: int) -> AsyncIterator[Event]:
        """What was recorded after that; the journal may know no more of the oldest."""
        while page := await self._journal.history(HistoryFilter(after=position, limit=ROWS)):
            for event in page:
                yield event
            position = page[-1].seq

    async def _look(self) -> bool:
        """Tell what is new; True when there may be more."""
        events = await self._journal.history(HistoryFilter(after=self.position, limit=ROWS))
        for event in events:
            self._tell(event)
            self.position = event.seq
        if self._showcase.picture is not self._picture:
            self._picture = self._showcase.picture
            self._tell(self._picture)
        return len(events) == ROWS

    def _tell(self, news: News) -> None:
        for listener in self._listeners:
            listener.tell(news)

    async def _newest(self) -> int:
        return max((event.seq for event in await self._journal.history(HistoryFilter(limit=1))), default=0)
