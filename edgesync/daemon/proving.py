"""Which copies that lack only their snapshot may be proven whole: the journal has digests of their image."""

from __future__ import annotations

from collections.abc import Set

from edgesync.domain.image import ImageId
from edgesync.domain.ports import Journal
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.domain.world import World


async def provable(
    journal: Journal, world: World, unproven: Set[tuple[ImageId, StoreId]]
) -> frozenset[tuple[ImageId, StoreId]]:
    """`unproven`: where that was tried in vain."""
    lacking = {
        (finding.image, store)
        for store, site in world.sites.items()
        for finding in site.findings.values()
        if finding.defect is Defect.NO_SNAPSHOT and not finding.passing and (finding.image, store) not in unproven
    }
    if not lacking:
        return frozenset()
    known = await journal.digested({image for image, _ in lacking})
    return frozenset((image, store) for image, store in lacking if image in known)
