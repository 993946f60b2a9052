"""What copies are compared with is read at the hub once, at the pace that is wanted, and not in vain a second time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import cast

import pytest

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import MIB, Digests
from edgesync.domain.image import Image
from edgesync.domain.job import CopyResult
from edgesync.domain.ports import Cluster, Journal
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.comparison import Comparison
from edgesync.execute.rbd.lines import Lines
from edgesync.execute.rbd.memory import Memory
from edgesync.execute.rbd.reference import SPOILT_FOR, Reference
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import SourceDamagedError
from tests.builders import CENTRAL, image
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import DCN0, DCN1, Rig, rig
from tests.unit.execute.rbd.disks import image as data_of

DATA = data_of(8 * MIB)
SHOWN = replace(
    image(stores=("central", "dcn0", "dcn1"), size=len(DATA)),
    hash_algo="sha512",
    hash_value=hashlib.sha512(DATA).hexdigest(),
)


@dataclass(kw_only=True)
class Scene:
    """An image at the hub and two edges, of whose digests nothing is known yet."""

    on: Rig = field(default_factory=rig)

    def __post_init__(self) -> None:
        self.on.glance.put(SHOWN)
        self.pools = {store: FakeBlocks(FakeCluster(store, clock=self.on.clock)) for store in (CENTRAL, DCN0, DCN1)}
        for pool in self.pools.values():
            pool.put(SHOWN.id, DATA)
        clusters = {store: pool.cluster for store, pool in self.pools.items()}
        bench = replace(self.on.bench, clusters=cast("Mapping[StoreId, Cluster]", clusters))
        memory = Memory(64 * MIB)
        resources = Resources(
            lines=Lines(lambda _: None),
            spreads=memory,
            memory=memory,
            executor=ThreadPoolExecutor(1),
            clock=self.on.clock,
        )
        blocks = cast("Mapping[StoreId, Blocks]", self.pools)
        self.reference = Reference(bench, blocks, cast("Journal", self.on.journal), resources)
        self.comparison = Comparison(bench, blocks, self.reference, lambda *_: None)

    @property
    def hub(self) -> FakeBlocks:
        return self.pools[CENTRAL]

    async def spoil(self) -> None:
        """The hub's data are damaged before anybody has taken their digests."""
        self.hub.contents(SHOWN.id).corrupt(MIB)
        with pytest.raises(SourceDamagedError):
            await self.reference.digests(SHOWN)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_two_that_want_the_same_read_it_once(scene: Scene) -> None:
    one, other = await asyncio.gather(scene.reference.digests(SHOWN), scene.reference.digests(SHOWN))
    assert one == other
    assert scene.hub.fetched == len(DATA)


async def test_images_are_read_side_by_side(scene: Scene) -> None:
    two = replace(image("two", stores=("central",), size=len(DATA)), hash_algo="", hash_value="")
    scene.hub.put(two.id, DATA)
    met = asyncio.Barrier(2)

    async def meet(method: str, _: str) -> None:
        if method == "reading":
            await met.wait()

    scene.hub.before = meet
    async with asyncio.timeout(5):
        await asyncio.gather(scene.reference.digests(SHOWN), scene.reference.digests(two))


async def test_it_is_read_at_the_pace_that_is_wanted(scene: Scene) -> None:
    paced: list[int] = []

    async def pace(size: int) -> None:
        paced.append(size)

    await scene.reference.digests(SHOWN, pace=pace)
    assert sum(paced) == len(DATA)
    await scene.reference.digests(SHOWN, pace=pace)
    assert sum(paced) == len(DATA), "what is known is not read"


async def test_who_is_in_a_hurry_does_not_wait_for_who_is_not(scene: Scene) -> None:
    paced: list[int] = []
    waiting: list[asyncio.Task[Digests]] = []

    async def pace(size: int) -> None:
        paced.append(size)
        if not waiting:
            waiting.append(asyncio.create_task(scene.reference.digests(SHOWN)))
            await asyncio.sleep(0.05)

    await scene.reference.digests(SHOWN, pace=pace)
    await waiting[0]
    assert len(paced) == 1
    assert scene.hub.fetched == len(DATA)


async def test_of_those_who_take_their_time_one_reads_at_a_time(scene: Scene) -> None:
    two = replace(image("two", stores=("central",), size=len(DATA)), hash_algo="", hash_value="")
    scene.hub.put(two.id, DATA)
    reading: set[str] = set()

    async def of(shown: Image) -> None:
        async def pace(_: int) -> None:
            reading.add(shown.id)
            assert reading == {shown.id}
            await asyncio.sleep(0.01)

        await scene.reference.digests(shown, pace=pace)
        reading.clear()

    await asyncio.gather(of(SHOWN), of(two))


async def test_spoilt_data_are_a_finding_at_the_hub_and_not_read_for_every_site(scene: Scene) -> None:
    await scene.spoil()
    found = scene.on.sites.verifications[SHOWN.id, CENTRAL]
    assert not found.sound
    assert "os_hash_value" in found.damage
    fetched = scene.hub.fetched
    for store in (DCN0, DCN1):
        seen = await scene.comparison.look(SHOWN.id, store)
        assert seen.result.result is CopyResult.FAILED
        assert "are not those that were uploaded" in seen.result.reason
        assert not seen.recorded
    assert scene.hub.fetched == fetched


@pytest.mark.parametrize("news", ["another RBD image", "a day later", "asked to read it again"])
async def test_until_they_may_be_better(scene: Scene, news: str) -> None:
    await scene.spoil()
    since = None
    if news == "another RBD image":
        scene.hub.cluster.bin(SHOWN.id)
        scene.hub.put(SHOWN.id, DATA)
    else:
        scene.hub.contents(SHOWN.id).corrupt(MIB)
        await scene.on.clock.sleep(SPOILT_FOR.total_seconds() + 1 if news == "a day later" else 1)
        since = scene.on.clock.now() if news == "asked to read it again" else None
    assert (await scene.comparison.look(SHOWN.id, DCN0, since=since)).result.result is CopyResult.SOUND


async def test_what_was_read_since_is_not_read_again(scene: Scene) -> None:
    since = scene.on.clock.now() - timedelta(seconds=1)
    for store in (DCN0, DCN1):
        await scene.reference.digests(SHOWN, since=since)
        assert (await scene.comparison.look(SHOWN.id, store, since=since)).recorded
    assert scene.hub.fetched == len(DATA)


async def test_a_site_is_not_held_up_by_who_reads_at_the_hub(scene: Scene) -> None:
    two = replace(image("two", stores=("central", "dcn0"), size=len(DATA)), hash_algo="", hash_value="")
    scene.on.glance.put(two)
    for store in (CENTRAL, DCN0):
        scene.pools[store].put(two.id, DATA)
    held = asyncio.Event()

    async def pace(_: int) -> None:
        await held.wait()

    slow = asyncio.create_task(scene.comparison.look(SHOWN.id, DCN0, pace=pace))
    assert (await scene.comparison.look(two.id, DCN0)).result.result is CopyResult.SOUND
    assert not slow.done()
    held.set()
    assert (await slow).result.result is CopyResult.SOUND


async def test_a_store_without_ceph_is_named_with_what_to_do(scene: Scene) -> None:
    elsewhere = StoreId("dcn9")
    scene.on.glance.arrive(SHOWN.id, elsewhere)
    found = await scene.comparison.look(SHOWN.id, elsewhere)
    assert found.result.result is CopyResult.FAILED
    assert "give stores.dcn9.ceph in the configuration" in found.result.reason
