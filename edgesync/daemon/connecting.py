"""The clients of Glance and of each site's Ceph, from the settings; closed when whoever uses them is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from edgesync.clients.blocks import CephBlocks, OnSent, untold
from edgesync.clients.cluster import CephCluster
from edgesync.clients.glance import GlanceClient
from edgesync.clients.keystone import OpenStackAuth
from edgesync.config import Settings
from edgesync.domain.store import StoreId


@asynccontextmanager
async def connected(
    settings: Settings,
    *,
    on_request: Callable[[str, str, float], None] = lambda *_: None,
    on_login: Callable[[str, float], None] = lambda *_: None,
    on_certificate: Callable[[datetime], None] = lambda _: None,
) -> AsyncIterator[GlanceClient]:
    """A Glance client with the settings' credentials."""
    files = [str(settings.clouds_file)] if settings.clouds_file else None
    auth = OpenStackAuth(cloud=settings.cloud, config_files=files, region=settings.region, on_login=on_login)
    try:
        async with GlanceClient(
            auth,
            deadline=settings.glance.timeout,
            page_size=settings.glance.page_size,
            on_request=on_request,
            on_certificate=on_certificate,
        ) as glance:
            yield glance
    finally:
        await auth.close()


@asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[Mapping[StoreId, CephCluster]]:
    """A client for the cluster of each store that says how to reach its Ceph; nothing is connected yet."""
    clusters = {
        store: CephCluster(store, entry.ceph, deadline=settings.probes.deadline)
        for store, entry in settings.stores.items()
        if entry.ceph is not None
    }
    try:
        yield clusters
    finally:
        await asyncio.gather(*(cluster.close() for cluster in clusters.values()))


@asynccontextmanager
async def opened(settings: Settings, on_sent: OnSent = untold) -> AsyncIterator[Mapping[StoreId, CephBlocks]]:
    """The same for the rbd engine, whose connections are its own; `on_sent` is told of every write."""
    blocks = {
        store: CephBlocks(store, entry.ceph, deadline=settings.rbd.deadline, on_sent=on_sent)
        for store, entry in settings.stores.items()
        if entry.ceph is not None
    }
    try:
        yield blocks
    finally:
        await asyncio.gather(*(pool.close() for pool in blocks.values()))
