"""What `doctor` sees of the sites, all of them side by side, each by one question after the other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from edgesync.clients.ceph_checkup import CephCheckup
from edgesync.clients.cluster import CephCluster
from edgesync.config import Settings
from edgesync.daemon.clock import SystemClock
from edgesync.daemon.doctor_tries import tried
from edgesync.domain.image import Image, ImageId
from edgesync.domain.ports import Cluster, Glance, Journal
from edgesync.domain.store import StoreId, Topology
from edgesync.errors import EdgesyncError
from edgesync.observe.auditing import AuditRules
from edgesync.observe.probing import ProbeRules
from edgesync.observe.sites import Sites
from edgesync.plan.breaker import BreakerRules
from edgesync.plan.diagnosis_audit import Audited
from edgesync.plan.diagnosis_sites import Pulse, SiteFacts

# Seconds that all audits together may take: by reckoning, 800 images over a line of 50 ms (not tried).
AUDIT_LIMIT = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ward:
    """The clusters that are configured, each with who asks what only `doctor` asks."""

    settings: Settings
    clusters: Mapping[StoreId, CephCluster]
    checkups: Mapping[StoreId, CephCheckup]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        ceph = {store: entry.ceph for store, entry in settings.stores.items() if entry.ceph is not None}
        deadline = settings.probes.deadline
        return cls(
            settings=settings,
            clusters={store: CephCluster(store, entry, deadline=deadline) for store, entry in ceph.items()},
            checkups={store: CephCheckup(store, entry, deadline=deadline) for store, entry in ceph.items()},
        )

    async def look(self) -> dict[StoreId, SiteFacts]:
        looked = await asyncio.gather(*(self._look(store) for store in self.clusters))
        return {site.store: site for site in looked}

    async def close(self) -> None:
        await asyncio.gather(
            *(cluster.close() for cluster in self.clusters.values()),
            *(checkup.close() for checkup in self.checkups.values()),
        )

    async def _look(self, store: StoreId) -> SiteFacts:
        """From the outside in: what doesn't answer is not asked further."""
        entry, checkup = self.settings.store(store), self.checkups[store]
        if entry.ceph is None:
            raise RuntimeError("only stores with Ceph have a cluster")
        monitored = await tried(checkup.monitored())
        facts = SiteFacts(store=store, ceph=entry.ceph, max_fill=entry.max_pool_fill, monitored=monitored)
        if isinstance(monitored, EdgesyncError):
            return facts
        pulse = await tried(_pulse(self.clusters[store]))
        if isinstance(pulse, EdgesyncError):
            return replace(facts, pulse=pulse)
        rights = await tried(checkup.rights())
        return replace(facts, pulse=pulse, rights=rights, ahead=await tried(checkup.ahead()))


async def _pulse(cluster: Cluster) -> Pulse:
    await cluster.probe()
    images = await cluster.names()
    started = time.monotonic()
    capacity = await cluster.probe()
    return Pulse(seconds=time.monotonic() - started, capacity=capacity, images=len(images))


async def audit(
    settings: Settings,
    clusters: Mapping[StoreId, Cluster],
    *,
    glance: Glance,
    journal: Journal,
    images: Mapping[ImageId, Image],
    topology: Topology,
) -> list[Audited]:
    """One audit of each, by the daemon's own rules."""
    sites = Sites(
        clusters,
        SystemClock(),
        journal,
        glance,
        probes=ProbeRules(
            every=settings.probes.every,
            deadline=settings.probes.deadline,
            breaker=BreakerRules(
                failures=settings.breaker.failures, first=settings.breaker.first, ceiling=settings.breaker.ceiling
            ),
        ),
        audit=AuditRules(every=settings.audit.every, grace=settings.audit.grace),
        rng=random.random,
    )
    sites.see(images, topology)
    try:
        async with asyncio.timeout(AUDIT_LIMIT):
            await sites.first(audit=True)
    except TimeoutError:
        # What they have found so far counts.
        pass
    finally:
        await sites.close()
    return [
        Audited(store=store, findings=site.findings, complete=site.audited_at is not None)
        for store, site in sites.sites(clusters).items()
    ]
