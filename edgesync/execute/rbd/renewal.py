"""Makes a damaged copy good again, from the hub's and from what is good of it, while Glance's location stays.

A snapshot can't be written to. So a new image is layered on the damaged one, with the damaged objects written anew from
the hub: only these cross the line. It is flattened in the site by its manager, so that nothing of it depends on the
damaged one, compared, sealed, and swapped in by two renames; between them, for a moment, the copy can't be opened.
Disks that were cloned from the damaged image stay on it: they are never broken, but they may show its damage.

Where it can't be layered (no permission to give the manager orders, say), all data come from the hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from edgesync.domain.block_ports import Blocks, Reading, Writing
from edgesync.domain.blocks import Digests, Extent, Layout, digests_of, of_zeros, widened
from edgesync.domain.image import ImageId, temporary_name
from edgesync.domain.ports import Clock, Cluster
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, PermanentError, TransientError
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import CHUNK, SourceDamagedError
from edgesync.execute.rbd.throttle import pieces, take_all

log = structlog.get_logger(__name__)

# Seconds between two looks whether the manager has flattened the new image.
POLL = 2.0
# Of these looks, before the attempt is broken off, to be taken up later.
LOOKS = 1800


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewed:
    """What was done."""

    # Bytes that came from the hub.
    sent: int
    # Where the damaged image is kept because of its clones, and which these are; empty: it is in the trash.
    kept: str = ""
    clones: tuple[str, ...] = ()


class Renewal:
    """One damaged copy. Whatever a crash leaves of this, looking again tells where to go on."""

    def __init__(
        self,
        store: StoreId,
        image: ImageId,
        want: Digests,
        *,
        hub: Blocks,
        site: Blocks,
        cluster: Cluster,
        resources: Resources,
        clock: Clock,
        trash_delay: timedelta,
    ) -> None:
        self._store = store
        self._image = image
        self._want = want
        self._hub = hub
        self._site = site
        self._cluster = cluster
        self._resources = resources
        self._clock = clock
        self._trash_delay = trash_delay
        self._temporary = temporary_name(image)
        self._sent = 0

    async def run(self) -> Renewed:
        """Raises what the sites raise, and SourceDamagedError when the hub's data are no better."""
        if not await self._good(self._image, snapshot=True):
            if not await self._ready():
                await self._make()
            await self._swap()
        return await self._put_away()

    # ---- the new image

    async def _make(self) -> None:
        try:
            await self._write(await self._layered())
            await self._flatten()
        except PermanentError as refusal:
            if isinstance(refusal, SourceDamagedError):
                raise
            log.info("not layered, copied whole", image=self._image, store=self._store, why=refusal.message)
            await self._discard()
            await self._write(await self._blank())
        if not await self._good(self._temporary, snapshot=False):
            raise TransientError(
                f"what was written at {self._store} differs from the source",
                remedy="it is written again; if that goes on, look at the site's OSDs and memory",
            )
        await self._site.seal(self._temporary)

    async def _layered(self) -> Digests:
        """A new image on top of the damaged one, or what an earlier try has left of it; what it shows now."""
        async with self._site.reading(self._image) as damaged:
            layout = damaged.layout
        if not await self._is_clone():
            await self._discard()
            await self._site.clone(self._image, self._temporary, object_size=layout.object_size)
        return await self._site.digests(self._temporary, self._want.block, snapshot=False)

    async def _blank(self) -> Digests:
        async with self._hub.reading(self._image) as good:
            layout: Layout = good.layout
        await self._site.create(self._temporary, layout)
        return of_zeros(layout.size, self._want.block)

    async def _write(self, have: Digests) -> None:
        """Write what differs: of a clone whole objects, so that nothing of them is fetched from beneath."""
        async with self._hub.reading(self._image) as good, self._site.writing(self._temporary) as new:
            unit = max(new.layout.object_size, self._want.block)
            for extent in widened(self._want.differing(have), unit=unit, size=self._want.size):
                for start in range(extent.offset, extent.end, unit):
                    piece = Extent(offset=start, length=min(unit, extent.end - start))
                    async with self._resources.memory.hold(piece.length):
                        await self._send(piece, good, new)

    async def _send(self, piece: Extent, good: Reading, new: Writing) -> None:
        parts = [
            await good.read(start, min(CHUNK, piece.end - start)) for start in range(piece.offset, piece.end, CHUNK)
        ]
        data = b"".join(parts)
        block = self._want.block
        first = piece.offset // block
        if digests_of(data, block) != self._want.values[first : first + -(-piece.length // block)]:
            raise SourceDamagedError(
                f"The data at the hub are damaged, too, between bytes {piece.offset} and {piece.end - 1}.",
                remedy="Upload the image again, or bring it back from a site whose copy is good.",
            )
        throttles = self._resources.lines.to(self._store)
        for _, length in pieces(piece.length, throttles):
            await take_all(throttles, length)
        await new.write(piece.offset, data)
        self._sent += piece.length

    async def _flatten(self) -> None:
        await self._site.flatten(self._temporary)
        for _ in range(LOOKS):
            if await self._site.parent(self._temporary) is None:
                return
            await self._clock.sleep(POLL)
        raise TransientError(
            f"the manager of {self._store} has not flattened {self._temporary} in {LOOKS * POLL / 60:g} minutes",
            remedy="look at `ceph rbd task list` there",
        )

    # ---- names

    async def _swap(self) -> None:
        """The damaged image's name for the new one. A crash between the two is made good by doing both again."""
        try:
            rbd = await self._cluster.inspect(self._image)
        except NotFoundError:
            log.info("the damaged image was moved aside before", image=self._image, store=self._store)
        else:
            await self._site.rename(self._image, f"{self._aside}{rbd.id}")
        await self._site.rename(self._temporary, self._image)

    async def _put_away(self) -> Renewed:
        """The damaged images into the trash; those that have clones stay under the names that they have now."""
        kept: list[str] = []
        clones: list[str] = []
        for name in sorted(await self._cluster.names()):
            if not name.startswith(self._aside):
                continue
            try:
                await self._site.trash(name, delay=self._trash_delay)
            except ConflictError as refusal:
                children = await self._site.children(name)
                if not children:
                    # Somebody has it open: that ends, or a person looks.
                    raise TransientError(refusal.message, remedy=refusal.remedy) from refusal
                kept.append(name)
                clones.extend(children)
        return Renewed(sent=self._sent, kept=", ".join(kept), clones=tuple(clones))

    @property
    def _aside(self) -> str:
        """How the names begin under which damaged images of this copy are kept."""
        return f"{self._image}.damaged."

    # ---- what is there

    async def _ready(self) -> bool:
        """Whether an earlier try has completed the new image."""
        return await self._good(self._temporary, snapshot=True) and await self._site.parent(self._temporary) is None

    async def _good(self, name: str, *, snapshot: bool) -> bool:
        try:
            return await self._site.digests(name, self._want.block, snapshot=snapshot) == self._want
        except NotFoundError:
            return False

    async def _is_clone(self) -> bool:
        """Whether what is there under our name is layered on the damaged image, and can be written to."""
        try:
            parent = await self._site.parent(self._temporary)
        except NotFoundError:
            return False
        if parent is None or parent.rpartition("/")[2] != self._image:
            return False
        try:
            async with self._site.reading(self._temporary):
                return False
        except NotFoundError:
            return True

    async def _discard(self) -> None:
        try:
            await self._site.trash(self._temporary, delay=self._trash_delay)
        except NotFoundError:
            return
