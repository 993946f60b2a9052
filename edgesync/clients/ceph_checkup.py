"""`doctor`'s questions to one store's cluster: the async half. What is asked there is in `ceph_facts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesync.clients.ceph_calls import Calls
from edgesync.clients.ceph_refusals import Refusals
from edgesync.domain.checkup import Monitored, Rights
from edgesync.domain.store import CephSettings, StoreId

if TYPE_CHECKING:
    from edgesync.clients.ceph_facts import CephFacts


class CephCheckup:
    """One store's cluster, over a connection and one thread of its own. Errors and deadline as of `CephCluster`."""

    def __init__(self, store: StoreId, settings: CephSettings, *, deadline: float) -> None:
        refusals = Refusals(store=store, settings=settings, deadline=deadline)
        self._calls = Calls(f"ceph-checkup-{store}", refusals, lambda: _load(settings, refusals), limit=1)

    async def monitored(self) -> Monitored:
        """Ask the monitors alone: a dead OSD does not matter."""
        return await self._calls.run("reach the monitors", lambda facts: facts.monitored())

    async def ahead(self) -> float:
        """Seconds by which the monitors' clock is ahead of ours."""
        return await self._calls.run("read the monitors' clock", lambda facts: facts.ahead())

    async def rights(self) -> Rights:
        """Ask the OSDs what our key may do."""
        return await self._calls.run("try what the key may do", lambda facts: facts.rights())

    async def close(self) -> None:
        await self._calls.close()


def _load(settings: CephSettings, refusals: Refusals) -> CephFacts:
    from edgesync.clients.ceph_facts import CephFacts  # noqa: PLC0415

    return CephFacts(settings, refusals)
