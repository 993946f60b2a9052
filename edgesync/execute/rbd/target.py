"""One site's copy in the making, under a name of ours until it is complete.

The steps: make the image, have a lane fill it, compare it with the source on the OSDs, take and protect its snapshot,
give it its name, register it with Glance. Whatever a crash leaves, looking again tells where to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests, Layout, of_zeros
from edgesync.domain.image import ImageId, temporary_name
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, TransientError
from edgesync.execute.rbd.source import CHUNK
from edgesync.execute.wording import ranges

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What a copy is layered on."""

    image: ImageId
    # Of the clone, in bytes.
    object_size: int
    # Bytes; None: the clone has the right size already.
    grow_to: int | None
    # What the clone holds then.
    held: Digests


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An image that is ready to be written to."""

    # What it reads as.
    have: Digests
    # Bytes: only whole objects are written, for it is a clone. 0: whatever differs.
    unit: int = 0


class Target:
    """The RBD side of one copy."""

    def __init__(self, store: StoreId, blocks: Blocks, image: ImageId, *, trash_delay: timedelta) -> None:
        self.store = store
        self.blocks = blocks
        self.image = image
        self.temporary = temporary_name(image)
        # Whether it has the image's own name already, and only lacks its registration.
        self.named = False
        self._trash_delay = trash_delay

    async def prepare(self, layout: Layout, block: int, known: Digests | None, base: Base | None = None) -> Prepared:
        """Make the image, on a base if there is one, or take up what an earlier attempt has left of it.

        `known`: what it has to hold in the end, if anybody can tell.
        """
        try:
            return await self._make(layout, block, base)
        except ConflictError:
            if (left := await self._left(layout, block, known)) is not None:
                return left
            await self._clear()
            return await self._make(layout, block, base)

    async def _make(self, layout: Layout, block: int, base: Base | None) -> Prepared:
        if base is None:
            await self.blocks.create(self.temporary, layout)
            return Prepared(have=of_zeros(layout.size, block))
        await self.blocks.clone(base.image, self.temporary, object_size=base.object_size)
        if base.grow_to is not None:
            await self.blocks.grow(self.temporary, base.grow_to)
        return Prepared(have=base.held, unit=base.object_size)

    async def _clear(self) -> None:
        """Make room for a new one. TransientError where that can't be, so that it is tried again after a rest."""
        try:
            await self.blocks.trash(self.temporary, delay=self._trash_delay)
        except NotFoundError:
            return
        except ConflictError as refusal:
            raise TransientError(refusal.message, remedy=refusal.remedy) from refusal

    async def _left(self, layout: Layout, block: int, known: Digests | None) -> Prepared | None:
        """What there is, if it can still be written to: it has that size, or can be given it, and no snapshot yet."""
        if await self._has_snapshot(self.temporary):
            # It may be newer than the last look: a call that did not answer in time was carried out all the same.
            return Prepared(have=known) if known is not None and await self.sealed(known) else None
        # Whoever left it may still hold its lock, dead as they are.
        async with self.blocks.writing(self.temporary, take_over=True) as image:
            found = image.layout
        layered = await self.blocks.parent(self.temporary) is not None
        if layered and found.object_size > CHUNK:
            # Its objects are larger than what is written at once: a renewal has left it.
            return None
        if layered and found.size < layout.size:
            # Who has made it died before it had its size.
            await self.blocks.grow(self.temporary, layout.size)
        elif found.size != layout.size:
            return None
        have = await self.blocks.digests(self.temporary, block, snapshot=False)
        return Prepared(have=have, unit=found.object_size if layered else 0)

    async def sealed(self, want: Digests) -> bool:
        """Whether an earlier attempt has completed the image, but for its name or its registration."""
        try:
            name = self.image if self.named else self.temporary
            if await self.blocks.digests(name, want.block, snapshot=True) != want:
                return False
            # Who took the snapshot may have died before it was protected. The image's own name others use, too.
            await self.blocks.seal(name, take_over=not self.named)
        except NotFoundError:
            return False
        return True

    async def check(self, want: Digests) -> None:
        """Compare what was written with the source; TransientError when they differ: the next attempt mends it."""
        have = await self.blocks.digests(self.temporary, want.block, snapshot=False)
        if damaged := list(want.differing(have)):
            raise TransientError(
                f"what was written at {self.store} differs from the source: {ranges(damaged)}",
                remedy="it is written again; if that goes on, look at the site's OSDs and memory",
            )
        await self.blocks.seal(self.temporary)

    async def tidy(self) -> None:
        """Who made it before may have died in the middle of making an image, or of a rename."""
        await self.blocks.tidy(self.temporary, self.image)

    async def begun(self) -> bool:
        """Whether the site has an image under our name, whatever has become of it so far. One call."""
        try:
            await self.blocks.parent(self.temporary)
        except NotFoundError:
            return False
        return True

    async def has_name(self) -> bool:
        """Whether a complete image has the image's own name, whosesoever: half a copy of Glance's has no snapshot."""
        return await self._has_snapshot(self.image)

    async def name(self) -> None:
        """Give it the name that Glance, Nova and Cinder look for; ConflictError when there is one of that name."""
        if not self.named:
            await self.blocks.rename(self.temporary, self.image)
            self.named = True

    async def unname(self) -> None:
        """Take that back: a copy that Glance doesn't know must not be in the way of its own.

        ConflictError when there is one under our name, too.
        """
        await self.blocks.rename(self.image, self.temporary)
        self.named = False

    async def location(self) -> str:
        """What Glance's own driver would write down for the copy."""
        return await self.blocks.location(self.image)

    async def _has_snapshot(self, name: str) -> bool:
        try:
            async with self.blocks.reading(name):
                return True
        except NotFoundError:
            return False

    async def discard(self) -> None:
        """Move what there is under our name into the trash."""
        try:
            await self.blocks.trash(self.temporary, delay=self._trash_delay)
        except NotFoundError:
            return
        except EdgesyncError as trouble:
            log.warning("leftover stays", image=self.temporary, store=self.store, why=trouble.message)
