"""The view models. JSON, tables and pages agree because all of them show these."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from edgesync.domain.copy import CopyState
from edgesync.domain.job import Event, Job
from edgesync.expose.picture import Picture


class CopyView(BaseModel):
    """One image in one store."""

    state: CopyState
    reason: str = ""
    bytes_done: int | None = None
    bytes_total: int | None = None
    # Bytes per second.
    rate: float | None = None
    # Seconds.
    eta: float | None = None
    # When Glance was asked for it, while it is copied.
    since: datetime | None = None
    attempts: int | None = None
    next_try: datetime | None = None
    remedy: str = ""


class ImageView(BaseModel):
    """One row of the matrix."""

    id: str
    name: str
    status: str
    visibility: str
    size: int | None
    policies: list[str]
    copies: dict[str, CopyView]


class StoreView(BaseModel):
    id: str
    role: str
    type: str
    description: str
    read_only: bool
    # Copies by state, of all images.
    copies: dict[CopyState, int]
    running: int
    max_concurrent: int


class StoreResultView(BaseModel):
    store: str
    result: str
    reason: str = ""
    bytes_done: int | None = None
    bytes_total: int | None = None
    rate: float | None = None
    eta: float | None = None
    since: datetime | None = None


class JobView(BaseModel):
    id: str
    image: str
    image_name: str
    origin: str
    requested_by: str
    allow_failure: bool
    state: str
    stores: list[StoreResultView]
    created_at: datetime
    ended_at: datetime | None
    # Why it is not moving, when it isn't.
    waiting: str = ""


class EventView(BaseModel):
    seq: int
    at: datetime
    kind: str
    message: str
    image: str | None
    store: str | None
    job: str | None


def job_view(job: Job, picture: Picture | None) -> JobView:
    return JobView(
        id=job.id,
        image=job.image,
        image_name=job.image_name,
        origin=job.origin,
        requested_by=job.requested_by,
        allow_failure=job.allow_failure,
        state=job.state,
        stores=[_result_view(job, index, picture) for index in range(len(job.stores))],
        created_at=job.created_at,
        ended_at=job.ended_at,
        waiting=_waiting_of(job, picture),
    )


def _result_view(job: Job, index: int, picture: Picture | None) -> StoreResultView:
    entry = job.stores[index]
    progress = picture.progress.get((job.image, entry.store)) if picture else None
    if progress is None or entry.result.ended:
        return StoreResultView(store=entry.store, result=entry.result, reason=entry.reason)
    return StoreResultView(
        store=entry.store,
        result=entry.result,
        reason=entry.reason,
        bytes_done=progress.bytes_done,
        bytes_total=progress.bytes_total,
        rate=progress.rate,
        eta=progress.eta,
        since=progress.since,
    )


def _waiting_of(job: Job, picture: Picture | None) -> str:
    if picture is None or job.state.ended:
        return ""
    for waiting in picture.waits.get(job.image, ()):
        if waiting.stores & job.pending:
            return f"{waiting.reason}: {waiting.why}"
    return ""


def event_view(event: Event) -> EventView:
    return EventView(
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        message=event.message,
        image=event.image,
        store=event.store,
        job=event.job,
    )
