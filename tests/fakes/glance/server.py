"""The fake as a server: start it, put images into it, break it, look at what was asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Self

from aiohttp import web

from edgesync.domain.image import ImageId
from tests.fakes.glance.app import GlanceApp, Seen, Settings
from tests.fakes.glance.auth import FixedAuth
from tests.fakes.glance.clock import RealClock, SettableClock
from tests.fakes.glance.data import Event, Listener, What
from tests.fakes.glance.faults import Faults
from tests.fakes.glance.importing import Page
from tests.fakes.glance.records import MIB, FakeImage, FakeTask, Timings
from tests.fakes.glance.simulation import Simulation


class FakeGlance:
    """A Glance in this process, on a free port of the loopback interface.

        async with FakeGlance(stores=["central", "dcn0"], clock=VirtualClock()) as fake:
            image = fake.add_image(name="rhel", size=10 * MIB)
            client = GlanceClient(fake.auth())

    The first store is the default one, the hub. `sim` is the state itself, for what has no method here.
    """

    def __init__(
        self,
        stores: Sequence[str] = ("central", "dcn0", "dcn1"),
        *,
        clock: SettableClock | None = None,
        timings: Timings | None = None,
        settings: Settings | None = None,
        port: int = 0,
    ) -> None:
        self.clock: SettableClock = RealClock() if clock is None else clock
        self.sim = Simulation(stores, timings)
        self.settings = settings or Settings()
        self.faults = Faults()
        self.requests: list[Seen] = []
        self._port = port
        self._app: GlanceApp | None = None
        self._runner: web.AppRunner | None = None

    # ---- life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. After a `stop`, on the same port as before, with the same state: a restarted API."""
        self._app = GlanceApp(
            sim=self.sim, clock=self.clock, settings=self.settings, faults=self.faults, requests=self.requests
        )
        self._runner = web.AppRunner(self._app.build(), access_log=None, shutdown_timeout=0.1, lingering_time=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None and self._app is not None:
            self._app.stopping.set()
            # One turn for the hanging requests to end before their connections are closed.
            await asyncio.sleep(0)
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def auth(self, *tokens: str) -> FixedAuth:
        return FixedAuth(self.url, *tokens)

    # ---- images

    def add_image(self, **fields: Any) -> ImageId:
        """Add an image; see `FakeImage` for the fields. By default active, 1 MiB, at the hub only."""
        return ImageId(self.sim.add_image(self.clock.now(), **fields).id)

    def image(self, image: str) -> FakeImage:
        """The image as it is now."""
        self.update()
        return self.sim.show(image)

    def change_image(self, image: str, **fields: Any) -> None:
        """Change fields as somebody's request would, moving `updated_at`."""
        entry = self.image(image)
        for name, value in fields.items():
            if not hasattr(entry, name):
                raise AttributeError(name)
            setattr(entry, name, value)
        entry.touch(self.clock.now())
        self.sim.listing.forget()

    def delete_image(self, image: str) -> None:
        self.update()
        self.sim.delete_image(image, self.clock.now())

    def deactivate(self, image: str) -> None:
        self.change_image(image, status="deactivated")

    def reactivate(self, image: str) -> None:
        self.change_image(image, status="active")

    def serve(self, uri: str, *, size: int = MIB, status: int = 200, hangs: bool = False) -> str:
        """Let web-download find something at the URI; the URI."""
        self.sim.pages[uri] = Page(size=size, status=status, hangs=hangs)
        return uri

    # ---- time

    def update(self) -> None:
        """Let everything happen that is due by now."""
        self.sim.advance_to(self.clock.now())

    def age_task(self, image: str, seconds: float) -> None:
        """Make the image's tasks older: the lock of a dead one expires the sooner."""
        self.update()
        for task in self.sim.tasks_of(image):
            task.created_at -= timedelta(seconds=seconds)
            task.updated_at -= timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.update()

    # ---- trouble

    def rival_import(self, image: str, stores: Sequence[str], *, must_succeed: bool = False) -> FakeTask | None:
        """Somebody else asks for a copy."""
        self.update()
        return self.sim.copy_image(image, stores, must_succeed=must_succeed, now=self.clock.now())

    def dead(self, store: str) -> None:
        """The store's OSDs are down: writes hang until `revive`."""
        self.sim.dead(store, self.clock.now())

    def unreachable(self, store: str) -> None:
        """As `dead`; besides, requests that connect to the store block (`Timings.connect_timeout`)."""
        self.sim.dead(store, self.clock.now())
        self.sim.trouble.unreachable.add(store)

    def revive(self, store: str) -> None:
        self.sim.revive(store, self.clock.now())

    def failing(self, store: str, error: str = "Error: the store refused the write") -> None:
        """Writes to the store fail at once, until `healthy`."""
        self.sim.trouble.failing[store] = error

    def healthy(self, store: str) -> None:
        self.sim.trouble.failing.pop(store, None)

    def orphan(self, store: str, image: str, what: What = What.ABANDONED, *, size: int = MIB) -> None:
        """RBD data lies at the store that Glance knows nothing of: copies there fail, "already exists"."""
        self.sim.trouble.orphans.add((store, image))
        written = size if what is What.COMPLETE else size // 2
        self.sim.trouble.on_data(
            Event(store=store, image=image, what=what, size=size, written=written, at=self.clock.now())
        )

    def remove_orphan(self, store: str, image: str) -> None:
        self.sim.trouble.orphans.discard((store, image))

    def forget_location(self, image: str, store: str) -> None:
        """Glance forgets a copy behind everybody's back; its data stays and is in the way."""
        self.update()
        self.sim.forget_location(image, store, self.clock.now())

    def use(self, store: str, image: str) -> None:
        """Somebody makes a clone of the copy: it can't be deleted, until `unuse`."""
        self.sim.trouble.in_use.add((store, image))

    def unuse(self, store: str, image: str) -> None:
        self.sim.trouble.in_use.discard((store, image))

    def on_data(self, listener: Listener, has_data: Callable[[str, str], bool] | None = None) -> None:
        """Tell somebody, a fake of Ceph, what becomes of data at the stores; told at once what is there already.

        With `has_data(store, image)` it is that one who knows what is in the way of a copy.
        """
        self.sim.trouble.on_data, self.sim.trouble.has_data = listener, has_data
        self.sim.tell_all(self.clock.now())

    def crash_worker(self) -> None:
        """glance-api is killed and started again: every import under way is forgotten, locks and lists stay."""
        self.sim.crash_worker(self.clock.now())

    def add_store(self, store: str, **fields: Any) -> None:
        self.sim.add_store(store, **fields)

    def remove_store(self, store: str) -> None:
        """The store vanishes from Glance's configuration; what the images say of it stays."""
        del self.sim.stores[store]

    # ---- what was asked

    @property
    def accepted(self) -> list[tuple[str, tuple[str, ...]]]:
        """Imports that were accepted, in order: (image, stores)."""
        return self.sim.accepted

    def count(self, operation: str) -> int:
        return sum(1 for seen in self.requests if seen.operation == operation)
