"""RBD images held open on behalf of coroutines: what was opened is closed, whatever becomes of whoever asked for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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

    async def run(self, what: str, work: Callable[[RbdBlocks], T]) -> T:
        return await self._calls.run(what, work)

    @asynccontextmanager
    async def opened(self, name: str, opening: Callable[[RbdBlocks], Handle]) -> AsyncIterator[Handle]:
        """Open an image in a thread, and close it in one."""
        handover: Handover[Handle] = Handover(_close)
        try:
            yield await self.run(f"open RBD image {name}", lambda pool: handover.made(lambda: opening(pool)))
        finally:
            await self._closed(name, handover)

    async def extents(self, handle: Handle, *, parents: bool) -> list[Extent]:
        """Its objects, each look within a deadline of its own."""
        what = f"look which objects RBD image {handle.name} has"
        found: list[Extent] = []
        for span in handle.spans():
            found += await self.run(what, lambda _, span=span: handle.extents(span, parents=parents))  # type: ignore[misc]
        return found

    async def _closed(self, name: str, handover: Handover[Handle]) -> None:
        try:
            await self._closers.run(handover.end, deadline=self._refusals.deadline)
        except (EdgesyncError, TimeoutError, NoThreadError) as trouble:
            # What was written is on disk; Ceph drops the lock and the watch of who does not answer.
            log.warning("RBD image not closed", image=name, store=self._refusals.store, why=str(trouble) or "no answer")


def _close(handle: Handle) -> None:
    handle.close()
