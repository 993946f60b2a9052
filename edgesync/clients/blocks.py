"""One store's RBD images, block by block: the async half. What is asked of librbd is in `rbd_blocks`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from edgesync.clients.arenas import share_arenas
from edgesync.clients.block_digests import Digesting
from edgesync.clients.block_handles import Handles
from edgesync.clients.block_layers import layers_of
from edgesync.clients.ceph_calls import Calls
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.ceph_threads import Threads
from edgesync.domain.blocks import Digests, Extent, Flattening, Layout
from edgesync.domain.layers import PoolLayers
from edgesync.domain.store import CephSettings, StoreId

if TYPE_CHECKING:
    from edgesync.clients.rbd_blocks import RbdBlocks
    from edgesync.clients.rbd_handle import Handle
    from edgesync.clients.rbd_manager import RbdManager

log = structlog.get_logger(__name__)

# Calls to one store at a time: reads, writes and digests of all copies under way; and commands to its manager.
THREADS = 12
COMMANDS = 4
# Store, name of the RBD image, bytes: told of what was written.
OnSent = Callable[[StoreId, str, int], None]


def untold(_store: StoreId, _name: str, _size: int) -> None:
    """Nobody counts."""


class OpenImage:
    """Satisfies `Reading` and `Writing`."""

    def __init__(self, handles: Handles, handle: Handle, on_sent: Callable[[int], None] = lambda _: None) -> None:
        self._handles = handles
        self._handle = handle
        self._on_sent = on_sent

    @property
    def layout(self) -> Layout:
        return self._handle.layout

    async def extents(self) -> Sequence[Extent]:
        return await self._handles.extents(self._handle, parents=True)

    async def read(self, offset: int, length: int) -> bytes:
        what = f"read RBD image {self._handle.name}"
        return await self._handles.run(what, lambda _: self._handle.read(offset, length))

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        what = f"write RBD image {self._handle.name}"
        await self._handles.run(what, lambda _: self._handle.write(offset, data), on=(self._handle.name,))
        self._on_sent(len(data))

    async def write_all(self, pieces: Sequence[tuple[int, bytes | memoryview]]) -> None:
        what = f"write RBD image {self._handle.name}"
        await self._handles.run(what, lambda _: self._handle.write_all(pieces), on=(self._handle.name,))
        self._on_sent(sum(len(data) for _, data in pieces))


class CephBlocks:
    """Satisfies `edgesync.domain.block_ports.Blocks`, over connections and threads of its own.

    Each call has `deadline` seconds, waiting for a free thread included; inside Ceph the limit is the same. Over a slow
    line the calls under way share it: with 4 writes of 4 MiB at 10 Mbit/s each takes 13 s.
    """

    def __init__(self, store: StoreId, settings: CephSettings, *, deadline: float, on_sent: OnSent = untold) -> None:
        self.store = store
        self._on_sent = on_sent
        refusals = Refusals(store=store, settings=settings, deadline=deadline)
        self._calls = Calls(f"rbd-{store}", refusals, lambda: _load(settings, refusals), limit=THREADS)
        self._manager = Calls(f"mgr-{store}", refusals, lambda: _load_manager(settings, refusals), limit=COMMANDS)
        self._handles = Handles(refusals, self._calls)

    @property
    def threads(self) -> Mapping[str, Threads]:
        """For figures: those for blocks (rbd), and those for the site's manager (mgr)."""
        return {"rbd": self._calls.threads, "mgr": self._manager.threads}

    @asynccontextmanager
    async def reading(self, name: str) -> AsyncIterator[OpenImage]:
        async with self._handles.opened(name, lambda pool: pool.open(name, snapshot=True)) as handle:
            yield OpenImage(self._handles, handle)

    @asynccontextmanager
    async def writing(self, name: str, *, take_over: bool = False) -> AsyncIterator[OpenImage]:
        def opening(pool: RbdBlocks) -> Handle:
            return pool.open_for_writing(name, take_over=take_over)

        async with self._handles.opened(name, opening, write=True) as handle:
            yield OpenImage(self._handles, handle, lambda size: self._on_sent(self.store, name, size))

    async def digests(self, name: str, block: int, *, snapshot: bool) -> Digests:
        async with self._handles.opened(name, lambda pool: pool.open(name, snapshot=snapshot)) as handle:
            return await Digesting(self._handles, handle, block).digests()

    async def create(self, name: str, layout: Layout) -> None:
        await self._calls.run(f"create RBD image {name}", lambda pool: pool.create(name, layout), on=(name,))

    async def clone(self, base: str, name: str, *, object_size: int) -> None:
        what = f"clone RBD image {base}"
        await self._calls.run(what, lambda pool: pool.clone(base, name, object_size=object_size), on=(name,))

    async def grow(self, name: str, size: int) -> None:
        await self._calls.run(f"enlarge RBD image {name}", lambda pool: pool.grow(name, size), on=(name,))

    async def disk(self, base: str, pool: str, name: str, *, object_size: int) -> None:
        what = f"clone RBD image {base} to {pool}/{name}"
        await self._calls.run(what, lambda half: half.disk(base, pool, name, object_size=object_size))

    async def seal(self, name: str, *, take_over: bool = False) -> None:
        what = f"take the snapshot of RBD image {name}"
        await self._calls.run(what, lambda pool: pool.seal(name, take_over=take_over), on=(name,))

    async def rename(self, name: str, to: str) -> None:
        await self._calls.run(f"rename RBD image {name}", lambda pool: pool.rename(name, to), on=(name, to))

    async def tidy(self, name: str, other: str) -> None:
        what = f"look what is left of RBD image {name}"
        if done := await self._calls.run(what, lambda pool: pool.tidy(name, other)):
            log.info(done, store=self.store)

    async def location(self, name: str) -> str:
        return await self._calls.run("read the cluster's id", lambda pool: pool.location(name))

    async def trash(self, name: str, *, delay: timedelta) -> None:
        what = f"move RBD image {name} into the trash"
        await self._calls.settle(name)
        await self._calls.run(what, lambda pool: pool.trash(name, delay=delay))

    async def children(self, name: str) -> tuple[str, ...]:
        return await self._calls.run(f"look for clones of RBD image {name}", lambda pool: pool.children(name))

    async def parent(self, name: str) -> str | None:
        return await self._calls.run(f"look for the parent of RBD image {name}", lambda pool: pool.parent(name))

    async def layers(self, *, measured: bool = True) -> PoolLayers:
        return await layers_of(self._calls, measured=measured)

    async def flatten(self, name: str) -> None:
        if await self.parent(name) is not None:
            await self._manager.run(f"have RBD image {name} flattened", lambda manager: manager.flatten(name))

    async def tasks(self) -> tuple[Flattening, ...]:
        return await self._manager.run("list the manager's tasks", lambda manager: manager.tasks())

    async def close(self) -> None:
        await self._handles.close()
        await self._manager.close()
        await self._calls.close()


def _load(settings: CephSettings, refusals: Refusals) -> RbdBlocks:
    from edgesync.clients.rbd_blocks import RbdBlocks  # noqa: PLC0415

    share_arenas()
    return RbdBlocks(settings, refusals)


def _load_manager(settings: CephSettings, refusals: Refusals) -> RbdManager:
    from edgesync.clients.rbd_manager import RbdManager  # noqa: PLC0415

    return RbdManager(settings, refusals)
