"""One read feeds all sites, and none of them waits for another.

The chunks of one reading go to every lane that is ready when it begins. Where a lane's window is full while another has
run dry, the slow one is let go: it finishes on reads of its own, and the others get on. So does one that comes late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import structlog

from edgesync.execute.rbd.lane import Lane, held
from edgesync.execute.rbd.memory import Memory
from edgesync.execute.rbd.source import AHEAD, Chunk, Source

log = structlog.get_logger(__name__)

# Seconds that others may run dry before a full lane is let go.
PATIENCE = 1.0


class Spread:
    """The reading of one snapshot for several images."""

    def __init__(self, source: Callable[[Lane], Source], *, memory: Memory, news: asyncio.Condition) -> None:
        """`source` makes a reader for one lane alone; `news` is what all lanes tell of changes."""
        self._source = source
        self._memory = memory
        self._news = news
        self._attached: list[Lane] = []
        self._begun = False
        self._broken: Exception | None = None

    def wanted(self, chunk: Chunk) -> bool:
        """Whether any lane that reads with others lacks some of it."""
        return any(lane.lacks(chunk) for lane in self._attached)

    async def lead(self, source: Source, *, ahead: int = AHEAD) -> None:
        """Read it all, for those that have joined; goes on without any, since the digests are wanted."""
        self._begun = True
        try:
            async with aclosing(source.chunks(ahead=ahead)) as chunks:
                async for chunk in chunks:
                    await self._let_go()
                    for lane in self._attached:
                        await lane.put(chunk)
        except Exception as error:
            # Of whatever class: the lanes wait for chunks that never come.
            self._broken = error
            raise
        finally:
            for lane in self._attached:
                await lane.close()
            await self._set_attached([])

    def join(self, lane: Lane) -> None:
        """Have a lane read with the others, unless they have begun."""
        if not self._begun and lane not in self._attached:
            self._attached.append(lane)

    async def leave(self, lane: Lane) -> None:
        """Its site is out, or has everything: nobody waits for it any more."""
        await self._set_attached([other for other in self._attached if other is not lane])

    async def feed(self, lane: Lane) -> None:
        """Hand a lane everything, and close it; return early when its site fails. Raises what reading raises."""
        self.join(lane)
        if lane in self._attached:
            async with self._news:
                await self._news.wait_for(lambda: lane not in self._attached or not lane.alive)
            if self._broken is not None:
                raise self._broken
        if lane.closed or not lane.alive:
            return
        source = self._source(lane)
        async with (
            self._memory.hold(source.holds(ahead=1) + held(source.chunk)),
            aclosing(source.chunks(lane.position, ahead=1)) as chunks,
        ):
            async for chunk in chunks:
                async with self._news:
                    await self._news.wait_for(lambda: not lane.full)
                if not lane.alive:
                    return
                await lane.put(chunk)
        await lane.close()

    async def _let_go(self) -> None:
        """Wait until every attached lane has room for a chunk, but not for one that keeps others waiting."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as patience, self._news:
                while any(lane.full for lane in self._attached):
                    if not any(lane.dry for lane in self._attached):
                        patience.reschedule(None)
                    elif patience.when() is None:
                        patience.reschedule(loop.time() + PATIENCE)
                    await self._news.wait()
        except TimeoutError:
            slow = [lane.store for lane in self._attached if lane.full]
            log.info("slow sites go on by themselves", stores=slow)
            await self._set_attached([lane for lane in self._attached if not lane.full])

    async def _set_attached(self, lanes: list[Lane]) -> None:
        async with self._news:
            self._attached = lanes
            self._news.notify_all()
