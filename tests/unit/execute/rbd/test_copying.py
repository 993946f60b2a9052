"""One reading and the sites that wait for it: whatever ends it ends them, and with its own words."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from edgesync.domain.blocks import MIB, Digests
from edgesync.domain.image import Image, temporary_name
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import UnreachableError
from edgesync.execute.rbd.bases import Bases, Shelf
from edgesync.execute.rbd.copying import Copying
from edgesync.execute.rbd.lines import Lines
from edgesync.execute.rbd.memory import Memory
from edgesync.execute.rbd.original import Original
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import SourceDamagedError
from edgesync.execute.rbd.target import Target
from edgesync.plan.layering import LayeringRules
from tests.builders import CENTRAL, image
from tests.fakes.block_notes import BlockNotes
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import HandClock
from tests.unit.execute.rbd.disks import SIZE, digests
from tests.unit.execute.rbd.disks import image as data_of

# Seconds in which everything here is over, or hangs.
SOON = 20.0


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Nobody:
    """Where there are no related images, nobody asks what they hold."""

    async def digests(self, of: Image) -> Digests:
        raise AssertionError(of.id)


class Scene:
    """A hub with one image, and a site that shall get it."""

    def __init__(self, executor: Executor) -> None:
        self.clock = HandClock()
        self.data = data_of()
        self.image: Image = replace(image(), size=SIZE, hash_value=hashlib.sha512(self.data).hexdigest())
        self.hub = FakeBlocks(FakeCluster("central", clock=self.clock))
        self.site = FakeBlocks(FakeCluster("dcn0", clock=self.clock))
        self.hub.put(self.image.id, self.data)
        self.target = Target(StoreId("dcn0"), self.site, self.image.id, trash_delay=timedelta(hours=1))
        self.resources = Resources(
            lines=Lines(lambda _: None),
            spreads=Memory(64 * MIB),
            memory=Memory(64 * MIB),
            executor=executor,
            clock=self.clock,
        )

    @asynccontextmanager
    async def copying(self, *, known: Digests | None = None, sites: int = 1) -> AsyncIterator[Copying]:
        journal = cast("Journal", BlockNotes())
        original = Original(self.hub, journal, self.resources)
        shelf = Shelf(images={}, clusters={}, blocks={CENTRAL: self.hub}, hub=CENTRAL, rules=LayeringRules())

        async def tell(store: StoreId, way: str) -> None:
            raise AssertionError(f"{store}: {way}")

        async with self.hub.reading(self.image.id) as reading:
            yield Copying(
                self.image,
                reading,
                original,
                Bases(self.image, shelf, journal, Nobody()),
                sites=sites,
                tell=tell,
                known=known,
                resources=self.resources,
            )

    def hub_raises(self, error: Exception, *, at: int = 4) -> None:
        """At the read of that number."""
        reads = 0

        async def before(method: str, _: str) -> None:
            nonlocal reads
            reads += method == "read"
            if reads == at:
                raise error

        self.hub.before = before


@pytest.fixture
def scene(executor: Executor) -> Scene:
    return Scene(executor)


async def both(copying: Copying, target: Target) -> tuple[object, object]:
    """What became of the reading, and of the site."""
    async with asyncio.timeout(SOON):
        led, brought = await asyncio.gather(copying.lead(), copying.bring(target), return_exceptions=True)
    return led, brought


async def test_a_site_gets_what_the_hub_has(scene: Scene) -> None:
    async with scene.copying() as copying:
        assert await both(copying, scene.target) == (digests(scene.data), None)
    assert scene.site.data(scene.target.temporary) == scene.data


@pytest.mark.parametrize("error", [RuntimeError("a bug"), UnreachableError("the hub is gone")], ids=["bug", "silence"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_whatever_ends_the_reading_ends_the_site_with_that(scene: Scene, error: Exception, known: bool) -> None:
    scene.hub_raises(error)
    async with scene.copying(known=digests(scene.data) if known else None) as copying:
        assert await both(copying, scene.target) == (error, error)
    assert not scene.site.cluster.images[scene.target.temporary].watchers


async def test_a_reading_that_never_begins_ends_the_site_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("no such hash")

    def broken(_: object) -> None:
        raise error

    monkeypatch.setattr("edgesync.execute.rbd.original.Promise.hasher", broken)
    async with scene.copying() as copying:
        assert await both(copying, scene.target) == (error, error)


async def test_a_site_that_hangs_hears_of_it_at_once(scene: Scene) -> None:
    """Its write never ends."""
    hanging = asyncio.Event()

    async def before(method: str, _: str) -> None:
        if method == "write":
            hanging.set()
            await asyncio.get_running_loop().create_future()

    scene.site.before = before
    error = UnreachableError("the hub is gone")
    scene.hub_raises(error)
    async with scene.copying() as copying:
        assert await both(copying, scene.target) == (error, error)
    assert hanging.is_set()


async def test_a_site_that_comes_when_it_has_broken_hears_of_it(scene: Scene) -> None:
    error = UnreachableError("the hub is gone")
    scene.hub_raises(error)
    async with scene.copying() as copying, asyncio.timeout(SOON):
        await both(copying, scene.target)
        with pytest.raises(UnreachableError, match="the hub is gone"):
            await copying.bring(scene.target)


async def test_a_mistake_at_one_site_leaves_the_others_what_they_need(scene: Scene) -> None:
    """A writer that breaks off in an unforeseen way is out, and the reading goes on."""
    other = FakeBlocks(FakeCluster("dcn1", clock=scene.clock))
    target = Target(StoreId("dcn1"), other, scene.image.id, trash_delay=timedelta(hours=1))

    async def before(method: str, _: str) -> None:
        if method == "write":
            raise RuntimeError("a bug")

    scene.site.before = before
    async with scene.copying(sites=2) as copying, asyncio.timeout(SOON):
        led, bad, good = await asyncio.gather(
            copying.lead(), copying.bring(scene.target), copying.bring(target), return_exceptions=True
        )
    assert led == digests(scene.data)
    assert isinstance(bad, ExceptionGroup)
    assert good is None
    assert other.data(temporary_name(scene.image.id)) == scene.data


async def test_data_that_have_changed_since_they_were_known_are_not_spread(scene: Scene) -> None:
    known = digests(scene.data)
    scene.hub.contents(scene.image.id).corrupt(9 * MIB + 64 * 1024)
    async with scene.copying(known=known) as copying:
        led, brought = await both(copying, scene.target)
    assert isinstance(led, SourceDamagedError)
    assert brought is led
    assert not scene.site.cluster.images[scene.target.temporary].snapshot
