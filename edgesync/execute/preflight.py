"""The last look before Glance is asked for a copy: what would make it hang or fail is seen now.

A request that names a store which does not answer blocks inside Glance, and an RBD image that a crash left at the
target makes Glance fail that store for ever. Neither is a failure of the copy: nothing is sent, and the next plan
knows better, because the breaker and the findings have learnt of it here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from edgesync.domain.image import Image
from edgesync.domain.job import Attempt
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.execute.workbench import Workbench

log = structlog.get_logger(__name__)


async def obstacle(bench: Workbench, attempt: Attempt, image: Image) -> str:
    """Why the import must not be asked for now; empty: go ahead."""
    if not image.active:
        return f"the image is {image.status}"
    if there := sorted(image.stores.intersection(attempt.stores)):
        return f"the image has come to {', '.join(there)} since it was listed"
    if await bench.locked(image):
        return "somebody else's import holds the image"
    if trouble := await out_of_reach(bench, {*attempt.stores, bench.hub}):
        return trouble
    leftovers = [await _leftover(bench, image, store) for store in attempt.stores]
    return "; ".join(filter(None, leftovers))


async def out_of_reach(bench: Workbench, stores: Iterable[StoreId]) -> str:
    """Which of the stores do not answer, as a sentence; all are asked at once: two dead ones cost the time of one."""
    names = sorted(set(stores))
    troubles = await asyncio.gather(*(bench.trouble(store) for store in names))
    return "; ".join(f"{store} does not answer: {why}" for store, why in zip(names, troubles, strict=True) if why)


async def _leftover(bench: Workbench, image: Image, store: StoreId) -> str:
    """A sentence about RBD data at a store where Glance knows of none; empty where there is nothing in the way."""
    cluster = bench.clusters.get(store)
    if cluster is None:
        return ""
    try:
        await cluster.inspect(image.id)
    except NotFoundError:
        return ""
    except EdgesyncError as trouble:
        # Glance goes there with its own rights, and will tell.
        log.warning("cannot look for leftovers", image=image.id, store=store, why=trouble.message)
        return ""
    finding = await bench.defect(image.id, store)
    if finding is None or finding.defect is not Defect.ORPHAN:
        return ""
    return f"a leftover RBD image is in the way at {store}: {finding.obstacle or 'it is moved into the trash first'}"
