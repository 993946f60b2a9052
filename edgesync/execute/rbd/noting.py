"""What the engine's work tells of single copies, written down as a verification would: audits and alerts go by it."""

from __future__ import annotations

import structlog

from edgesync.domain.blocks import Verification
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError
from edgesync.execute.rbd.source import SourceDamagedError
from edgesync.execute.workbench import Workbench

log = structlog.get_logger(__name__)


async def note_sound(bench: Workbench, image: ImageId, store: StoreId) -> None:
    """A copy was compared when it was made; a site that doesn't answer now leaves it to the next verification."""
    try:
        rbd = await bench.clusters[store].inspect(image)
        found = Verification(at=bench.clock.now(), sound=True, rbd_id=rbd.id)
        await bench.sites.verified(image, store, found)
    except EdgesyncError as trouble:
        log.warning("verification not recorded", image=image, store=store, why=trouble.message)


async def note_spoilt(bench: Workbench, image: ImageId, damaged: SourceDamagedError) -> None:
    """The hub's data are not those that were uploaded: its copy is broken until somebody verifies that it is sound.

    Raises what the journal raises.
    """
    hub = bench.hub
    found = Verification(
        at=bench.clock.now(), sound=False, damage=damaged.message.rstrip("."), rbd_id=await _rbd_id(bench, image)
    )
    await bench.sites.verified(image, hub, found)
    await bench.defect(image, hub)


async def _rbd_id(bench: Workbench, image: ImageId) -> str:
    """Of the hub's RBD image; empty, for any, where nobody can tell now."""
    try:
        return (await bench.clusters[bench.hub].inspect(image)).id
    except EdgesyncError as trouble:
        log.warning("cannot see which RBD image is damaged", image=image, why=trouble.message)
        return ""
