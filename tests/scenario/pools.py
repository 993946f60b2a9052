"""The sites' pools in memory, filled and emptied by what the fake Glance does: the two can't tell different stories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.fakes.cluster import FakeCluster, PoolImage
from tests.fakes.glance import Event, FakeGlance, What


class Pool(FakeCluster):
    """One store's pool, up to date whenever somebody looks."""

    def __init__(self, store: str, fake: FakeGlance) -> None:
        super().__init__(store, clock=fake.clock, fsid=fake.sim.stores[store].fsid)
        self._fake = fake

    def image(self, name: str) -> PoolImage:
        """The RBD image as it is now; KeyError when there is none."""
        self._fake.update()
        return self.images[name]

    def has(self, name: str) -> bool:
        self._fake.update()
        return name in self.images

    async def written(self, name: str) -> int:
        told = await super().written(name)
        running = self._fake.sim.written(self.store, name, self._fake.clock.now())
        return told if running is None else running

    async def reach(self, what: str) -> None:
        await super().reach(what)
        self._fake.update()


class Pools:
    """One for each store. Copies fail where an RBD image of that name lies in the pool already."""

    def __init__(self, fake: FakeGlance, stores: Sequence[str]) -> None:
        self._fake = fake
        self._pools = {store: Pool(store, fake) for store in stores}
        fake.on_data(self._note, lambda store, image: image in self._pools[store].images)

    def __getitem__(self, store: str) -> Pool:
        return self._pools[store]

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def clone(self, store: str, image: str, disk: str = "vms/disk") -> None:
        """Somebody makes a disk from the copy: it can't be deleted by anybody until `unclone`."""
        self[store].image(image).children = (disk,)
        self._fake.use(store, image)

    def unclone(self, store: str, image: str) -> None:
        self[store].image(image).children = ()
        self._fake.unuse(store, image)

    def _note(self, event: Event) -> None:
        pool = self._pools[event.store]
        known = pool.images.get(event.image)
        if event.what is What.REMOVED:
            pool.remove(event.image)
            return
        complete = event.what is What.COMPLETE
        pool.put(
            event.image,
            event.size,
            written=event.written,
            snapshot=complete,
            created_at=known.created_at if known else event.at,
            rbd_id=known.id if known else "",
            watchers=1 if event.what is What.WRITING else 0,
        )
