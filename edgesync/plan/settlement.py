"""Jobs that need no attempt any more: another request did it, the image is gone, or it must not be done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from edgesync.domain.action import SettleJob
from edgesync.domain.image import Image
from edgesync.domain.job import Job, Origin, Work
from edgesync.domain.store import StoreId
from edgesync.plan.demand import awaits_data
from edgesync.plan.situation import Situation
from edgesync.plan.wants import NOWHERE

BROKEN_OFF = "broken off before it began; it is planned anew if it is still needed"


def plan_settlements(situation: Situation) -> Iterator[SettleJob]:
    """None for a job on whose image something is under way: that may be what it waits for."""
    busy = {attempt.image for attempt in situation.ledger.attempts}
    for job in situation.ledger.jobs:
        if job.image not in busy and job.pending:
            yield from _settled(job, situation)


def promised_until(job: Job, situation: Situation) -> datetime | None:
    """How long an import waits for the file that whoever asked sends; None when Glance fetches the data itself."""
    if job.source is None or job.source.uri is not None:
        return None
    return job.created_at + situation.rules.upload_patience


def _settled(job: Job, situation: Situation) -> Iterator[SettleJob]:
    image = situation.world.images.get(job.image)
    if job.work is Work.REMOVE and job.origin is Origin.PERSON:
        yield from _removal(job, image, situation)
    elif job.work is Work.VERIFY:
        if gone := job.pending - (image.stores if image is not None else NOWHERE):
            yield _failed(job, gone, "the image was deleted" if image is None else "Glance lists no copy there")
    elif not job.work.brings:
        # edgesync's own removals and repairs begin together with their attempt. This one's was never carried out.
        yield _failed(job, job.pending, BROKEN_OFF)
    elif awaits_data(job, image):
        until = promised_until(job, situation)
        if until is not None and until <= situation.now:
            patience = f"{situation.rules.upload_patience.total_seconds():g} seconds"
            yield _failed(job, job.pending, f"nobody sent its data within {patience}; ask for the import again")
    elif image is None:
        yield _failed(job, job.pending, "the image was deleted")
    elif image.active and (there := job.pending & image.stores):
        why = "the copy was there when the job's turn came"
        yield SettleJob(job=job.id, image=job.image, copied=tuple(sorted(there)), reason=why)


def _removal(job: Job, image: Image | None, situation: Situation) -> Iterator[SettleJob]:
    """Copies that are gone already, and those that stay whoever asks: the hub's, and the last one."""
    there = NOWHERE if image is None else job.pending & image.stores
    if gone := job.pending - there:
        why = "the copy was gone when the job's turn came"
        yield SettleJob(job=job.id, image=job.image, removed=tuple(sorted(gone)), reason=why)
    if image is not None and (kept := staying(there, image, situation.world.topology.hub)):
        yield _failed(job, kept, "it is the copy from which all others are made; delete the image instead")


def staying(stores: frozenset[StoreId], image: Image, hub: StoreId) -> frozenset[StoreId]:
    """Those of an image's copies that are not removed, whoever asks: the hub's or, before it has one, all there are."""
    if hub in image.stores:
        return stores & {hub}
    return stores if stores == image.stores else NOWHERE


def _failed(job: Job, stores: frozenset[StoreId], reason: str) -> SettleJob:
    return SettleJob(job=job.id, image=job.image, failed=tuple(sorted(stores)), reason=reason)
