"""Which copies that lack only their snapshot may be proven whole: the journal has digests of their image."""

from __future__ import annotations

from collections.abc import Set
from itertools import islice

from edgesync.domain.image import ImageId
from edgesync.domain.ports import Journal
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.domain.world import World

# Looked up in one turn: digests of a large image are megabytes.
AT_ONCE = 10


async def provable(
    journal: Journal, world: World, unproven: Set[tuple[ImageId, StoreId]]
) -> frozenset[tuple[ImageId, StoreId]]:
    """`unproven`: where that was tried in vain."""
    lacking = (
        (finding.image, store)
        for store, site in world.sites.items()
        for finding in site.findings.values()
        if finding.defect is Defect.NO_SNAPSHOT and not finding.passing and (finding.image, store) not in unproven
    )
    copies = list(islice(lacking, AT_ONCE))
    known = {image for image in {image for image, _ in copies} if await journal.digests(image) is not None}
    return frozenset((image, store) for image, store in copies if image in known)
