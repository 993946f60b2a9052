"""Canary waves: a policy's image goes to a few sites first, and on only when it arrived there."""

from __future__ import annotations

from collections.abc import Mapping

from edgesync.domain.copy import Failure
from edgesync.domain.image import Image, ImageId
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId


def held_back(
    policy: Policy,
    image: Image,
    targets: frozenset[StoreId],
    hub: StoreId,
    failures: Mapping[tuple[ImageId, StoreId], Failure],
) -> tuple[frozenset[StoreId], str]:
    """The targets whose wave has not come yet, and why; none for a policy without waves."""
    if not policy.waves:
        return frozenset(), ""
    named = frozenset().union(*policy.waves)
    waves = [*policy.waves, targets - named - {hub}]
    done: frozenset[StoreId] = frozenset({hub})
    for number, wave in enumerate(waves, 1):
        done |= wave
        missing = (wave & targets) - image.stores
        if not missing:
            continue
        later = targets - done
        failed = sorted(store for store in missing if (image.id, store) in failures)
        if len(failed) >= policy.stop_after_failures:
            return later, f"the rollout of policy {policy.name} stopped in wave {number}: {', '.join(failed)} failed"
        if missing.issubset(failed):
            # Fewer than it takes to stop it: those are retried while the next wave goes on.
            continue
        coming = ", ".join(sorted(missing.difference(failed)))
        return later, f"wave {number} of policy {policy.name} comes first: {coming}"
    return frozenset(), ""
