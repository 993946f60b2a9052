"""How long each site has been waiting for a copy that it should have, against what the policies allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeAlias

from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags, policies_of
from edgesync.expose.picture import Picture


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Of one policy at one site."""

    policy: str
    # Since when the copy has been missing that has been missing for the longest.
    since: datetime
    # For how long one may be missing; None: the policy doesn't say.
    objective: timedelta | None
    # Whether it has been longer.
    late: bool


Waits: TypeAlias = Mapping[StoreId, tuple[Wait, ...]]
NO_WAITS: Waits = MappingProxyType({})


def waits_of(picture: Picture, lags: Lags) -> Waits:
    """Those of the sites that miss something, the longest first."""
    objectives = {policy.name: policy.lag_objective for policy in policies_of(picture)}
    found: defaultdict[StoreId, list[Wait]] = defaultdict(list)
    for (store, policy), since in lags.oldest(picture).items():
        objective = objectives[policy]
        late = objective is not None and picture.world.at - since > objective
        found[store].append(Wait(policy=policy, since=since, objective=objective, late=late))
    return {store: tuple(sorted(waits, key=lambda wait: wait.since)) for store, waits in found.items()}
