"""Copies that somebody asked to have deleted: which deletions start now, and what the others wait for."""

from __future__ import annotations

from collections.abc import Iterator, Set

from edgesync.domain.action import Start, Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import Job, Work
from edgesync.domain.store import StoreId
from edgesync.plan.breaker import explain
from edgesync.plan.demand import removals
from edgesync.plan.settlement import staying
from edgesync.plan.situation import Situation


def plan_removals(situation: Situation, left: int) -> tuple[list[Start], list[Waiting]]:
    """At most `left` start, most urgent first."""
    taken = {attempt.image for attempt in situation.ledger.attempts}
    starts: list[Start] = []
    waiting: list[Waiting] = []
    for job in removals(situation.ledger):
        ready = set(_there(job, situation))
        for wait in _obstacles(job, taken, situation):
            waiting.append(wait)
            ready -= wait.stores
        if ready and len(starts) < left:
            starts.append(_removal(job, ready))
            taken.add(job.image)
        elif ready:
            why = "so many copies are being removed or repaired already"
            waiting.append(_wait(job, ready, WaitReason.BUDGET, why))
    return starts, waiting


def _there(job: Job, situation: Situation) -> frozenset[StoreId]:
    """The copies that the job is to remove; the others are settled."""
    image = situation.world.images.get(job.image)
    if image is None:
        return frozenset()
    there = job.pending & image.stores
    return there - staying(there, image, situation.world.topology.hub)


def _obstacles(job: Job, taken: Set[ImageId], situation: Situation) -> Iterator[Waiting]:
    """Why a removal, or a part of it, can't start yet."""
    image, stores = situation.world.images.get(job.image), _there(job, situation)
    if image is None or not stores:
        return
    if job.image in taken:
        yield _wait(job, stores, WaitReason.IN_FLIGHT, "another action on this image goes first")
    elif situation.locked(image):
        yield _wait(job, stores, WaitReason.LOCK, f"somebody's import holds the image (task {image.lock})")
    elif not image.active:
        why = f"the image is {image.status}; Glance deletes single copies of active images only"
        yield _wait(job, stores, WaitReason.NOT_ACTIVE, why)
    else:
        for store in sorted(stores):
            if pause := situation.paused_place(store):
                yield _wait(job, {store}, WaitReason.PAUSED, f"{pause.scope} is paused by {pause.by}")
            elif not situation.admitted(store):
                why = f"the site {explain(situation.world.sites[store].breaker)}"
                yield _wait(job, {store}, WaitReason.STORE_DOWN, why)


def _wait(job: Job, stores: Set[StoreId], reason: WaitReason, why: str) -> Waiting:
    return Waiting(image=job.image, stores=frozenset(stores), reason=reason, why=why)


def _removal(job: Job, stores: Set[StoreId]) -> Start:
    return Start(
        image=job.image,
        stores=tuple(sorted(stores)),
        allow_failure=True,
        job=job.id,
        origin=job.origin,
        requested_by=job.requested_by,
        priority=job.priority,
        why=f"{job.requested_by} asked for its removal (job {job.id})",
        work=Work.REMOVE,
    )
