"""The blocks of one image on their way: read once, written at every site, compared, sealed.

Each site goes its way in a task of its own, and what fails there stays there. Only the source is shared: its digests,
with which every copy is compared, and its hash, without which none is worth anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Never, TypeVar

from edgesync.domain.block_ports import Reading
from edgesync.domain.blocks import Digests, block_size
from edgesync.domain.image import Image
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.bases import Bases
from edgesync.execute.rbd.lane import Lane
from edgesync.execute.rbd.original import Original, promise_of
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import AHEAD, Hasher, Source, Wanted
from edgesync.execute.rbd.spread import MOST, Spread
from edgesync.execute.rbd.target import Base, Target
from edgesync.plan.changes import held
from edgesync.plan.layering import FullCopy

T = TypeVar("T")

# Seconds that the reading waits for further sites to get ready, once one is.
GATHER = 1.0


class Copying:
    """One reading of one image, and the lanes it feeds."""

    def __init__(
        self,
        image: Image,
        reading: Reading,
        original: Original,
        bases: Bases,
        *,
        sites: int,
        tell: Callable[[StoreId, str], Awaitable[None]],
        known: Digests | None,
        resources: Resources,
    ) -> None:
        """`tell` is told how the copy to a site is made, where there was a choice.

        `known`: the digests of the very data that Glance's hash is about; None: they are taken on the way.

        Then they are kept before any site goes on with them: after a crash nothing is read again.
        """
        self._image = image
        self._original = original
        self._bases = bases
        self._reading = reading
        self._promise = promise_of(image)
        self._sites = sites
        self._tell = tell
        self._known = known
        self._resources = resources
        self._block = block_size(reading.layout.size)
        self._news = asyncio.Condition()
        self._spread = Spread(self._alone, memory=resources.memory, news=self._news)
        self._digests: asyncio.Future[Digests] = asyncio.get_running_loop().create_future()
        # Why nothing more comes of the source.
        self._broken: asyncio.Future[Never] = asyncio.get_running_loop().create_future()
        self._first = asyncio.Event()
        self._all = asyncio.Event()
        # Sites that read, or are out.
        self._ready: set[StoreId] = set()
        self.lanes: dict[StoreId, Lane] = {}
        if known is not None:
            self._digests.set_result(known)

    @property
    def broken(self) -> bool:
        """Nothing more comes of the source."""
        return self._broken.done()

    async def lead(self) -> Digests:
        """Read for all sites; the digests, once they are sure to be those of what was uploaded.

        SourceDamagedError, or what reading raises: every site that waits for the source gets that, too, at once.
        """
        try:
            await self._first.wait()
            await self._gathered()
            return await self._read()
        except Exception as error:
            # Of whatever class: nobody else tells those who wait for data that never come.
            self._broken.set_exception(error)
            # Somebody may wait for it, or nobody.
            self._broken.exception()
            raise

    async def bring(self, target: Target) -> None:
        """Have a site's image hold the source's data, and seal it.

        Raises what the site raises, or what the source does: that at once, whatever the site is waiting for.
        """
        try:
            if self._known is not None and await target.sealed(self._known):
                return
            if target.named:
                # Not these data, or nobody can tell: that name is no place to make it good.
                await target.unname()
            want = await self._unless_broken(self._filled(target))
        finally:
            self.without(target.store)
        await target.check(want)

    def without(self, store: StoreId) -> None:
        """A site needs nothing (more): nobody waits for it."""
        self._arrived(store)

    async def _filled(self, target: Target) -> Digests:
        """Write what a site's image lacks; the digests that it has to have now."""
        base = await self._base(target.store)
        prepared = await target.prepare(self._reading.layout, self._block, self._known, base)
        async with target.blocks.writing(target.temporary) as writing:
            lane = Lane(
                target.store,
                writing,
                prepared.have,
                unit=prepared.unit,
                news=self._news,
                throttles=self._resources.lines.to(target.store),
            )
            self.lanes[target.store] = lane
            await self._fill(lane)
        return await asyncio.shield(self._digests)

    async def _unless_broken(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result, unless the source breaks before."""
        working = asyncio.create_task(work)
        either: set[asyncio.Future[Any]] = {working, self._broken}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else self._broken.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _base(self, store: StoreId) -> Base | None:
        """What the copy there is layered on; None: nothing that is known to be worth it."""
        if self._known is None or not self._bases.kin(store):
            return None
        layering = await self._bases.choose(store, self._known, rate=self._resources.lines.rate(store))
        await self._tell(store, layering.why)
        if isinstance(layering, FullCopy):
            return None
        base = layering.base.image
        return Base(
            image=base,
            object_size=layering.object_size,
            grow_to=layering.grow_to,
            held=held(self._known, self._bases.digests(base)),
        )

    async def _fill(self, lane: Lane) -> None:
        # Before anybody hears of it: who reads may begin at once.
        self._spread.join(lane)
        feeding = asyncio.create_task(self._spread.feed(lane))
        self._first.set()
        self._arrived(lane.store)
        serving = asyncio.create_task(lane.serve())
        try:
            await asyncio.gather(feeding, serving)
        finally:
            for task in (feeding, serving):
                task.cancel()
            await asyncio.gather(feeding, serving, return_exceptions=True)
            await self._spread.leave(lane)
        if lane.error is not None:
            raise lane.error

    def _arrived(self, store: StoreId) -> None:
        self._ready.add(store)
        if len(self._ready) == self._sites:
            self._all.set()

    async def _gathered(self) -> None:
        """Wait for all sites to get ready, but not for long."""
        waits = [asyncio.create_task(self._all.wait()), asyncio.create_task(self._resources.clock.sleep(GATHER))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _read(self) -> Digests:
        hasher = self._promise.hasher() if self._known is None else None
        source = self._source(hasher=hasher, wanted=self._spread.wanted)
        async with self._resources.spreads.hold(source.holds(AHEAD) + MOST * source.chunk):
            await self._spread.lead(source, ahead=AHEAD)
        self._promise.check(hasher)
        if self._known is None:
            await self._original.keep(self._image, source.digests)
            # From now on known: who begins again after a cut finds what is complete.
            self._known = source.digests
            self._digests.set_result(source.digests)
        return source.digests

    def _alone(self, lane: Lane) -> Source:
        return self._source(wanted=lane.lacks)

    def _source(self, *, wanted: Wanted, hasher: Hasher | None = None) -> Source:
        return Source(
            self._reading,
            block=self._block,
            executor=self._resources.executor,
            hasher=hasher,
            known=self._known,
            wanted=wanted,
        )
