"""The fake passes the contract, in virtual time."""

from __future__ import annotations

import itertools
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
from tests.fakes.glance import Event, FakeGlance, FixedAuth, Settings, VirtualClock, What


class FakeDriver:
    """Moves the fake. Satisfies `Driver`."""

    hub = StoreId("central")
    edges: Sequence[StoreId] = (StoreId("dcn0"), StoreId("dcn1"))

    def __init__(self, fake: FakeGlance, clients: AsyncExitStack) -> None:
        self.fake = fake
        # What lies at the sites: a fake of Ceph in one line.
        self.data: set[tuple[str, str]] = set()
        fake.on_data(self._note, lambda store, image: (store, image) in self.data)
        self._numbers = itertools.count()
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
        self.fake.orphan(store, image, What.COMPLETE, size=SIZE)
        entry = self.fake.sim.stores[store]
        return f"rbd://{entry.fsid}/{entry.pool}/{image}/snap"

    async def occupy(self, image: ImageId, store: StoreId) -> None:
        self.fake.orphan(store, image)

    async def has_data(self, image: ImageId, store: StoreId) -> bool:
        self.fake.update()
        return (store, image) in self.data

    async def lose(self, image: ImageId, store: StoreId) -> None:
        self.data.discard((store, image))

    async def clone(self, image: ImageId, store: StoreId) -> None:
        self.fake.use(store, image)

    async def deactivate(self, image: ImageId) -> None:
        self.fake.deactivate(image)

    async def serve(self, *, missing: bool = False, hangs: bool = False) -> str:
        uri = f"http://images/{next(self._numbers)}"
        return self.fake.serve(uri, size=SIZE, status=404 if missing else 200, hangs=hangs)

    def note(self, image: str) -> ImageId:
        return ImageId(image)

    async def age(self, image: ImageId, *, minutes: int) -> None:
        self.fake.age_task(image, minutes * 60)

    async def crash(self) -> None:
        self.fake.crash_worker()

    def client(self, *, page_size: int = 1000) -> Glance:
        return self._client("admin", page_size)

    def client_as_member(self) -> Glance:
        return self._client("member")

    def client_with_bad_token(self) -> Glance:
        return self._client("wrong")

    def _note(self, event: Event) -> None:
        if event.what is What.REMOVED:
            self.data.discard((event.store, event.image))
        else:
            self.data.add((event.store, event.image))

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
