"""`doctor`: look at everything that makes edge replication fail, and say what is wrong. Changes nothing.

Nothing that fails here keeps the rest from being looked at: errors are findings. Everything that waits for somebody
else has a deadline, and what has nothing to do with each other waits side by side, so that a dead site costs its
deadline once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from edgesync.clients.ceph_threads import Threads
from edgesync.clients.daemon_api import DaemonApi
from edgesync.clients.daemon_way import Way
from edgesync.config import Settings
from edgesync.daemon.clock import SystemClock
from edgesync.daemon.doctor_cloud import Cloud, Desk, log_in, look_at_cloud
from edgesync.daemon.doctor_sites import AUDIT_LIMIT, Ward, audit
from edgesync.daemon.doctor_tries import tried
from edgesync.domain.image import Image, ImageId
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.domain.world import World
from edgesync.errors import EdgesyncError, PermanentError, UnreachableError
from edgesync.journal import open_journal
from edgesync.plan.diagnosis import Diagnosis, ordered, unknown
from edgesync.plan.diagnosis_audit import Audited, Mending, judge_audits
from edgesync.plan.diagnosis_host import judge_daemon, judge_journal, judge_pauses, judge_staging
from edgesync.plan.diagnosis_images import judge_at_hub, judge_formats, judge_locks
from edgesync.plan.diagnosis_settings import judge_policies, judge_store_settings
from edgesync.plan.diagnosis_sites import SiteFacts, judge_site
from edgesync.plan.diagnosis_stores import judge_same_cluster, misled
from edgesync.plan.wants import Wants, update_wants

# Seconds for the daemon's answer, and for the file system of the staging area.
PROMPT = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """What the journal knows."""

    journal: Journal
    pauses: tuple[Pause, ...] = ()
    # What kept it from being read.
    error: EdgesyncError | None = None


async def examine(settings: Settings, *, api: str, way: Way | None = None) -> tuple[Diagnosis, ...]:
    """Everything that was looked at, the worst first. `api` is where a daemon may answer."""
    clock = SystemClock()
    async with log_in(settings) as desk, _wards(settings) as ward, _records(settings) as records:
        cloud, sites, health, free = await asyncio.gather(
            look_at_cloud(desk, settings, clock), ward.look(), tried(_ask_daemon(api, way)), tried(_free(settings))
        )
        wants = _wants(settings, cloud)
        audits = await _audit(settings, cloud, sites, desk, ward, records)
    mending = Mending(
        trashes=settings.audit.trashes, repair=settings.audit.repair, wants=wants or Wants(), pauses=records.pauses
    )
    images: Mapping[ImageId, Image] = cloud.images or {}
    return ordered(
        [
            *cloud.diagnoses,
            *_of_settings(settings, cloud, wants, clock),
            *_of_sites(settings, cloud, sites),
            *_of_images(settings, cloud, wants, clock),
            *judge_audits(audits, images, mending, limit=AUDIT_LIMIT),
            judge_staging(settings.glance.staging, free, wants, images, at_once=settings.limits.imports),
            judge_journal(records.error),
            *judge_pauses(records.pauses),
            judge_daemon(api, health),
        ]
    )


def _wants(settings: Settings, cloud: Cloud) -> Wants | None:
    if cloud.topology is None or cloud.images is None:
        return None
    world = World(topology=cloud.topology, images=cloud.images, changed=None, at=cloud.at)
    return update_wants(Wants(), world, settings.policies, edge_origin=settings.edge_origin)


def _of_settings(settings: Settings, cloud: Cloud, wants: Wants | None, clock: SystemClock) -> Iterator[Diagnosis]:
    yield from judge_policies(settings.policies, cloud.topology, cloud.images, wants, settings.where)
    yield from judge_store_settings(settings.stores, cloud.topology, clock.now(), settings.where)


def _of_sites(settings: Settings, cloud: Cloud, sites: Mapping[StoreId, SiteFacts]) -> Iterator[Diagnosis]:
    for site in sites.values():
        yield from judge_site(site)
    ceph = {store: site.ceph for store, site in sites.items()}
    yield from judge_same_cluster(ceph, _reached(sites), cloud.topology, settings.where)


def _of_images(settings: Settings, cloud: Cloud, wants: Wants | None, clock: SystemClock) -> Iterator[Diagnosis]:
    if cloud.images is None or wants is None:
        yield unknown("images", "Glance did not show them: formats, locks and copies were not looked at.")
        return
    yield judge_formats(cloud.images.values())
    yield from judge_at_hub(wants, cloud.images, settings.hub, edge_origin=settings.edge_origin)
    yield from judge_locks(
        cloud.locks, patience=settings.stall.after, now=clock.now(), unseen=cloud.locks_unseen, most=cloud.locked
    )


async def _audit(
    settings: Settings,
    cloud: Cloud,
    sites: Mapping[StoreId, SiteFacts],
    desk: Desk,
    ward: Ward,
    records: Records,
) -> list[Audited]:
    """Audit the sites that answer and are those that Glance means."""
    if cloud.images is None or cloud.topology is None:
        return []
    astray = misled(_reached(sites), {store: site.ceph for store, site in sites.items()}, cloud.topology)
    stores = [store for store, site in sites.items() if site.alive and store not in astray]
    return await audit(
        settings,
        {store: ward.clusters[store] for store in stores},
        glance=desk.glance,
        journal=records.journal,
        images=cloud.images,
        topology=cloud.topology,
    )


def _reached(sites: Mapping[StoreId, SiteFacts]) -> dict[StoreId, str]:
    return {store: site.fsid for store, site in sites.items() if site.fsid is not None}


@asynccontextmanager
async def _wards(settings: Settings) -> AsyncIterator[Ward]:
    ward = Ward.of(settings)
    try:
        yield ward
    finally:
        await ward.close()


class _Blank:
    """Stands for a journal that can't be read: nothing is known to be ours, so less may be mended."""

    async def attempted(self, _copies: object) -> frozenset[tuple[ImageId, StoreId]]:
        return frozenset()


@asynccontextmanager
async def _records(settings: Settings) -> AsyncIterator[Records]:
    """The journal, opened for reading: a daemon may be at work on it."""
    async with AsyncExitStack() as opened:
        try:
            journal = await open_journal(settings.journal.url, readonly=True)
            opened.push_async_callback(journal.close)
            records = Records(journal=journal, pauses=await journal.paused())
        except EdgesyncError as error:
            records = Records(journal=cast("Journal", _Blank()), error=error)
        yield records


async def _ask_daemon(api: str, way: Way | None) -> Mapping[str, Any]:
    async with DaemonApi(api, way) as daemon:
        try:
            async with asyncio.timeout(PROMPT):
                return await daemon.get("/v1/health")
        except TimeoutError as error:
            raise UnreachableError(
                f"The daemon at {api} does not answer within {PROMPT:g} s", remedy="Look into its log."
            ) from error


async def _free(settings: Settings) -> int | None:
    """Bytes that are free in Glance's staging area, in a thread of its own: it may be on a network."""
    path = settings.glance.staging
    if path is None:
        return None
    try:
        found = await Threads("staging", limit=1).run(lambda: os.statvfs(path), deadline=PROMPT)
    except (OSError, TimeoutError) as error:
        why = f"{error.strerror}" if isinstance(error, OSError) and error.strerror else f"no answer in {PROMPT:g} s"
        raise PermanentError(
            f"{path} (glance.staging) can't be looked at: {why}.",
            remedy="Name Glance's staging folder, [os_glance_staging_store] filesystem_store_datadir; or take it out.",
        ) from error
    return found.f_bavail * found.f_frsize
