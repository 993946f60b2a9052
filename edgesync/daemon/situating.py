"""Puts together what a plan is made from: by one hand for the daemon's turns and for `edgesync plan`.

So the same world, wishes and journal lead to the same plan, whoever asks.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime

from edgesync.daemon.proving import provable
from edgesync.daemon.pruning import makers_of_unwanted, pruning_policies
from edgesync.daemon.recollection import Recollection
from edgesync.daemon.wishes import Wishes
from edgesync.domain.image import ImageId
from edgesync.domain.job import AttemptId
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger, World
from edgesync.plan.situation import Situation
from edgesync.plan.wants import Wants

Copies = Set[tuple[ImageId, StoreId]]
NONE: Copies = frozenset()


async def situate(
    journal: Journal,
    world: World,
    wants: Wants,
    ledger: Ledger,
    wishes: Wishes,
    memory: Recollection,
    *,
    now: datetime,
    followed: Set[AttemptId],
    locations: bool | None,
    bases: Copies,
    stalled: Set[AttemptId] = frozenset(),
    checking: Copies = NONE,
    forgive_before: datetime | None = None,
) -> Situation:
    """`wishes` are those by which the wants were found; the rest as in `Situation`. Raises what the journal raises."""
    pruning = pruning_policies(wishes.policies)
    return Situation(
        world=world,
        wants=wants,
        ledger=ledger,
        budget=wishes.budget,
        rules=wishes.rules,
        now=now,
        followed=followed,
        stalled=stalled,
        locations=locations,
        forgive_before=forgive_before,
        served=memory.served,
        retries=memory.retries(now),
        rates=memory.rates,
        resting=memory.resting(now),
        checking=checking,
        pruning=pruning,
        makers=await makers_of_unwanted(journal, world, wants, pruning),
        bases=bases,
        provable=await provable(journal, world, memory.unproven(now)),
    )
