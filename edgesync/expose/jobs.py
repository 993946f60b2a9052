"""How a job stands, store by store."""

from __future__ import annotations

from collections.abc import Sequence

from edgesync.domain.action import Start, Waiting
from edgesync.domain.copy import Stall
from edgesync.domain.job import Attempt, Job, StoreResult, Work
from edgesync.expose.picture import Picture
from edgesync.expose.views import JobView, StoreResultView
from edgesync.expose.ways import engine_of, way_of


def job_view(job: Job, picture: Picture | None, notes: Sequence[str] = ()) -> JobView:
    return JobView(
        id=job.id,
        work=job.work,
        image=job.image,
        image_name=job.image_name,
        origin=job.origin,
        requested_by=job.requested_by,
        allow_failure=job.allow_failure,
        urgent=job.urgent,
        engine=job.engine if job.work.brings else "",
        state=job.state,
        stores=[_result_view(job, entry, picture) for entry in job.stores],
        created_at=job.created_at,
        ended_at=job.ended_at,
        waiting=_waiting_of(job, picture),
        uri=(job.source.uri or "") if job.source else "",
        notes=list(notes),
    )


def _result_view(job: Job, entry: StoreResult, picture: Picture | None) -> StoreResultView:
    view = StoreResultView(store=entry.store, result=entry.result, reason=entry.reason)
    if picture is None or entry.result.ended:
        return view
    attempt = _bringing(job, entry, picture)
    if stall := _stall_of(entry, attempt, picture):
        view.stalled = f"{stall.why}; {stall.next}"
    if job.work.brings and attempt is not None and attempt.work is Work.COPY:
        view.engine = attempt.engine
    progress = picture.progress.get((job.image, entry.store))
    if progress is not None:
        view.bytes_done, view.bytes_total = progress.bytes_done, progress.bytes_total
        view.rate, view.eta, view.since = progress.rate, progress.eta, progress.since
        return view
    image = picture.world.images.get(job.image)
    view.bytes_total = image.size if image and job.work.brings else None
    if job.work.brings and attempt is not None:
        # Begun, and not looked at yet: a file on its way to Glance, an import in its first second.
        view.since = attempt.started_at
        return view
    waiting = next((waiting for waiting in _waits_of(job, picture) if entry.store in waiting.stores), None)
    if waiting is not None:
        view.waiting, view.until = f"{waiting.reason}: {waiting.why}", waiting.until
        view.engine = waiting.engine or ""
    elif start := _starting(job, entry, picture):
        view.engine, view.way = engine_of(start.work, start.engine), way_of(picture, start, [entry.store])
    return view


def _starting(job: Job, entry: StoreResult, picture: Picture) -> Start | None:
    """What is about to bring the image to this store, for this job or for another one."""
    starts = picture.plan.starts if job.work.brings else ()
    return next((start for start in starts if start.image == job.image and entry.store in start.stores), None)


def _stall_of(entry: StoreResult, attempt: Attempt | None, picture: Picture) -> Stall | None:
    stall = picture.stalls.get(attempt.id) if attempt is not None else None
    return stall if stall is not None and stall.store == entry.store else None


def _bringing(job: Job, entry: StoreResult, picture: Picture) -> Attempt | None:
    """What brings the image to this store just now, for this job or for another one."""
    attempt = picture.attempts.get(job.image)
    return attempt if attempt is not None and attempt.work.brings and entry.store in attempt.stores else None


def _waits_of(job: Job, picture: Picture) -> Sequence[Waiting]:
    return [waiting for waiting in picture.waits.get(job.image, ()) if waiting.stores & job.pending]


def _waiting_of(job: Job, picture: Picture | None) -> str:
    if picture is None or job.state.ended:
        return ""
    return next((f"{waiting.reason}: {waiting.why}" for waiting in _waits_of(job, picture)), "")
