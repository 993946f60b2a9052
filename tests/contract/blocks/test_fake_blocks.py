"""The fake passes the contract, in virtual time; and what only the fake can do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB, Layout
from edgesync.errors import TransientError, UnreachableError
from tests.contract.blocks.driver import OBJECT, Seen, noise
from tests.contract.blocks.suite import BlocksContract
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock


class FakeDriver:
    """Moves the fake. Satisfies `Driver`."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.cluster = FakeCluster("dcn0", clock=self.clock)
        self.fake = FakeBlocks(self.cluster)

    async def put(
        self, name: str, data: bytes, *, object_size: int = OBJECT, snapshot: bool = True, protected: bool = True
    ) -> None:
        self.fake.put(name, data, object_size=object_size, snapshot=snapshot)
        self.cluster.images[name].protected = snapshot and protected

    async def clone(self, name: str, child: str) -> None:
        await self.fake.clone(name, child, object_size=self.fake.contents(name).layout.object_size)

    async def data(self, name: str, *, snapshot: bool = True) -> bytes:
        return self.fake.data(name, snapshot=snapshot)

    async def look(self, name: str) -> Seen:
        image, contents = self.cluster.images[name], self.fake.contents(name)
        return Seen(
            layout=contents.layout,
            snapshot=image.snapshot,
            protected=image.protected,
            objects=len(contents.objects),
        )

    async def look_at_disk(self, pool: str, name: str) -> tuple[Layout, bytes]:
        contents = self.fake.disks[pool][name]
        return contents.layout, contents.read(0, contents.size, snapshot=False)

    async def rename(self, name: str, to: str) -> None:
        await self.fake.rename(name, to)

    async def trash(self, name: str) -> None:
        self.cluster.bin(name)

    async def resize(self, name: str, size: int) -> None:
        self.fake.resize(name, size)

    async def trashed(self, name: str) -> bool:
        return name in {entry.image.name for entry in self.cluster.trashed}

    async def behead(self, name: str) -> None:
        self.fake.headless.add(name)

    async def leave_half_made(self, name: str, *, listed: bool) -> None:
        self.fake.leave_half_made(name, listed=listed)

    async def leave_half_trashed(self, name: str, *, trashed: bool) -> None:
        self.fake.leave_half_trashed(name, trashed=trashed)

    async def leave_half_renamed(self, name: str, to: str, *, listed: bool) -> None:
        self.fake.leave_half_renamed(name, to, listed=listed)

    async def corrupt(self, name: str, offset: int) -> None:
        self.fake.contents(name).corrupt(offset)

    async def leave_locked(self, name: str) -> None:
        self.fake.leave_locked(name)

    async def leave_open(self, name: str) -> None:
        # What a dead client's lock holds up, its watch alone does, too, but for writes.
        self.fake.leave_locked(name)

    async def flattened(self) -> None:
        self.fake.flatten_now()

    async def silence(self) -> None:
        self.cluster.down()

    async def fill(self) -> None:
        self.cluster.fill()

    async def stop_manager(self) -> None:
        self.cluster.manager = False

    async def heal(self) -> None:
        self.cluster.up()

    async def wait(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def client(self) -> Blocks:
        return self.fake.again()

    def client_that_reads(self) -> Blocks:
        return self.fake

    def client_without_manager_caps(self) -> Blocks:
        self.fake.manages = False
        return self.fake

    def client_of_one_pool(self) -> Blocks:
        self.fake.forbidden = {"vms", "volumes"}
        return self.fake


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
def blocks(driver: FakeDriver) -> Blocks:
    return driver.fake


class TestFakeBlocks(BlocksContract):
    """The fake does what the real one does."""


async def test_a_fault_comes_with_the_write_that_it_was_ordered_for(driver: FakeDriver) -> None:
    driver.fake.put("image", bytes(MIB), snapshot=False)
    driver.fake.fail_write(2, TransientError("as ordered"))
    async with driver.fake.writing("image") as image:
        await image.write(0, b"1")
        with pytest.raises(TransientError, match="as ordered"):
            await image.write(1, b"2")
        await image.write(2, b"3")
    assert driver.fake.data("image", snapshot=False)[:3] == b"1\x003"


async def test_a_write_that_hangs_costs_the_deadline(driver: FakeDriver) -> None:
    driver.fake.put("image", bytes(MIB), snapshot=False)
    driver.fake.fail_write(1)
    began = driver.clock.now()
    async with driver.fake.writing("image") as image:
        with pytest.raises(UnreachableError):
            await image.write(0, b"1")
    assert driver.clock.now() - began == timedelta(seconds=5)


async def test_both_views_show_the_same_pool(driver: FakeDriver) -> None:
    cluster, fake = driver.cluster, driver.fake
    fake.put("base", noise(20 * MIB))
    await fake.clone("base", "child", object_size=64 * KIB)
    async with fake.writing("child") as image:
        await image.write(0, noise(MIB))
        assert (await cluster.inspect("child")).watchers == 1
    await fake.seal("child")
    seen = await cluster.inspect("child")
    assert (seen.size, seen.protected, seen.watchers) == (20 * MIB, True, 0)
    assert await cluster.written("child") == MIB
    assert (await cluster.inspect("base")).children == ("images/child",)
    cluster.down()
    with pytest.raises(UnreachableError):
        await fake.parent("child")


async def test_an_image_that_others_have_put_there_holds_the_same_at_every_site(driver: FakeDriver) -> None:
    elsewhere = FakeCluster("dcn1", clock=driver.clock)
    for cluster in (driver.cluster, elsewhere):
        cluster.put("image", 20 * MIB + 5)
    digests = await driver.fake.digests("image", 64 * KIB, snapshot=True)
    assert digests == await FakeBlocks(elsewhere).digests("image", 64 * KIB, snapshot=True)
    assert any(driver.fake.data("image"))


async def test_copy_up_is_counted(driver: FakeDriver) -> None:
    fake = driver.fake
    fake.put("base", noise(MIB))
    await fake.clone("base", "child", object_size=64 * KIB)
    async with fake.writing("child") as image:
        await image.write(0, noise(128 * KIB, seed=2))
        assert fake.contents("child").copied_up == 0
        await image.write(256 * KIB, b"part")
    assert fake.contents("child").copied_up == 64 * KIB
