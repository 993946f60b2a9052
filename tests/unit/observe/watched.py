"""A cloud of a few sites for tests of the watch: pools, a Glance and a journal reduced to what the watch asks them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import cast

from edgesync.domain.blocks import Verification
from edgesync.domain.image import Image, ImageId, ImportTask, TaskId, TaskStatus
from edgesync.domain.job import EventKind
from edgesync.domain.ports import Glance, Journal
from edgesync.domain.site import BreakerState, Finding
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.observe.auditing import AuditRules
from edgesync.observe.probing import ProbeRules
from edgesync.observe.sites import Sites
from edgesync.plan.breaker import BreakerRules
from tests.builders import CENTRAL, image, topology
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock

DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
PROBES = ProbeRules(every=10, deadline=5, breaker=BreakerRules(failures=3, first=10, ceiling=300))
AUDIT = AuditRules(every=3600, grace=900, quick=60)


class Shelf:
    """As much of Glance as the watch asks for."""

    def __init__(self) -> None:
        self.images: dict[ImageId, Image] = {}
        self.held: dict[ImageId, tuple[ImportTask, ...]] = {}
        self.trouble: dict[ImageId, EdgesyncError] = {}
        self.shown: list[ImageId] = []

    async def image(self, wanted: ImageId) -> Image:
        self.shown.append(wanted)
        await asyncio.sleep(0)
        if wanted in self.trouble:
            raise self.trouble[wanted]
        if wanted not in self.images:
            raise NotFoundError(f"There is no image {wanted}.")
        return self.images[wanted]

    async def tasks(self, wanted: ImageId) -> tuple[ImportTask, ...]:
        await asyncio.sleep(0)
        return self.held.get(wanted, ())


class Diary:
    """As much of the journal."""

    def __init__(self) -> None:
        self.copies: set[tuple[ImageId, StoreId]] = set()
        self.verifications: dict[tuple[ImageId, StoreId], Verification] = {}

    async def attempted(self, copies: Collection[tuple[ImageId, StoreId]]) -> frozenset[tuple[ImageId, StoreId]]:
        await asyncio.sleep(0)
        return frozenset(self.copies.intersection(copies))

    async def verified(self, store: StoreId) -> Mapping[ImageId, Verification]:
        return {image: found for (image, at), found in self.verifications.items() if at == store}

    async def add_verification(self, image: ImageId, store: StoreId, verification: Verification) -> None:
        self.verifications[image, store] = verification


class Cloud:
    """Central and some edges, the images Glance has, and the watch over them."""

    def __init__(self, *edges: str, clusters: Mapping[StoreId, FakeCluster] | None = None) -> None:
        self.clock = VirtualClock()
        self.glance = Shelf()
        self.journal = Diary()
        names = ("central", *(edges or ("dcn0", "dcn1")))
        self.stores = tuple(StoreId(name) for name in names)
        self.topology = topology(*names[1:])
        self.pools = clusters or {store: FakeCluster(store, clock=self.clock) for store in self.stores}
        self.sites = Sites(
            self.pools,
            self.clock,
            cast("Journal", self.journal),
            cast("Glance", self.glance),
            probes=PROBES,
            audit=AUDIT,
            rng=lambda: 0.0,
        )

    def image(self, number: int, *stores: StoreId, status: str = "active", size: int = 2**30) -> ImageId:
        """An image with good copies in these stores (central, if none is named), made a day ago."""
        there = stores or (CENTRAL,)
        name = ident(number)
        shown = replace(image(f"image-{number}", stores=there, status=status, size=size), id=name)
        self.glance.images[name] = shown
        for offset, store in enumerate(there):
            made = self.clock.now() - timedelta(days=1, minutes=-offset)
            self.pools[store].put(name, size, created_at=made)
        return name

    def change(self, name: ImageId, **fields: object) -> None:
        self.glance.images[name] = replace(self.glance.images[name], **fields)  # type: ignore[arg-type]

    def lock(self, name: ImageId, *stores: StoreId, idle: float = 0) -> None:
        """An import into these stores holds the image; its task was last updated so many seconds ago."""
        task = ImportTask(
            id=TaskId("import"),
            status=TaskStatus.PROCESSING,
            message="",
            stores=stores,
            created_at=self.clock.now() - timedelta(days=1),
            updated_at=self.clock.now() - timedelta(seconds=idle),
        )
        self.glance.held[name] = (task,)
        self.change(name, lock=task.id, importing_to=frozenset(stores))

    def leave(self, name: ImageId, store: StoreId, *, age: float = 7200) -> None:
        """Half a copy that a crash left behind."""
        self.pools[store].put_partial(name).created_at = self.clock.now() - timedelta(seconds=age)

    def see(self) -> None:
        self.sites.see(self.glance.images, self.topology)

    async def audited(self) -> None:
        """Start, and audit every site that answers."""
        self.see()
        await self.sites.first(audit=True)

    def state(self, store: StoreId) -> BreakerState:
        return self.sites.sites([store])[store].breaker.state

    def findings(self, store: StoreId) -> dict[ImageId, Finding]:
        return dict(self.sites.sites([store])[store].findings)

    def told(self) -> list[tuple[EventKind, str | None]]:
        """The events since this was last asked."""
        return [(event.kind, event.store) for event in self.sites.events()]


def ident(number: int) -> ImageId:
    return ImageId(f"{number:08x}-0000-4000-8000-000000000000")


@asynccontextmanager
async def watched(cloud: Cloud) -> AsyncIterator[Cloud]:
    """Nothing is left running afterwards."""
    before = asyncio.all_tasks()
    try:
        yield cloud
    finally:
        await cloud.sites.close()
        left = asyncio.all_tasks() - before
        assert not left, f"still running: {left}"
