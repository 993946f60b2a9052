"""Finds out what a new image can be layered on at a site: related images that are there, and what they hold.

Only next of kin are compared: strangers rarely share blocks at equal places, and each that is not known yet has to be
read once at the hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests, block_size
from edgesync.domain.image import Image, ImageId
from edgesync.domain.ports import Cluster, Journal
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.plan.kinship import Kinship, kinship
from edgesync.plan.layering import Candidate, Comparisons, FullCopy, Layered, LayeringRules, choose, shortlist

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """Where bases are looked for."""

    # What Glance lists.
    images: Mapping[ImageId, Image]
    clusters: Mapping[StoreId, Cluster]
    blocks: Mapping[StoreId, Blocks]
    hub: StoreId
    rules: LayeringRules


class Digested(Protocol):
    """Who knows what images hold; the `Reference` does, of those at the hub."""

    async def digests(self, image: Image) -> Digests:
        """NotFoundError where there are none, or what looking raises."""
        ...


class Bases:
    """For one new image."""

    def __init__(self, image: Image, shelf: Shelf, journal: Journal, reference: Digested) -> None:
        self._image = image
        self._shelf = shelf
        self._journal = journal
        self._reference = reference
        self._parent: ImageId | None = None
        self._known: dict[ImageId, Digests] = {}
        self._comparisons: Comparisons | None = None
        # Several sites ask for the same bases: each is read once, and one at a time.
        self._reading = asyncio.Lock()

    async def find_parent(self) -> None:
        """See what the image is a clone of at the hub: its next of kin. Raises what the hub's cluster raises."""
        if not self._shelf.rules.max_depth:
            return
        parent = await self._shelf.blocks[self._shelf.hub].parent(self._image.id)
        self._parent = ImageId(parent.rpartition("/")[2]) if parent is not None else None

    def kin(self, store: StoreId) -> list[Image]:
        """Related images, none larger, whose copies are at the store and at the hub, the next of kin first."""
        if not self._shelf.rules.max_depth:
            return []
        found = [other for other in self._shelf.images.values() if self._related(other, store)]
        found.sort(key=lambda other: (self._kinship(other), -other.updated_at.timestamp(), other.id))
        return found[: self._shelf.rules.most_compared]

    def worth_reading_for(self, store: StoreId) -> bool:
        """Whether the image's digests can be compared with those of any kin there: of blocks of the same size."""
        block = block_size(self._image.size or 0)
        return any(block_size(other.size or 0) == block for other in self.kin(store))

    def digests(self, base: ImageId) -> Digests:
        """Of a base that was chosen."""
        return self._known[base]

    async def choose(self, store: StoreId, new: Digests, *, rate: float | None) -> Layered | FullCopy:
        """The way that sends least, or takes least time at a known rate (bytes per second)."""
        candidates = []
        for other in self.kin(store):
            try:
                candidates.append(await self._candidate(store, other))
            except EdgesyncError as trouble:
                log.info("not a base", image=self._image.id, base=other.id, store=store, why=trouble.message)
        for candidate in shortlist(new.size, candidates, self._shelf.rules):
            await self._learn(candidate)
        if self._comparisons is None or self._comparisons.new is not new:
            self._comparisons = Comparisons(new, self._known, self._shelf.rules)
        return choose(store, candidates, self._comparisons, rate=rate)

    def _related(self, other: Image, store: StoreId) -> bool:
        return (
            other.id != self._image.id
            and {store, self._shelf.hub} <= other.stores
            and other.active
            and 0 < (other.size or 0) <= (self._image.size or 0)
            and other.disk_format == self._image.disk_format
            and self._kinship(other) is not Kinship.STRANGER
        )

    def _kinship(self, other: Image) -> Kinship:
        return kinship(self._image, other, parent=self._parent)

    async def _candidate(self, store: StoreId, other: Image) -> Candidate:
        rbd = await self._shelf.clusters[store].inspect(other.id)
        async with self._shelf.blocks[store].reading(other.id) as reading:
            layout = reading.layout
        verification = (await self._journal.verifications(other.id)).get(store)
        return Candidate(
            image=other.id,
            name=other.name or other.id,
            size=layout.size,
            object_size=layout.object_size,
            depth=await self._depth(store, other.id),
            protected=rbd.protected,
            sound=verification is None or verification.sound,
            created_at=rbd.created_at,
            kinship=self._kinship(other),
        )

    async def _depth(self, store: StoreId, name: str) -> int:
        """Images below it in its chain, as far as that matters."""
        depth = 0
        while depth < self._shelf.rules.max_depth:
            parent = await self._shelf.blocks[store].parent(name)
            if parent is None:
                break
            depth += 1
            pool, _, name = parent.rpartition("/")
            if not pool:
                break
        return depth

    async def _learn(self, candidate: Candidate) -> None:
        """The base's digests, as the journal has them or its data at the hub tell."""
        base = self._shelf.images[candidate.image]
        try:
            async with self._reading:
                if base.id not in self._known:
                    self._known[base.id] = await self._reference.digests(base)
        except NotFoundError as gone:
            log.info("not a base", image=self._image.id, base=base.id, why=gone.message)
        except EdgesyncError as trouble:
            log.warning("cannot see what a base holds", base=base.id, why=trouble.message)
