"""One site's share of a copy: takes the chunks it is handed, and writes what its image does not hold yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from edgesync.domain.block_ports import Writing
from edgesync.domain.blocks import Digests, Extent, differing, runs, widened
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError
from edgesync.execute.rbd.source import Chunk
from edgesync.execute.rbd.throttle import Throttle, pieces, take_all

# Chunks that wait for a site, and those being written there.
WINDOW = 4
WRITERS = 4


def held(chunk: int) -> int:
    """Bytes that one lane holds at most."""
    return (WINDOW + WRITERS) * chunk


class Lane:
    """Writes to one image. What that holds already, told by its digests, is not sent again."""

    def __init__(
        self,
        store: StoreId,
        writing: Writing,
        have: Digests,
        *,
        news: asyncio.Condition,
        unit: int = 0,
        throttles: Sequence[Throttle] = (),
    ) -> None:
        """`news` is told of every change here; `unit`: whole objects of so many bytes, for the image is a clone."""
        self.store = store
        self._writing = writing
        self._have = have
        self._news = news
        self._unit = unit
        self._throttles = throttles
        self._waiting: deque[Chunk] = deque()
        # Where the chunks begin that are being written.
        self._busy: set[int] = set()
        self._closed = False
        # Everything before was handed over; and bytes written.
        self.position = 0
        self.sent = 0
        self.error: EdgesyncError | None = None

    @property
    def alive(self) -> bool:
        return self.error is None

    @property
    def closed(self) -> bool:
        """Everything was handed over."""
        return self._closed

    @property
    def full(self) -> bool:
        return self.alive and len(self._waiting) >= WINDOW

    @property
    def dry(self) -> bool:
        """It has nothing to do: whoever reads is slower than this site."""
        return self.alive and not self._waiting and not self._busy

    @property
    def holding(self) -> set[int]:
        """Where the chunks begin that it has in memory."""
        return self._busy.union(chunk.offset for chunk in self._waiting)

    def give_back(self) -> None:
        """Let go of what waits: it has to be handed over again."""
        if self._waiting:
            self.position = self._waiting[0].offset
            self._waiting.clear()

    def extents(self, chunk: Chunk) -> Iterator[Extent]:
        """What of a chunk has to be written."""
        block = self._have.block
        first = chunk.offset // block
        have = self._have.values[first : first + len(chunk.digests)]
        changed = runs(differing(chunk.digests, have), block=block, size=chunk.end, start=chunk.offset)
        return widened(changed, unit=self._unit, size=chunk.end) if self._unit else changed

    def lacks(self, chunk: Chunk) -> bool:
        return self.alive and any(True for _ in self.extents(chunk))

    async def put(self, chunk: Chunk) -> None:
        """Hand the next chunk over, which the window has room for. They come in order, each once."""
        self.position = chunk.end
        if self.lacks(chunk):
            async with self._news:
                self._waiting.append(chunk)
                self._news.notify_all()

    async def close(self) -> None:
        """No more chunks come."""
        async with self._news:
            self._closed = True
            self._news.notify_all()

    async def serve(self) -> None:
        """Write until it is closed; what the site refuses ends it, too, and is in `error` then."""
        try:
            async with asyncio.TaskGroup() as writers:
                for _ in range(WRITERS):
                    writers.create_task(self._work())
        except* EdgesyncError as errors:
            async with self._news:
                self.error = _first(errors)
                self._waiting.clear()
                self._news.notify_all()

    async def _work(self) -> None:
        while (chunk := await self._take()) is not None:
            try:
                await self._send(chunk)
            finally:
                self._busy.remove(chunk.offset)
                async with self._news:
                    self._news.notify_all()

    async def _take(self) -> Chunk | None:
        async with self._news:
            await self._news.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            chunk = self._waiting.popleft()
            self._busy.add(chunk.offset)
            self._news.notify_all()
            return chunk

    async def _send(self, chunk: Chunk) -> None:
        """Write what of it is needed: at once, or on a limited line piece by piece."""
        extents = list(self.extents(chunk))
        if all(throttle.rate is None for throttle in self._throttles):
            await self._write(chunk, extents)
            return
        for extent in extents:
            for offset, length in pieces(extent.length, self._throttles, unit=self._unit):
                await take_all(self._throttles, length)
                await self._write(chunk, [Extent(offset=extent.offset + offset, length=length)])

    async def _write(self, chunk: Chunk, extents: Sequence[Extent]) -> None:
        await self._writing.write_all([(extent.offset, chunk.part(extent.offset, extent.length)) for extent in extents])
        self.sent += sum(extent.length for extent in extents)


def _first(errors: BaseExceptionGroup[EdgesyncError]) -> EdgesyncError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
