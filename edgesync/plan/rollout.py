"""Canary waves: a policy's image goes to a few sites first, and on only when it arrived there."""

from __future__ import annotations

from collections.abc import Set

from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId


def held_back(
    policy: Policy, *, missing: frozenset[StoreId], failed: Set[StoreId], hub: StoreId
) -> tuple[frozenset[StoreId], str]:
    """Those stores that the policy's rollout of an image has not come to, and why; none for a policy without waves.

    `missing` are all stores where the policy wants the image and it is not, `failed` those where its last copy failed.
    """
    if not policy.waves:
        return frozenset(), ""
    # The hub is no wave's: everything comes from there.
    missing -= {hub}
    lost = missing & failed
    if len(lost) >= policy.stop_after_failures:
        # Those that failed may be tried again: only that can set it going again.
        return missing - lost, f"the rollout of policy {policy.name} has stopped: {', '.join(sorted(lost))} failed"
    later = missing
    for number, wave in enumerate(policy.waves, 1):
        later -= wave
        # Fewer failures than it takes to stop it are retried while the next wave goes on.
        if coming := (missing & wave) - lost:
            return later, f"wave {number} of policy {policy.name} comes first: {', '.join(sorted(coming))}"
    return frozenset(), ""
