"""The plan: what to start, follow or settle now, and why everything else waits."""

from __future__ import annotations

from collections.abc import Iterator

from edgesync.domain.action import Action, Follow, Plan, SettleJob, Waiting
from edgesync.domain.job import Job, Work
from edgesync.domain.store import StoreId
from edgesync.plan.allocation import Allocation, Candidate
from edgesync.plan.budget import Room, Slots
from edgesync.plan.demand import Demand, demands
from edgesync.plan.gates import Gates, Obstacle
from edgesync.plan.importing import overdue, plan_imports
from edgesync.plan.situation import Situation
from edgesync.plan.upkeep import plan_upkeep


def make_plan(situation: Situation) -> Plan:
    """Decide. At most one action per image, none for an image on which one is under way."""
    ledger, world = situation.ledger, situation.world
    actions: list[Action] = [
        Follow(attempt=attempt) for attempt in ledger.attempts if attempt.id not in situation.followed
    ]
    actions.extend(_settlements(situation))
    # An import that does not get on keeps no other from starting.
    running = [attempt for attempt in ledger.attempts if attempt.work.brings and attempt.id not in situation.stalled]
    slots = Slots(situation.budget, running, world.sites)
    room = Room(situation.budget, world.sites, ledger.attempts, world.images)
    gates = Gates(situation, room)

    upkeep, held = plan_upkeep(situation)
    imports, unborn = plan_imports(situation, slots, gates)
    candidates, waiting = _sift(situation, gates)
    taken = {start.image for start in (*upkeep, *imports)}
    starts, left = Allocation(situation, slots, room, taken).run(candidates)
    return Plan(actions=(*actions, *upkeep, *imports, *starts), waiting=(*held, *unborn, *waiting, *left))


def _settlements(situation: Situation) -> Iterator[SettleJob]:
    """Jobs that need no attempt any more: another request did it, or the image is gone."""
    busy = {attempt.image for attempt in situation.ledger.attempts}
    for job in situation.ledger.jobs:
        if job.image not in busy and job.pending and (settled := _settled(job, situation)):
            yield settled


def _settled(job: Job, situation: Situation) -> SettleJob | None:
    image = situation.world.images.get(job.image)
    pending = tuple(sorted(job.pending))
    if job.work is Work.REMOVE:
        gone = pending if image is None else tuple(store for store in pending if store not in image.stores)
        why = "the copy was gone when the job's turn came"
        return SettleJob(job=job.id, image=job.image, removed=gone, reason=why) if gone else None
    if not job.imported and (image is None or not image.active):
        return overdue(job, situation)
    if image is None:
        return SettleJob(job=job.id, image=job.image, failed=pending, reason="the image was deleted")
    there = tuple(sorted(job.pending & image.stores))
    if job.work.brings and there and image.active:
        why = "the copy was there when the job's turn came"
        return SettleJob(job=job.id, image=job.image, copied=there, reason=why)
    return None


def _sift(situation: Situation, gates: Gates) -> tuple[list[Candidate], list[Waiting]]:
    """Part what lacks nothing but a slot from what has to wait for something else."""
    candidates: list[Candidate] = []
    waiting: list[Waiting] = []
    attempts = {attempt.image: attempt for attempt in situation.ledger.attempts}
    topology, rules = situation.world.topology, situation.rules
    for demand in demands(situation.ledger, situation.wants, topology, edge_origin=rules.edge_origin):
        image = situation.world.images.get(demand.image)
        if image is None:
            continue
        stores = demand.stores - image.stores
        if (attempt := attempts.get(demand.image)) and attempt.work.brings:
            stores -= frozenset(attempt.stores)
        if not stores:
            continue
        if topology.hub not in image.stores and image.stores and rules.edge_origin:
            stores |= {topology.hub}
        if obstacle := gates.of_image(image):
            waiting.append(_wait(demand, stores, obstacle))
            continue
        held = list(gates.of_stores(demand, image, stores))
        ready = stores.difference(*(some for some, _ in held))
        waiting.extend(_wait(demand, some, obstacle) for some, obstacle in held)
        if ready and not demand.allow_failure and held and ready != {topology.hub}:
            obstacle = Obstacle(reason=held[-1][1].reason, why="all or nothing: it starts when all of its stores can")
            waiting.append(_wait(demand, ready, obstacle))
        elif ready:
            candidates.append(Candidate(demand=demand, image=image, ready=ready))
    return candidates, waiting


def _wait(demand: Demand, stores: frozenset[StoreId], obstacle: Obstacle) -> Waiting:
    """What waits: by the reason, as a job whose stores wait for several is shown with each."""
    return Waiting(image=demand.image, stores=stores, reason=obstacle.reason, why=obstacle.why, until=obstacle.until)
