"""Which copies others are layered on, for who has no daemon's background work to ask: the sites' pools tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.domain.world import World
from edgesync.errors import EdgesyncError
from edgesync.plan.chains import bases_of, members_of
from edgesync.plan.suspects import listed_at

log = structlog.get_logger(__name__)


async def bases_in(
    world: World, blocks: Mapping[StoreId, Blocks], pools: Mapping[StoreId, str]
) -> frozenset[tuple[ImageId, StoreId]]:
    """At the edges; of a site that does not tell, none is known."""
    edges = [store for store in blocks if store != world.topology.hub]
    found = await asyncio.gather(*(_bases_at(world, store, blocks[store], pools[store]) for store in edges))
    return frozenset((image, store) for store, images in zip(edges, found, strict=True) for image in images)


async def _bases_at(world: World, store: StoreId, blocks: Blocks, pool: str) -> frozenset[ImageId]:
    try:
        seen = await blocks.layers(measured=False)
    except EdgesyncError as trouble:
        log.warning("cannot see what lies on what", store=store, why=trouble.message, remedy=trouble.remedy)
        return frozenset()
    members = members_of(seen.layers, pool=pool, copies=listed_at(world.images, store), leaving=frozenset())
    return frozenset(ImageId(name) for name in bases_of(members))
