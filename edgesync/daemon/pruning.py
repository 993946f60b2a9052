"""What may be pruned: copies that no policy wants, of which the journal knows that a pruning policy had them made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgesync.domain.image import ImageId
from edgesync.domain.policy import Policy
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.domain.world import World
from edgesync.plan.wants import Wants


def pruning_policies(policies: Sequence[Policy]) -> tuple[Policy, ...]:
    return tuple(policy for policy in policies if policy.prune)


async def makers_of_unwanted(
    journal: Journal, world: World, wants: Wants, pruning: Sequence[Policy]
) -> Mapping[tuple[ImageId, StoreId], str]:
    """Which of these policies had copies made that no policy wants now; looked up after a full pass only."""
    if not world.full or not pruning:
        return {}
    hub = world.topology.hub
    unwanted = [image.id for image in world.images.values() if image.stores - wants.stores(image.id) - {hub}]
    makers = await journal.makers(unwanted) if unwanted else {}
    names = {policy.name for policy in pruning}
    return {copy: maker for copy, maker in makers.items() if maker in names}
