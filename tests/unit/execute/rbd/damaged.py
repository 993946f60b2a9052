"""A hub and a site with one copy, which is damaged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB, Digests, digests_of
from edgesync.domain.image import ImageId, replacement_name
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.lines import Lines
from edgesync.execute.rbd.memory import Memory
from edgesync.execute.rbd.renewal import Renewal
from edgesync.execute.rbd.replacement import Replacement
from edgesync.execute.rbd.resources import Resources
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import HandClock
from tests.unit.execute.rbd.disks import image

IMAGE = ImageId("00000000-0000-4000-8000-000000000001")
NAME = replacement_name(IMAGE)
OBJECT = MIB
# Three objects of data, one with nothing but one block, one of zeros; the last one short.
DATA = image(3 * OBJECT) + b"x" * 64 * KIB + bytes(2 * OBJECT - 64 * KIB) + image(OBJECT // 2 + 7)

WANT = Digests(size=len(DATA), block=64 * KIB, values=digests_of(DATA, 64 * KIB))


@dataclass(kw_only=True)
class Scene:
    """A hub, and a site whose copy is damaged in its second object."""

    clock: HandClock = field(default_factory=HandClock)
    memory: Memory = field(default_factory=lambda: Memory(OBJECT))

    def __post_init__(self) -> None:
        self.hub, self.site = self._pool("central"), self._pool("dcn0")
        for pool in (self.hub, self.site):
            pool.put(IMAGE, DATA, object_size=OBJECT)
        self.site.contents(IMAGE).corrupt(OBJECT + 5)

    def _pool(self, store: str) -> FakeBlocks:
        return FakeBlocks(FakeCluster(store, clock=self.clock))

    def new(self) -> Replacement:
        return Replacement(
            StoreId("dcn0"),
            IMAGE,
            WANT,
            hub=cast("Blocks", self.hub),
            site=cast("Blocks", self.site),
            resources=self._resources(),
            trash_delay=timedelta(days=1),
        )

    def renewal(self, obstacle: Callable[[], Awaitable[str]]) -> Renewal:
        return Renewal(
            StoreId("dcn0"),
            IMAGE,
            hub=cast("Blocks", self.hub),
            site=cast("Blocks", self.site),
            cluster=self.site.cluster,
            resources=self._resources(),
            trash_delay=timedelta(days=1),
            obstacle=obstacle,
        )

    def _resources(self) -> Resources:
        return Resources(
            lines=Lines(lambda _: None),
            spreads=self.memory,
            memory=self.memory,
            executor=ThreadPoolExecutor(1),
            clock=self.clock,
        )

    @property
    def sent(self) -> int:
        return sum(sent.length for sent in self.site.sent)

    def manage(self) -> None:
        """The manager does what it is told within a second, again and again."""
        self.site.flatten_now()
        self.clock.after(1, self.manage)

    def good(self, name: str = NAME) -> None:
        assert self.site.data(name) == DATA
        found = self.site.cluster.images[name]
        assert found.snapshot
        assert found.protected
        assert self.site.contents(name).parent is None
