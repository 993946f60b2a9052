"""One store's cluster, seen by Ceph's own client: the async half. What is asked there is in `rbd_pool`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from edgesync.clients.ceph_calls import Calls
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.ceph_threads import Threads
from edgesync.domain.site import Capacity, RbdImage
from edgesync.domain.store import CephSettings, StoreId

if TYPE_CHECKING:
    from edgesync.clients.rbd_pool import RbdPool

# Calls to one store at a time.
THREADS = 4


class CephCluster:
    """Satisfies `edgesync.domain.ports.Cluster`, over one connection and a few threads of its own.

    Each call has `deadline` seconds, waiting for a free thread included. Its own limit inside Ceph is the same, so
    that a thread outlives its call by little; if all threads hang nevertheless, further calls fail at once.

    An UnreachableError has `sent` True when the cluster may have done what was asked: `trash` and `protect` can be
    asked again, then `trash` may find the image gone (NotFoundError).
    """

    def __init__(self, store: StoreId, settings: CephSettings, *, deadline: float = 5.0) -> None:
        self.store = store
        self._deadline = deadline
        refusals = Refusals(store=store, settings=settings, deadline=deadline)
        self._calls = Calls(f"ceph-{store}", refusals, lambda: _load(settings, refusals), limit=THREADS)

    @property
    def threads(self) -> Threads:
        """For figures."""
        return self._calls.threads

    async def probe(self) -> Capacity | None:
        """Go to the monitors, then to an OSD, both within one deadline; the error says which of them is silent."""
        started = asyncio.get_running_loop().time()
        capacity = await self._calls.run("reach the monitors", lambda pool: pool.capacity())
        left = self._deadline - (asyncio.get_running_loop().time() - started)
        await self._calls.run("read from an OSD", lambda pool: pool.touch(), deadline=left)
        return capacity

    async def names(self) -> frozenset[str]:
        return await self._calls.run("list the RBD images", lambda pool: pool.names())

    async def inspect(self, name: str) -> RbdImage:
        return await self._calls.run(f"look at RBD image {name}", lambda pool: pool.inspect(name))

    async def written(self, name: str) -> int:
        return await self._calls.run(f"measure RBD image {name}", lambda pool: pool.written(name))

    async def trash(self, name: str, *, delay: timedelta) -> None:
        what = f"move RBD image {name} into the trash"
        await self._calls.run(what, lambda pool: pool.trash(name, delay=delay))

    async def protect(self, name: str) -> None:
        what = f"protect the snapshot of RBD image {name}"
        await self._calls.run(what, lambda pool: pool.protect(name))

    async def close(self) -> None:
        await self._calls.close()


def _load(settings: CephSettings, refusals: Refusals) -> RbdPool:
    from edgesync.clients.rbd_pool import RbdPool  # noqa: PLC0415

    return RbdPool(settings, refusals)
