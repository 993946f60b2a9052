"""How much the rbd engine will send for copies that are to start, and on top of what: for `plan` and dry runs.

The engine's own choice, made with what the journal knows: nothing is read at the hub for it. Of an image whose digests
nobody has taken yet, nothing can be said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from edgesync.domain.action import Start
from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Engine
from edgesync.domain.ports import Clock, Cluster, Journal
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.execute.rbd.bases import Bases, Shelf
from edgesync.execute.rbd.lines import Lines
from edgesync.execute.rbd.original import promise_of
from edgesync.execute.tuning import Tuning
from edgesync.plan.layering import Layering

log = structlog.get_logger(__name__)

# Seconds for all of it. Whoever asked is told the rest without bytes.
PATIENCE = 10.0
Ways = Mapping[tuple[ImageId, StoreId], Layering]


class Remembered:
    """The digests that the journal has of the very data that Glance tells of."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def digests(self, image: Image) -> Digests:
        """NotFoundError where there are none."""
        known = promise_of(image).kept_by(await self._journal.digests(image.id))
        if known is None:
            raise NotFoundError(f"nobody has taken the digests of image {image.id} yet")
        return known


class Forecast:
    """Looks at the sites, and changes nothing."""

    def __init__(
        self,
        journal: Journal,
        clusters: Mapping[StoreId, Cluster],
        blocks: Mapping[StoreId, Blocks],
        tuning: Tuning,
        clock: Clock,
        *,
        hub: StoreId,
    ) -> None:
        self._journal = journal
        self._clusters = clusters
        self._blocks = blocks
        self._tuning = tuning
        self._hub = hub
        self._remembered = Remembered(journal)
        self._lines = Lines(lambda store: tuning.allowed(store, clock.now()))

    async def of(self, starts: Iterable[Start], images: Mapping[ImageId, Image]) -> Ways:
        """Those of the copies of which it can be told within some seconds."""
        found: dict[tuple[ImageId, StoreId], Layering] = {}
        moved = [start for start in starts if start.engine is Engine.RBD and start.image in images]
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(self._of(start, images, found) for start in moved))
        except TimeoutError:
            log.info("not all could be told how much is sent", told=len(found))
        return found

    async def _of(
        self, start: Start, images: Mapping[ImageId, Image], found: dict[tuple[ImageId, StoreId], Layering]
    ) -> None:
        image = images[start.image]
        bases = Bases(image, self._shelf(images), self._journal, self._remembered)
        try:
            new = await self._remembered.digests(image)
            await bases.find_parent()
        except EdgesyncError as unknown:
            log.debug("cannot tell how much is sent", image=image.id, why=unknown.message)
            return
        for store in start.stores:
            found[image.id, store] = await bases.choose(store, new, rate=self._lines.rate(store))

    def _shelf(self, images: Mapping[ImageId, Image]) -> Shelf:
        return Shelf(
            images=images,
            clusters=self._clusters,
            blocks=self._blocks,
            hub=self._hub,
            rules=self._tuning.layering,
        )
