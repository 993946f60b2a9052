"""What the engine's work tells of single copies, written down as a verification would: audits and alerts go by it."""

from __future__ import annotations

import structlog

from edgesync.domain.blocks import Verification
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError
from edgesync.execute.workbench import Workbench

log = structlog.get_logger(__name__)


async def note_sound(bench: Workbench, image: ImageId, store: StoreId) -> None:
    """A copy was compared when it was made; a site that doesn't answer now leaves it to the next verification."""
    try:
        await _note(bench, image, store, damage="")
    except EdgesyncError as trouble:
        log.warning("verification not recorded", image=image, store=store, why=trouble.message)


async def note_spoilt(bench: Workbench, image: ImageId, damage: str) -> None:
    """The hub's data are not those that were uploaded: that is a finding there, and nothing is made of them.

    A hub that doesn't answer now leaves it to whoever reads them next.
    """
    try:
        await _note(bench, image, bench.hub, damage=damage)
        await bench.sites.re_examine(image, bench.hub)
    except EdgesyncError as trouble:
        log.warning("damage at the hub not recorded", image=image, store=bench.hub, why=trouble.message)


async def _note(bench: Workbench, image: ImageId, store: StoreId, *, damage: str) -> None:
    rbd = await bench.clusters[store].inspect(image)
    found = Verification(at=bench.clock.now(), sound=not damage, damage=damage, rbd_id=rbd.id)
    await bench.sites.verified(image, store, found)
