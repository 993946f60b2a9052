"""What edgesync does unasked to copies that are there: repairs of what an audit found, pruning. After removals.

None of it is done to an image on which something else is under way, nor behind a lock, nor at a site that is down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from itertools import chain, islice, zip_longest

from edgesync.domain.action import Start, Waiting
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Origin, Work
from edgesync.domain.policy import Policy, Repair
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.plan.removing import plan_removals
from edgesync.plan.situation import Situation
from edgesync.plan.verifying import to_mend

# Name under which edgesync's own repairs are recorded.
OURSELVES = "edgesync"

_REPAIR_OF = {
    Defect.ORPHAN: Work.TRASH,
    Defect.UNPROTECTED: Work.PROTECT,
    Defect.NO_IMAGE: Work.UNLIST,
    Defect.NO_SNAPSHOT: Work.UNLIST,
    Defect.WRONG_SIZE: Work.UNLIST,
    Defect.DAMAGED: Work.RENEW,
}


def plan_upkeep(situation: Situation) -> tuple[list[Start], list[Waiting]]:
    """What starts now, one action per image, persons first; and the removals that wait."""
    running = sum(not attempt.work.brings for attempt in situation.ledger.attempts)
    left = max(0, situation.budget.upkeep - running)
    starts, waiting = plan_removals(situation, left)
    taken = {attempt.image for attempt in situation.ledger.attempts} | {start.image for start in starts}
    # Both look at `taken` for each one they offer: what is taken from them is added to it at once.
    ours = chain(
        _asked(situation, taken),
        _repairs(situation, taken),
        _sweepings(situation, taken),
        _prunings(situation, taken),
    )
    for start in islice(ours, left - len(starts)):
        starts.append(start)
        taken.add(start.image)
    return starts, waiting


def _repairs(situation: Situation, taken: Set[ImageId]) -> Iterator[Start]:
    """One from each site in turn, so that one where much is broken does not keep all hands busy."""
    sites = situation.world.sites
    piles = [site.findings.values() for store, site in sites.items() if site.findings and situation.admitted(store)]
    for finding in chain.from_iterable(zip_longest(*piles)):
        if finding is not None and finding.image not in taken and _mendable(finding, situation):
            yield Start(
                image=finding.image,
                stores=(finding.store,),
                allow_failure=True,
                job=None,
                origin=Origin.REPAIR,
                requested_by=OURSELVES,
                priority=0,
                why=finding.detail,
                work=Work.SEAL if _sealable(finding, situation) else _REPAIR_OF[finding.defect],
            )


def _asked(situation: Situation, taken: Set[ImageId]) -> Iterator[Start]:
    """What persons want mended that have had it verified: whatever the configuration says of repairs.

    What may be proven whole gets its snapshot by edgesync's own job. The person's goes on waiting: for the comparison
    of what was sealed, or, where there was no proof, for the repair that does without.
    """
    for job in situation.ledger.jobs:
        for store in sorted(job.pending) if job.work is Work.VERIFY else ():
            finding = to_mend(job, store, situation)
            if finding is None or job.image in taken or not _mendable_as_asked(finding, situation):
                continue
            seal = _sealable(finding, situation)
            if seal and (job.image, store) in situation.resting:
                # It has just failed: edgesync's own job is not tried again at every turn.
                continue
            yield Start(
                image=job.image,
                stores=(store,),
                allow_failure=True,
                job=None if seal else job.id,
                origin=Origin.REPAIR if seal else job.origin,
                requested_by=OURSELVES if seal else job.requested_by,
                priority=job.priority,
                why=f"{finding.detail}, and {job.requested_by} asked for its repair (job {job.id})",
                work=Work.SEAL if seal else _REPAIR_OF[finding.defect],
            )


def _sweepings(situation: Situation, taken: Set[ImageId]) -> Iterator[Start]:
    """Unfinished copies of edgesync's own that nobody goes on with: one that is wanted still is left for that."""
    asked = {(job.image, store) for job in situation.ledger.jobs if job.work.brings for store in job.pending}
    for store, site in situation.world.sites.items():
        if not site.unfinished or not situation.admitted(store) or not situation.rules.trash_orphans:
            continue
        for image in sorted(site.unfinished):
            why = _needless(image, store, situation) if (image, store) not in asked else ""
            if why and image not in taken and _touchable(image, store, situation):
                yield Start(
                    image=image,
                    stores=(store,),
                    allow_failure=True,
                    job=None,
                    origin=Origin.REPAIR,
                    requested_by=OURSELVES,
                    priority=0,
                    why=f"an unfinished copy of edgesync's own is there, and {why}",
                    work=Work.SWEEP,
                )


def _needless(image_id: ImageId, store: StoreId, situation: Situation) -> str:
    """Why nobody will go on with a copy that was begun; empty: somebody may."""
    image = situation.world.images.get(image_id)
    if image is None:
        return "the image is gone"
    if store in image.stores:
        return "the copy is there"
    return "" if store in situation.wants.stores(image_id) else "nobody wants the copy any more"


def _mendable_as_asked(finding: Finding, situation: Situation) -> bool:
    """Whoever asks does not ask the settings, nor for a rest. All else holds as for what edgesync does unasked."""
    image = situation.world.images.get(finding.image)
    if image is None or not image.active or finding.store not in image.stores or situation.locked(image):
        return False
    if not situation.admitted(finding.store) or situation.pause(finding.image, finding.store) is not None:
        return False
    unlists = _REPAIR_OF[finding.defect] is Work.UNLIST and not _sealable(finding, situation)
    return not unlists or _unlistable(finding, image, situation)


def _mendable(finding: Finding, situation: Situation) -> bool:
    sealable = _sealable(finding, situation)
    if (finding.obstacle and not sealable) or not _touchable(finding.image, finding.store, situation):
        return False
    image = situation.world.images.get(finding.image)
    if finding.defect is Defect.ORPHAN:
        # It may have become a copy since the audit.
        return situation.rules.trash_orphans and (image is None or finding.store not in image.stores)
    if image is None or not image.active or finding.store not in image.stores:
        return False
    if _repair_of(finding.image, situation) is not Repair.FIX:
        return False
    return sealable or finding.defect is Defect.UNPROTECTED or _unlistable(finding, image, situation)


def _sealable(finding: Finding, situation: Situation) -> bool:
    """Whether its snapshot may be all that it lacks. To take that takes nothing away: the hub's may be sealed, too."""
    if finding.defect is not Defect.NO_SNAPSHOT or finding.passing:
        return False
    return (finding.image, finding.store) in situation.provable


def _unlistable(finding: Finding, image: Image, situation: Situation) -> bool:
    """Whether a copy's location may be taken away: only where another copy remains from which it can be made again.

    Glance deletes what RBD image there is along with the location. At the hub that might be the best that is left of
    the image, so there nothing but a location without any RBD image is taken away.
    """
    hub = situation.world.topology.hub
    if finding.store == hub and not (finding.defect is Defect.NO_IMAGE and situation.rules.edge_origin):
        return False
    return any(not _broken(image.id, store, situation) for store in image.stores - {finding.store})


def _broken(image: ImageId, store: StoreId, situation: Situation) -> bool:
    site = situation.world.sites.get(store)
    finding = site.findings.get(image) if site else None
    return finding is not None and finding.defect is not Defect.UNPROTECTED


def _repair_of(image: ImageId, situation: Situation) -> Repair:
    """What the most urgent policy with an opinion says, else the audit's own setting."""
    want = situation.wants.images.get(image)
    said = [policy.repair for policy in want.policies if policy.repair is not None] if want else []
    return said[0] if said else situation.rules.repair


def _prunings(situation: Situation, taken: Set[ImageId]) -> Iterator[Start]:
    """Copies that only a policy wanted and no longer wants, so many of each policy as it allows in a pass."""
    policies = {policy.name: policy for policy in situation.pruning}
    asked = {(job.image, store) for job in situation.ledger.jobs for store in job.pending}
    done: Counter[str] = Counter()
    for (image, store), maker in situation.makers.items():
        policy = policies.get(maker)
        if policy is None or done[maker] >= policy.prune_limit or image in taken or (image, store) in asked:
            continue
        if (image, store) not in situation.bases and _prunable(image, store, situation):
            done[maker] += 1
            yield _pruning(image, store, policy)


def leaving(situation: Situation) -> frozenset[tuple[ImageId, StoreId]]:
    """Copies that pruning takes away, now or in a later pass, once nothing is layered on them any more."""
    pruning = {policy.name for policy in situation.pruning if policy.prune_limit}
    copies = (copy for copy, maker in situation.makers.items() if maker in pruning)
    return frozenset((image, store) for image, store in copies if _prunable(image, store, situation))


def _prunable(image_id: ImageId, store: StoreId, situation: Situation) -> bool:
    image, topology = situation.world.images.get(image_id), situation.world.topology
    if image is None or not image.active or store not in image.stores:
        return False
    # No policy wants a copy at a store that Glance does not list just now: that says nothing of the copy.
    if store not in topology.writable or store in situation.wants.stores(image_id):
        return False
    # The hub's copy is what all others are made from: only where it is sound and at hand, another is one too many.
    hub = topology.hub
    if store == hub or hub not in image.stores or _broken(image_id, hub, situation) or not situation.admitted(hub):
        return False
    return _touchable(image_id, store, situation) and situation.admitted(store)


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


def _touchable(image_id: ImageId, store: StoreId, situation: Situation) -> bool:
    """Whether edgesync may do something to a copy unasked."""
    image = situation.world.images.get(image_id)
    if (image_id, store) in situation.resting or (image is not None and situation.locked(image)):
        return False
    return situation.pause(image_id, store) is None
