"""What replaces a damaged copy, in the making: under a name of ours until it is whole and depends on nothing.

It is layered on the damaged image, with the damaged objects written anew from the hub: only these cross the line. Then
the site's manager flattens it. Where it can't be layered (no permission to give the manager orders, say), all data come
from the hub. Whatever a crash leaves of either, its digests tell what is still to be written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta

import structlog

from edgesync.domain.block_ports import Blocks, Reading, Writing
from edgesync.domain.blocks import Digests, Extent, digests_of
from edgesync.domain.image import ImageId, replacement_name
from edgesync.domain.store import StoreId
from edgesync.errors import NotFoundError, PermanentError, TransientError, UnreadableError
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import UPLOAD_AGAIN, SourceDamagedError
from edgesync.execute.rbd.throttle import pieces, take_all
from edgesync.execute.wording import ranges

log = structlog.get_logger(__name__)

# Seconds between two looks whether the manager has flattened the new image.
POLL = 2.0
# Of these looks, before the attempt is broken off, to be taken up later.
LOOKS = 1800


class Replacement:
    """The new image for one damaged copy."""

    def __init__(
        self,
        store: StoreId,
        image: ImageId,
        want: Digests,
        *,
        hub: Blocks,
        site: Blocks,
        resources: Resources,
        trash_delay: timedelta,
    ) -> None:
        self.name = replacement_name(image)
        # Bytes that came from the hub.
        self.sent = 0
        self._store = store
        self._image = image
        self._want = want
        self._hub = hub
        self._site = site
        self._resources = resources
        self._trash_delay = trash_delay

    async def ready(self) -> bool:
        """Whether an earlier try has completed it."""
        try:
            if await self._site.digests(self.name, self._want.block, snapshot=True) != self._want:
                return False
            if await self._site.parent(self.name) is not None:
                return False
            # Who took the snapshot may have died before it was protected.
            await self._site.seal(self.name)
        except NotFoundError:
            return False
        return True

    async def make(self) -> None:
        """Have it whole, free of the damaged image, and sealed. Raises what the sites raise.

        SourceDamagedError when the hub's data are no better.
        """
        try:
            left = await self._usable()
            if not left:
                await self._discard()
                await self._site.clone(self._image, self.name, object_size=await _object_size(self._site, self._image))
            await self._complete(left=left)
        except SourceDamagedError:
            raise
        except PermanentError as refusal:
            log.info("not layered, copied whole", image=self._image, store=self._store, why=refusal.message)
            await self._discard()
            async with self._hub.reading(self._image) as good:
                await self._site.create(self.name, good.layout)
            await self._complete(left=False)
        await self._site.seal(self.name)

    async def _discard(self) -> None:
        """Move what there is of it into the trash. ConflictError while somebody has it open."""
        with suppress(NotFoundError):
            await self._site.trash(self.name, delay=self._trash_delay)

    async def _usable(self) -> bool:
        """Whether what is there can be gone on with: unsealed, of that size, on top of the damaged image or of none."""
        try:
            parent = await self._site.parent(self.name)
        except NotFoundError:
            return False
        try:
            async with self._site.reading(self.name):
                return False
        except NotFoundError:
            pass
        have = await self._site.digests(self.name, self._want.block, snapshot=False)
        return have.size == self._want.size and (parent is None or parent.rpartition("/")[2] == self._image)

    async def _complete(self, *, left: bool) -> None:
        """`left`: an earlier try has begun it, and its writer, dead as it is, may still have it open."""
        if await self._at_work():
            # Its manager has it open, too, and must not be cut off.
            await self._flattened()
        if left:
            async with self._site.writing(self.name, take_over=True):
                pass
        await self._write(await self._lacking())
        if await self._site.parent(self.name) is not None:
            await self._site.flatten(self.name)
            await self._flattened()
        if lacking := await self._lacking():
            raise TransientError(
                f"what was written at {self._store} differs from the source: {ranges(lacking)}",
                remedy="it is written again; if that goes on, look at the site's OSDs and memory",
            )

    async def _lacking(self) -> list[Extent]:
        have = await self._site.digests(self.name, self._want.block, snapshot=False)
        return list(self._want.differing(have))

    # ---- data

    async def _write(self, lacking: list[Extent]) -> None:
        if not lacking:
            return
        async with self._hub.reading(self._image) as good, self._site.writing(self.name) as new:
            unit = max(new.layout.object_size, self._want.block)
            solid = await self._beneath(unit)
            for piece in _pieces(lacking, unit=unit, solid=solid, size=self._want.size):
                async with self._resources.memory.hold(piece.length):
                    await self._send(piece, good, new)

    async def _beneath(self, unit: int) -> Collection[int]:
        """The objects, by number, under which the damaged image has one."""
        if await self._site.parent(self.name) is None:
            return ()
        async with self._site.reading(self._image) as damaged:
            extents = await damaged.extents()
        return {index for extent in extents for index in range(extent.offset // unit, -(-extent.end // unit))}

    async def _send(self, piece: Extent, good: Reading, new: Writing) -> None:
        data = await self._read(piece, good)
        block = self._want.block
        first = piece.offset // block
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._resources.executor, digests_of, data, block)
        if found != self._want.values[first : first + len(found)]:
            raise SourceDamagedError(
                f"The data at the hub are damaged, too, between bytes {piece.offset} and {piece.end - 1}.",
                remedy=UPLOAD_AGAIN,
            )
        throttles = self._resources.lines.to(self._store)
        for _, length in pieces(piece.length, throttles):
            await take_all(throttles, length)
        await new.write(piece.offset, data)
        self.sent += piece.length

    async def _read(self, piece: Extent, good: Reading) -> bytes:
        """SourceDamagedError where the hub's disks have lost them: no reason to send all others."""
        try:
            return await good.read(piece.offset, piece.length)
        except UnreadableError as lost:
            raise SourceDamagedError(lost.message, remedy=UPLOAD_AGAIN) from lost

    # ---- the site's manager

    async def _at_work(self) -> bool:
        """Whether the manager is at it: it has it open until its task has ended.

        PermanentError where it takes no orders of ours, and so will not free the image of the damaged one.
        """
        try:
            return any(task.image == self.name for task in await self._site.tasks())
        except PermanentError:
            if await self._site.parent(self.name) is not None:
                raise
            return False

    async def _flattened(self) -> None:
        """Wait until it depends on nothing. TransientError when the manager has given up, or takes too long."""
        for _ in range(LOOKS):
            if await self._at_work():
                await self._resources.clock.sleep(POLL)
                continue
            if await self._site.parent(self.name) is None:
                return
            raise TransientError(
                f"the manager of {self._store} has given up flattening {self.name}",
                remedy="it is asked again; if that goes on, look at the log of the ceph-mgr there",
            )
        raise TransientError(
            f"the manager of {self._store} has not flattened {self.name} in {LOOKS * POLL / 60:g} minutes",
            remedy="look at `ceph rbd task list` there",
        )


async def _object_size(site: Blocks, image: ImageId) -> int:
    async with site.reading(image) as damaged:
        return damaged.layout.object_size


def _pieces(lacking: Iterable[Extent], *, unit: int, solid: Collection[int], size: int) -> Iterator[Extent]:
    """What is written: whole objects where something lies beneath, so that nothing of it is fetched.

    Over a hole only what lacks: zeros that are there already are not stored.
    """
    last = -1
    for extent in lacking:
        for index in range(extent.offset // unit, -(-extent.end // unit)):
            start, end = index * unit, min((index + 1) * unit, size)
            if index not in solid:
                offset = max(start, extent.offset)
                yield Extent(offset=offset, length=min(end, extent.end) - offset)
            elif index != last:
                yield Extent(offset=start, length=end - start)
            last = index
