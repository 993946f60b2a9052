"""One store's cluster, seen by Ceph's own client: the async half. What is asked there is in `rbd_pool`.

Debian's python3-rados and python3-rbd are needed by whoever configures `ceph:` for a store, and by nobody else: they
are loaded with the first call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.ceph_threads import NoThreadError, Threads
from edgesync.domain.site import Capacity, RbdImage
from edgesync.domain.store import CephSettings, StoreId

if TYPE_CHECKING:
    from edgesync.clients.rbd_pool import RbdPool

T = TypeVar("T")

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
        self._settings = settings
        self._deadline = deadline
        self._refusals = Refusals(store=store, settings=settings, deadline=deadline)
        self._threads = Threads(f"ceph-{store}", limit=THREADS)
        self._loading = threading.Lock()
        self._pool: RbdPool | None = None

    async def probe(self) -> Capacity | None:
        """Go to the monitors, then to an OSD, both within one deadline; the error says which of them is silent."""
        started = asyncio.get_running_loop().time()
        capacity = await self._run("reach the monitors", lambda pool: pool.capacity())
        left = self._deadline - (asyncio.get_running_loop().time() - started)
        await self._run("read from an OSD", lambda pool: pool.touch(), deadline=left)
        return capacity

    async def names(self) -> frozenset[str]:
        return await self._run("list the RBD images", lambda pool: pool.names())

    async def inspect(self, name: str) -> RbdImage:
        return await self._run(f"look at RBD image {name}", lambda pool: pool.inspect(name))

    async def written(self, name: str) -> int:
        return await self._run(f"measure RBD image {name}", lambda pool: pool.written(name))

    async def trash(self, name: str, *, delay: timedelta) -> None:
        what = f"move RBD image {name} into the trash"
        await self._run(what, lambda pool: pool.trash(name, delay=delay))

    async def protect(self, name: str) -> None:
        what = f"protect the snapshot of RBD image {name}"
        await self._run(what, lambda pool: pool.protect(name))

    async def close(self) -> None:
        """Shut the connection down, or leave that to the last call that hangs."""
        if self._pool is not None:
            # In a thread that no hung call can have taken.
            with suppress(TimeoutError):
                await Threads(f"ceph-{self.store}-close", limit=1).run(self._pool.close, deadline=self._deadline)

    async def _run(self, what: str, work: Callable[[RbdPool], T], *, deadline: float | None = None) -> T:
        try:
            return await self._threads.run(
                lambda: work(self._loaded()), deadline=self._deadline if deadline is None else deadline
            )
        except NoThreadError as error:
            raise self._refusals.busy(what, self._threads.limit) from error
        except TimeoutError as error:
            raise self._refusals.silent(what) from error

    def _loaded(self) -> RbdPool:
        """In a thread, for the import takes a while."""
        with self._loading:
            if self._pool is None:
                try:
                    from edgesync.clients.rbd_pool import RbdPool  # noqa: PLC0415
                except ImportError as error:
                    raise self._refusals.no_bindings() from error
                self._pool = RbdPool(self._settings, self._refusals)
            return self._pool
