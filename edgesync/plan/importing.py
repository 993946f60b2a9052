"""New images: which imports start now, into which stores, and why others wait.

The hub is always written first. Stores that can't be written now get their copy from the hub later, by the same job.
"""

from __future__ import annotations

from datetime import datetime

from edgesync.domain.action import SettleJob, Start, Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.job import Job, Work
from edgesync.domain.store import StoreId
from edgesync.plan.budget import Slots
from edgesync.plan.demand import demand_of, imports
from edgesync.plan.gates import Gates
from edgesync.plan.situation import Situation


def plan_imports(situation: Situation, slots: Slots, gates: Gates) -> tuple[list[Start], list[Waiting]]:
    """Start what can start; `slots` are taken as it goes."""
    busy = {attempt.image for attempt in situation.ledger.attempts}
    starts: list[Start] = []
    waiting: list[Waiting] = []
    for job in imports(situation.ledger):
        if job.image in busy or overdue(job, situation):
            continue
        stores, wait = _writable_now(job, situation, slots, gates)
        waiting.extend(wait)
        if stores:
            slots.take(stores)
            starts.append(_start(job, stores, situation))
    return starts, waiting


def overdue(job: Job, situation: Situation) -> SettleJob | None:
    """The end of a job whose data nobody has sent in time."""
    patience = situation.rules.upload_patience
    if job.source is None or job.source.uri is not None or situation.now < job.created_at + patience:
        return None
    reason = f"nobody sent its data within {patience.total_seconds():g} seconds; ask for the import again"
    return SettleJob(job=job.id, image=job.image, failed=tuple(sorted(job.pending)), reason=reason)


def _writable_now(
    job: Job, situation: Situation, slots: Slots, gates: Gates
) -> tuple[frozenset[StoreId], list[Waiting]]:
    """The stores that the import can write to, none if it has to wait; and what waits."""
    if job.source is not None and job.source.uri is None:
        until = job.created_at + situation.rules.upload_patience
        return frozenset(), [_wait(job, job.pending, WaitReason.UPLOAD, "its data is being sent", until=until)]
    held = list(gates.of_new_image(demand_of(job), job.pending))
    waiting = [_wait(job, stores, gate.reason, gate.why, until=gate.until) for stores, gate in held]
    ready = job.pending.difference(*(stores for stores, _ in held))
    hub = situation.world.topology.hub
    if held and (not job.allow_failure or (hub in job.pending and hub not in ready)):
        why = f"{hub} comes first" if job.allow_failure else "all or nothing: it starts when all of its stores can"
        return frozenset(), [*waiting, *([_wait(job, ready, held[-1][1].reason, why)] if ready else [])]
    free = slots.free(ready) if slots.left else frozenset[StoreId]()
    if free != ready and (not job.allow_failure or hub not in free):
        return frozenset(), [*waiting, _wait(job, ready, WaitReason.BUDGET, "all import slots are taken")]
    return free, waiting


def _wait(
    job: Job, stores: frozenset[StoreId], reason: WaitReason, why: str, *, until: datetime | None = None
) -> Waiting:
    return Waiting(image=job.image, stores=stores, reason=reason, why=why, until=until)


def _start(job: Job, stores: frozenset[StoreId], situation: Situation) -> Start:
    hub = situation.world.topology.hub
    return Start(
        image=job.image,
        stores=tuple(sorted(stores, key=lambda store: (store != hub, store))),
        allow_failure=job.allow_failure,
        job=job.id,
        origin=job.origin,
        requested_by=job.requested_by,
        priority=job.priority,
        why=f"{job.requested_by} asked for it (job {job.id})",
        work=Work.IMPORT,
    )
