"""What is done to copies that are there: removals that somebody asked for, repairs of what an audit found, pruning.

None of it is done to an image on which something else is under way, nor behind a lock, nor at a site that is down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from edgesync.domain.action import Start, Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import Job, Origin, Work
from edgesync.domain.policy import Policy, Repair
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.plan.breaker import admits
from edgesync.plan.demand import removals
from edgesync.plan.situation import Situation

# Name under which edgesync's own repairs are recorded.
OURSELVES = "edgesync"

_REPAIR_OF = {
    Defect.ORPHAN: Work.TRASH,
    Defect.UNPROTECTED: Work.PROTECT,
    Defect.NO_IMAGE: Work.UNLIST,
    Defect.NO_SNAPSHOT: Work.UNLIST,
    Defect.WRONG_SIZE: Work.UNLIST,
}


def plan_upkeep(situation: Situation) -> tuple[list[Start], list[Waiting]]:
    """What starts now, one action per image, persons first; and the removals that wait."""
    running = [attempt for attempt in situation.ledger.attempts if not attempt.work.brings]
    left = max(0, situation.budget.upkeep - len(running))
    taken = {attempt.image for attempt in situation.ledger.attempts}
    starts: list[Start] = []
    waiting: list[Waiting] = []
    for job in removals(situation.ledger):
        if job.image in taken:
            continue
        obstacle = _obstacle(job, situation)
        if obstacle is not None:
            waiting.append(obstacle)
        elif len(starts) < left:
            starts.append(_removal(job, situation))
            taken.add(job.image)
    for start in (*_repairs(situation), *_prunings(situation)):
        if len(starts) < left and start.image not in taken:
            starts.append(start)
            taken.add(start.image)
    return starts, waiting


def _obstacle(job: Job, situation: Situation) -> Waiting | None:
    """Why a removal can't start yet."""
    image = situation.world.images.get(job.image)
    stores = job.pending if image is None else job.pending & image.stores
    if image is None or not stores:
        return Waiting(image=job.image, stores=job.pending, reason=WaitReason.READY, why="the copy is gone already")
    if situation.locked(image):
        why = f"somebody's import holds the image (task {image.lock})"
        return Waiting(image=job.image, stores=stores, reason=WaitReason.LOCK, why=why)
    down = frozenset(store for store in stores if not _admitted(store, situation))
    if down:
        why = "the site does not answer; edgesync stores tells since when"
        return Waiting(image=job.image, stores=down, reason=WaitReason.STORE_DOWN, why=why)
    return None


def _removal(job: Job, situation: Situation) -> Start:
    image = situation.world.images[job.image]
    return Start(
        image=job.image,
        stores=tuple(sorted(job.pending & image.stores)),
        allow_failure=True,
        job=job.id,
        origin=job.origin,
        requested_by=job.requested_by,
        priority=job.priority,
        why=f"{job.requested_by} asked for its removal (job {job.id})",
        work=Work.REMOVE,
    )


def _repairs(situation: Situation) -> Iterator[Start]:
    for store, site in situation.world.sites.items():
        if not site.findings or not _admitted(store, situation):
            continue
        for finding in site.findings.values():
            if _mendable(finding, situation):
                yield Start(
                    image=finding.image,
                    stores=(store,),
                    allow_failure=True,
                    job=None,
                    origin=Origin.REPAIR,
                    requested_by=OURSELVES,
                    priority=0,
                    why=finding.detail,
                    work=_REPAIR_OF[finding.defect],
                )


def _mendable(finding: Finding, situation: Situation) -> bool:
    copy = (finding.image, finding.store)
    if finding.obstacle or copy in situation.resting:
        return False
    if any(pause.covers(*copy) for pause in situation.ledger.pauses):
        return False
    image = situation.world.images.get(finding.image)
    if image is not None and situation.locked(image):
        return False
    if finding.defect is Defect.ORPHAN:
        return situation.rules.trash_orphans
    return _repair_of(finding.image, situation) is Repair.FIX


def _repair_of(image: ImageId, situation: Situation) -> Repair:
    """What the most urgent policy with an opinion says, else the audit's own setting."""
    want = situation.wants.images.get(image)
    said = [policy.repair for policy in want.policies if policy.repair is not None] if want else []
    return said[0] if said else situation.rules.repair


def _prunings(situation: Situation) -> Iterator[Start]:
    """Copies that only a policy wanted and no longer wants, so many of each policy as it allows in a pass."""
    policies = {policy.name: policy for policy in situation.pruning}
    done: Counter[str] = Counter()
    for (image, store), maker in situation.makers.items():
        policy = policies.get(maker)
        if policy is None or done[maker] >= policy.prune_limit or not _prunable(image, store, situation):
            continue
        done[maker] += 1
        yield _pruning(image, store, policy)


def _prunable(image_id: ImageId, store: StoreId, situation: Situation) -> bool:
    image = situation.world.images.get(image_id)
    if image is None or not image.active or store not in image.stores or situation.locked(image):
        return False
    # The hub's copy is what all others are made from.
    if store == situation.world.topology.hub or situation.world.topology.hub not in image.stores:
        return False
    if store in situation.wants.stores(image_id) or (image_id, store) in situation.resting:
        return False
    if any(job.image == image_id and store in job.pending for job in situation.ledger.jobs):
        return False
    paused = any(pause.covers(image_id, store) for pause in situation.ledger.pauses)
    return not paused and _admitted(store, situation)


def _pruning(image: ImageId, store: StoreId, policy: Policy) -> Start:
    return Start(
        image=image,
        stores=(store,),
        allow_failure=True,
        job=None,
        origin=Origin.POLICY,
        requested_by=policy.name,
        priority=policy.priority,
        why=f"policy {policy.name} no longer wants it, and nobody else does (prune)",
        work=Work.REMOVE,
    )


def _admitted(store: StoreId, situation: Situation) -> bool:
    site = situation.world.sites.get(store)
    return site is None or admits(site.breaker, situation.now, running=0)
