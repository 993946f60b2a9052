"""RBD images held open on behalf of coroutines: what was opened is closed, whatever becomes of whoever asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import structlog

from edgesync.clients.ceph_calls import Calls
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.ceph_threads import NoThreadError, Threads
from edgesync.clients.lending import Handover
from edgesync.domain.blocks import Extent
from edgesync.errors import EdgesyncError

if TYPE_CHECKING:
    from edgesync.clients.rbd_blocks import RbdBlocks
    from edgesync.clients.rbd_handle import Handle

log = structlog.get_logger(__name__)

T = TypeVar("T")

# No more than there are open images; a close must never want for a thread because others hang.
CLOSERS = 1000


class Handles:
    """Those of one store."""

    def __init__(self, refusals: Refusals, calls: Calls[RbdBlocks]) -> None:
        self._refusals = refusals
        self._calls = calls
        self._closers = Threads(f"rbd-{refusals.store}-close", limit=CLOSERS)
        # Nobody uses them any more, and no thread has begun to close them.
        self._unclosed: list[Handle] = []

    async def run(self, what: str, work: Callable[[RbdBlocks], T], *, on: tuple[str, ...] = ()) -> T:
        return await self._calls.run(what, work, on=on)

    @asynccontextmanager
    async def opened(
        self, name: str, opening: Callable[[RbdBlocks], Handle], *, write: bool = False
    ) -> AsyncIterator[Handle]:
        """Open an image in a thread, and close it in one."""
        handover: Handover[Handle] = Handover(_close)
        what, on = f"open RBD image {name}", (name,) if write else ()
        try:
            yield await self.run(what, lambda pool: handover.made(lambda: opening(pool)), on=on)
        finally:
            if (handle := handover.over()) is not None:
                self._unclosed.append(handle)
            await self.close()

    async def close(self) -> None:
        """Close what nobody uses any more: the last image, and those for which there was no thread before."""
        await asyncio.gather(*(self._close(handle) for handle in tuple(self._unclosed)))

    async def extents(self, handle: Handle, *, parents: bool) -> list[Extent]:
        """Its objects, each look within a deadline of its own."""
        what = f"look which objects RBD image {handle.name} has"
        found: list[Extent] = []
        for span in handle.spans():
            found += await self.run(what, _looking(handle, span, parents=parents))
        return found

    async def _close(self, handle: Handle) -> None:
        try:
            await self._closers.run(lambda: self._shut(handle), deadline=self._refusals.deadline)
        except NoThreadError:
            self._warn(handle, "no thread is free; it is closed with the next image")
        except (EdgesyncError, TimeoutError) as trouble:
            # What was written is on disk; Ceph drops the lock and the watch of who does not answer.
            self._warn(handle, str(trouble) or "no answer")

    def _warn(self, handle: Handle, why: str) -> None:
        log.warning("RBD image not closed", image=handle.name, store=self._refusals.store, why=why)

    def _shut(self, handle: Handle) -> None:
        """In the thread. Two may have been sent to do it."""
        with suppress(ValueError):
            self._unclosed.remove(handle)
        handle.close()


def _looking(handle: Handle, span: Extent, *, parents: bool) -> Callable[[RbdBlocks], list[Extent]]:
    return lambda _: handle.extents(span, parents=parents)


def _close(handle: Handle) -> None:
    handle.close()
