"""The plan: what to start, follow or settle now, and why everything else waits."""

from __future__ import annotations

from edgesync.domain.action import Action, Follow, Plan
from edgesync.plan.allocation import Allocation
from edgesync.plan.budget import Room, Slots
from edgesync.plan.engine_choice import Engines, means_of
from edgesync.plan.gates import Gates
from edgesync.plan.settlement import plan_settlements
from edgesync.plan.sifting import Sieve
from edgesync.plan.situation import Situation
from edgesync.plan.upkeep import plan_upkeep
from edgesync.plan.verifying import plan_checks


def make_plan(situation: Situation) -> Plan:
    """Decide. At most one action per image, none for an image on which one is under way."""
    ledger, world = situation.ledger, situation.world
    actions: list[Action] = [
        Follow(attempt=attempt) for attempt in ledger.attempts if attempt.id not in situation.followed
    ]
    actions.extend(plan_settlements(situation))
    slots = Slots(situation.budget, ledger.attempts, world.sites, situation.stalled)
    room = Room(situation.budget, world.sites, ledger.attempts, world.images)

    upkeep, held = plan_upkeep(situation)
    checks, unready = plan_checks(situation)
    engines = Engines(means_of(situation))
    candidates, waiting = Sieve(situation, Gates(situation, room, engines), engines).run()
    taken = [start.image for start in upkeep]
    starts, left = Allocation(situation, slots, room, taken).run(candidates)
    return Plan(actions=(*actions, *upkeep, *starts, *checks), waiting=(*held, *waiting, *left, *unready))
