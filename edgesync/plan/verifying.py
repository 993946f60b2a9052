"""Verifications that persons asked for: which comparisons start now, and what the others wait for.

A comparison only reads: it needs no attempt, and copies of the image to other stores go on beside it; where the copy
itself is being repaired or removed, it waits. One goes on at each site at a time. What a person wants mended besides is
left to `upkeep`, once its comparison has been made.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgesync.domain.action import Check, Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.job import Job, Work
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.plan.breaker import explain
from edgesync.plan.situation import Situation

# Comparisons at a time, at all sites together.
AT_ONCE = 4
# What a comparison has to look at first: these say nothing of the data, or are what it found.
COMPARED = frozenset({Defect.DAMAGED, Defect.UNPROTECTED})


def plan_checks(situation: Situation) -> tuple[list[Check], list[Waiting]]:
    """First come, first served, urgent ones before."""
    checks: list[Check] = []
    waiting: list[Waiting] = []
    busy = {store for _, store in situation.checking}
    left = AT_ONCE - len(situation.checking)
    for job, store in _pending(situation):
        if wait := _obstacle(job, store, situation):
            waiting.append(wait)
        elif store in busy or left <= 0:
            why = "so many copies are being verified already" if left <= 0 else f"another copy at {store} is verified"
            waiting.append(_wait(job, store, WaitReason.BUDGET, why))
        else:
            checks.append(Check(job=job, store=store))
            busy.add(store)
            left -= 1
    return checks, waiting


def to_mend(job: Job, store: StoreId, situation: Situation) -> Finding | None:
    """What the job's comparison, or any look before, found of this copy and the job wants mended."""
    site = situation.world.sites.get(store)
    finding = site.findings.get(job.image) if site is not None else None
    if site is None or finding is None or not worth_mending(job, finding, situation.world.topology.hub):
        return None
    if finding.defect in COMPARED:
        verification = site.verified.get(job.image)
        if verification is None or verification.at < job.created_at:
            return None
    return finding


def worth_mending(job: Job, finding: Finding, hub: StoreId) -> bool:
    """Whether a repair of it comes within this job. Of the hub's copy, only the protection is mended."""
    if not job.mend or finding.obstacle or finding.defect is Defect.ORPHAN:
        return False
    return finding.store != hub or finding.defect is Defect.UNPROTECTED


def _pending(situation: Situation) -> Iterator[tuple[Job, StoreId]]:
    """What open jobs want compared and is not being compared."""
    jobs = [job for job in situation.ledger.jobs if job.work is Work.VERIFY]
    for job in sorted(jobs, key=lambda job: (not job.urgent, job.created_at)):
        image = situation.world.images.get(job.image)
        for store in sorted(job.pending & image.stores) if image is not None else ():
            if (job.image, store) not in situation.checking:
                yield job, store


def _obstacle(job: Job, store: StoreId, situation: Situation) -> Waiting | None:
    if pause := situation.pause(job.image, store):
        return _wait(job, store, WaitReason.PAUSED, f"{pause.scope} is paused by {pause.by}")
    if not situation.admitted(store):
        why = f"the site {explain(situation.world.sites[store].breaker)}"
        return _wait(job, store, WaitReason.STORE_DOWN, why)
    attempts = situation.ledger.attempts
    if any(attempt.image == job.image and store in attempt.stores for attempt in attempts):
        return _wait(job, store, WaitReason.IN_FLIGHT, "something is being done to the copy")
    if (finding := to_mend(job, store, situation)) is not None:
        return _wait(job, store, WaitReason.IN_FLIGHT, f"{finding.detail}; it is mended first")
    return None


def _wait(job: Job, store: StoreId, reason: WaitReason, why: str) -> Waiting:
    return Waiting(image=job.image, stores=frozenset({store}), reason=reason, why=why)
