"""`doctor`'s questions to one store's cluster: the async half. What is asked there is in `ceph_facts`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.ceph_threads import NoThreadError, Threads
from edgesync.domain.checkup import Monitored, Rights
from edgesync.domain.store import CephSettings, StoreId

if TYPE_CHECKING:
    from edgesync.clients.ceph_facts import CephFacts

T = TypeVar("T")


class CephCheckup:
    """One store's cluster, over a connection and one thread of its own. Errors and deadline as of `CephCluster`."""

    def __init__(self, store: StoreId, settings: CephSettings, *, deadline: float) -> None:
        self._store = store
        self._settings = settings
        self._deadline = deadline
        self._refusals = Refusals(store=store, settings=settings, deadline=deadline)
        self._threads = Threads(f"ceph-checkup-{store}", limit=1)
        self._facts: CephFacts | None = None

    async def monitored(self) -> Monitored:
        """Ask the monitors alone: a dead OSD does not matter."""
        return await self._run("reach the monitors", lambda facts: facts.monitored())

    async def ahead(self) -> float:
        """Seconds by which the monitors' clock is ahead of ours."""
        return await self._run("read the monitors' clock", lambda facts: facts.ahead())

    async def rights(self) -> Rights:
        """Ask the OSDs what our key may do."""
        return await self._run("try what the key may do", lambda facts: facts.rights())

    async def close(self) -> None:
        """Shut the connection down, or leave that to the call that hangs."""
        if self._facts is not None:
            with suppress(TimeoutError):
                closing = Threads(f"ceph-checkup-{self._store}-close", limit=1)
                await closing.run(self._facts.close, deadline=self._deadline)

    async def _run(self, what: str, ask: Callable[[CephFacts], T]) -> T:
        try:
            return await self._threads.run(lambda: ask(self._loaded()), deadline=self._deadline)
        except NoThreadError as error:
            raise self._refusals.busy(what, self._threads.limit) from error
        except TimeoutError as error:
            raise self._refusals.silent(what) from error

    def _loaded(self) -> CephFacts:
        """In the thread, for the import takes a while."""
        if self._facts is None:
            try:
                from edgesync.clients.ceph_facts import CephFacts  # noqa: PLC0415
            except ImportError as error:
                raise self._refusals.no_bindings() from error
            self._facts = CephFacts(self._settings, self._refusals)
        return self._facts
