"""One read feeds all sites, and none of them waits for another.

The chunks of one reading go to every lane that is ready when it begins. Where a lane's window is full while another has
run dry, the slow one is let go: it finishes on reads of its own, and the others get on. So does one that comes late.

However many lanes there are, and whatever each of them lacks, they hold no more than `MOST` chunks together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import structlog

from edgesync.execute.rbd.lane import WINDOW, WRITERS, Lane, held
from edgesync.execute.rbd.memory import Memory
from edgesync.execute.rbd.source import AHEAD, Chunk, Source

log = structlog.get_logger(__name__)

# Seconds that others may run dry before a full lane is let go.
PATIENCE = 1.0
# Chunks of one reading that wait or are being written, at all sites together: while one site hangs with what it writes,
# there are enough for another.
MOST = WINDOW + 2 * WRITERS


class Spread:
    """The reading of one snapshot for several images."""

    def __init__(self, source: Callable[[Lane], Source], *, memory: Memory, news: asyncio.Condition) -> None:
        """`source` makes a reader for one lane alone; `news` is what all lanes tell of changes."""
        self._source = source
        self._memory = memory
        self._news = news
        self._attached: list[Lane] = []
        # Those that were let go, with what they still wrote then.
        self._parted: dict[Lane, set[int]] = {}
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
                    await self._room()
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
        lane.give_back()
        self._parted.pop(lane, None)
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

    async def _room(self) -> None:
        """Wait until one more chunk may be handed over, but not for lanes that keep others waiting."""
        while not await self._patience():
            slow = self._slow()
            log.info("slow sites go on by themselves", stores=[lane.store for lane in slow])
            for lane in slow:
                lane.give_back()
                self._parted[lane] = lane.holding
            await self._set_attached([lane for lane in self._attached if lane not in slow])

    async def _patience(self) -> bool:
        """True once there is room; False when others have run dry for too long meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as patience, self._news:
                while self._attached and (self._held() >= MOST or any(lane.full for lane in self._attached)):
                    if not any(lane.dry for lane in self._attached):
                        patience.reschedule(None)
                    elif patience.when() is None:
                        patience.reschedule(loop.time() + PATIENCE)
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _slow(self) -> list[Lane]:
        """The lanes that are full; where none is, those with the oldest chunk."""
        if full := [lane for lane in self._attached if lane.full]:
            return full
        oldest = {lane: min(lane.holding) for lane in self._attached if lane.holding}
        return [lane for lane in oldest if oldest[lane] == min(oldest.values())]

    def _held(self) -> int:
        """Different chunks of this reading that are in memory."""
        held = {offset for lane in self._attached for offset in lane.holding}
        return len(held.union(*(left & lane.holding for lane, left in self._parted.items())))

    async def _set_attached(self, lanes: list[Lane]) -> None:
        async with self._news:
            self._attached = lanes
            self._news.notify_all()
