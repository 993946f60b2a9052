"""Which images a new one may be layered on, and how often they are read for that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest

from edgesync.domain.blocks import GIB, MIB, SMALLEST_BLOCK, Digests, Layout, of_zeros
from edgesync.domain.image import Image, ImageId
from edgesync.domain.ports import Cluster, Journal
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.bases import Bases, Shelf
from edgesync.plan.layering import LayeringRules
from tests.builders import CENTRAL, image
from tests.fakes.block_notes import BlockNotes
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import HandClock

BLOCK = SMALLEST_BLOCK
DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
STORES = (CENTRAL, DCN0, DCN1)


class Reads:
    """A `Reference` that notes what is read, and how many at the same time."""

    def __init__(self) -> None:
        self.read: list[ImageId] = []
        self.most = 0
        self._now = 0

    async def digests(self, of: Image) -> Digests:
        self._now += 1
        self.most = max(self.most, self._now)
        self.read.append(of.id)
        for _ in range(10):
            await asyncio.sleep(0)
        self._now -= 1
        return of_zeros(MIB, BLOCK)


class Scene:
    """A new image at the hub, and others that are everywhere."""

    def __init__(self, new: Image, *others: Image, rules: LayeringRules | None = None, put: bool = True) -> None:
        """Without `put`, the others are yet to be put there."""
        clock = HandClock()
        self.clusters = {store: FakeCluster(store, clock=clock) for store in STORES}
        self.blocks = {store: FakeBlocks(cluster) for store, cluster in self.clusters.items()}
        for other in others if put else ():
            for blocks in self.blocks.values():
                blocks.put(other.id, bytes(other.size or 0))
        self.reads = Reads()
        shelf = Shelf(
            images={other.id: other for other in (new, *others)},
            clusters=cast("Mapping[StoreId, Cluster]", self.clusters),
            blocks=self.blocks,
            hub=CENTRAL,
            rules=rules or LayeringRules(),
        )
        self.bases = Bases(new, shelf, cast("Journal", BlockNotes()), self.reads)

    def kin(self) -> list[str]:
        return [other.name for other in self.bases.kin(DCN0)]


def sized(name: str, size: int = MIB) -> Image:
    return image(name, size=size, stores=STORES)


async def test_each_base_is_read_once_and_none_beside_another() -> None:
    scene = Scene(sized("rhel-3"), sized("rhel-1"), sized("rhel-2"))
    new = of_zeros(MIB, BLOCK)
    await asyncio.gather(*(scene.bases.choose(store, new, rate=None) for store in (DCN0, DCN1)))
    assert sorted(scene.reads.read) == ["id-rhel-1", "id-rhel-2"]
    assert scene.reads.most == 1


async def test_no_kin_is_larger() -> None:
    sizes = {"rhel-1": MIB, "rhel-2": 1, "rhel-3": MIB + 1, "rhel-4": 0, "debian-1": MIB}
    scene = Scene(sized("rhel-5"), *(sized(name, size) for name, size in sizes.items()))
    assert scene.kin() == ["rhel-1", "rhel-2"]


@pytest.mark.parametrize(("size", "worth"), [(64 * GIB + 1, True), (64 * GIB, False)])
async def test_of_kin_with_smaller_blocks_nothing_is_read_but_it_is_named(size: int, worth: bool) -> None:
    scene = Scene(sized("rhel-2", 65 * GIB), sized("rhel-1", size), put=False)
    for blocks in scene.blocks.values():
        await blocks.create("id-rhel-1", Layout(size=size, object_size=8 * MIB, features=61))
        await blocks.seal("id-rhel-1")
    assert scene.bases.worth_reading_for(DCN0) is worth
    new = of_zeros(65 * GIB, 2 * BLOCK)
    choice = await scene.bases.choose(DCN0, new, rate=None)
    assert scene.reads.read == (["id-rhel-1"] if worth else [])
    assert ("so much smaller" in choice.why) is not worth


async def test_what_an_image_is_a_clone_of_at_the_hub_is_its_next_of_kin() -> None:
    scene = Scene(sized("mine"), sized("yours"), sized("mine-1"))
    assert scene.kin() == ["mine-1"]
    await scene.blocks[CENTRAL].clone("id-yours", "id-mine", object_size=BLOCK)
    await scene.bases.find_parent()
    assert scene.kin() == ["yours", "mine-1"]


async def test_one_that_is_no_clone_has_no_such_kin() -> None:
    scene = Scene(sized("mine"), sized("yours"))
    scene.blocks[CENTRAL].put("id-mine", bytes(MIB))
    await scene.bases.find_parent()
    assert scene.kin() == []


@pytest.mark.parametrize("depth", [0, 3])
async def test_where_nothing_may_be_layered_nobody_asks(depth: int) -> None:
    scene = Scene(sized("mine"), sized("yours"), rules=LayeringRules(max_depth=depth))
    scene.blocks[CENTRAL].put("id-mine", bytes(MIB))
    asked: list[str] = []

    async def before(method: str, _: str) -> None:
        asked.append(method)

    scene.blocks[CENTRAL].before = before
    await scene.bases.find_parent()
    assert asked == (["parent"] if depth else [])
