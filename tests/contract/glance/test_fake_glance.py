"""The fake passes the contract, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime

import pytest

from edgesync.clients.glance import GlanceClient
from edgesync.domain.image import ImageId
from edgesync.domain.ports import Glance
from edgesync.domain.store import StoreId
from tests.contract.glance.driver import SIZE
from tests.contract.glance.suite import GlanceContract
from tests.fakes.glance import FakeGlance, FixedAuth, Settings, VirtualClock


class FakeDriver:
    """Moves the fake. Satisfies `Driver`."""

    hub = StoreId("central")
    edges: Sequence[StoreId] = (StoreId("dcn0"), StoreId("dcn1"))

    def __init__(self, fake: FakeGlance, clients: AsyncExitStack) -> None:
        self.fake = fake
        self._clients = clients

    def now(self) -> datetime:
        return self.fake.clock.now()

    async def wait(self, seconds: float) -> None:
        await self.fake.clock.sleep(seconds)

    async def make_image(
        self,
        *,
        name: str,
        visibility: str = "public",
        hidden: bool = False,
        tags: Sequence[str] = (),
        properties: dict[str, str] | None = None,
    ) -> ImageId:
        return self.fake.add_image(
            name=name,
            visibility=visibility,
            owner="another-project" if visibility == "community" else "project",
            hidden=hidden,
            tags=list(tags),
            properties=properties or {},
            size=SIZE,
        )

    async def make_queued_image(self) -> ImageId:
        return self.fake.add_image(status="queued", size=None, stores=[], hash_value=None)

    async def rename(self, image: ImageId, name: str) -> None:
        self.fake.change_image(image, name=name)

    async def delete_image(self, image: ImageId) -> None:
        self.fake.delete_image(image)

    async def hold(self, store: StoreId) -> None:
        self.fake.dead(store)

    async def release(self, store: StoreId) -> None:
        self.fake.revive(store)

    async def place(self, image: ImageId, store: StoreId) -> str:
        self.fake.orphan(store, image)
        entry = self.fake.sim.stores[store]
        return f"rbd://{entry.fsid}/{entry.pool}/{image}/snap"

    async def crash(self) -> None:
        self.fake.crash_worker()

    def client(self, *, page_size: int = 1000) -> Glance:
        return self._client("admin", page_size)

    def client_as_member(self) -> Glance:
        return self._client("member")

    def client_with_bad_token(self) -> Glance:
        return self._client("wrong")

    def _client(self, token: str, page_size: int = 1000) -> Glance:
        client = GlanceClient(FixedAuth(self.fake.url, token), page_size=page_size, sleep=self.fake.clock.sleep)
        self._clients.push_async_callback(client.close)
        return client


@pytest.fixture
async def driver() -> AsyncIterator[FakeDriver]:
    settings = Settings(tokens=frozenset({"admin", "member"}), members=frozenset({"member"}))
    fake = FakeGlance(clock=VirtualClock(), settings=settings)
    fake.sim.show_locations = True
    async with fake, AsyncExitStack() as clients:
        yield FakeDriver(fake, clients)


@pytest.fixture
def glance(driver: FakeDriver) -> Glance:
    return driver.client()


class TestFakeGlance(GlanceContract):
    """The fake does what the real one does."""
