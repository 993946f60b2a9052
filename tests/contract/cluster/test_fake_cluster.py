"""The fake passes the contract, in virtual time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from edgesync.domain.ports import Cluster
from edgesync.errors import UnreachableError
from tests.contract.cluster.driver import SIZE
from tests.contract.cluster.suite import ClusterContract
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock


class FakeDriver:
    """Moves the fake. Satisfies `Driver`."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.fake = FakeCluster("dcn0", clock=self.clock)

    def now(self) -> datetime:
        return self.clock.now()

    async def wait(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def make(
        self, name: str, *, written: int = SIZE, snapshot: bool = True, protected: bool = True, size: int = SIZE
    ) -> None:
        self.fake.put(name, size, written=written, snapshot=snapshot, protected=protected)

    async def open(self, name: str) -> None:
        self.fake.images[name].watchers += 1

    async def write(self, name: str, written: int) -> None:
        self.fake.images[name].written = written

    async def leave(self, name: str) -> None:
        self.fake.images[name].watchers -= 1

    async def clone(self, name: str, *, trashed: bool = False) -> str:
        child = f"volumes/{'trashed' if trashed else 'clone'}-of-{name}"
        self.fake.images[name].children += (child,)
        return child

    async def trash(self) -> dict[str, timedelta]:
        return {entry.image.name: entry.delay for entry in self.fake.trashed}

    async def silence(self) -> None:
        self.fake.down()

    async def heal(self) -> None:
        self.fake.up()

    async def fill(self) -> None:
        self.fake.fill()

    async def stop_manager(self) -> None:
        self.fake.manager = False

    def client(self) -> Cluster:
        return self.fake

    def client_elsewhere(self) -> Cluster:
        return FakeCluster("dcn1", clock=self.clock)

    def client_without_caps(self) -> Cluster:
        self.fake.permitted = False
        return self.fake


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
def cluster(driver: FakeDriver) -> Cluster:
    return driver.fake


class TestFakeCluster(ClusterContract):
    """The fake does what the real one does."""


async def test_a_silent_cluster_costs_its_deadline(driver: FakeDriver) -> None:
    driver.fake.down()
    started = driver.now()
    with pytest.raises(UnreachableError):
        await driver.fake.names()
    assert driver.now() - started == timedelta(seconds=5)


async def test_one_that_is_back_in_time_answers(driver: FakeDriver) -> None:
    driver.fake.down()
    driver.fake.put("image")
    call = asyncio.create_task(driver.fake.names())
    await driver.wait(4)
    assert not call.done()
    driver.fake.up()
    assert await call == {"image"}


async def test_a_lost_answer_hides_what_was_done(driver: FakeDriver) -> None:
    driver.fake.put("image")
    driver.fake.answers_lost = True
    with pytest.raises(UnreachableError) as lost:
        await driver.fake.trash("image", delay=timedelta(days=1))
    assert lost.value.sent
    assert (driver.fake.images, [entry.image.name for entry in driver.fake.trashed]) == ({}, ["image"])
