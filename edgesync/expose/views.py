"""The view models. JSON, tables and pages agree because all of them show these."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from edgesync.domain.blocks import Verification
from edgesync.domain.copy import CopyState
from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, Event, Work
from edgesync.domain.pause import Pause
from edgesync.domain.site import Finding
from edgesync.domain.store import StoreId
from edgesync.expose.planned import PlanRow


class ProblemView(BaseModel):
    """Something that a person should know of, worst first in every list of these."""

    # False for what is so on purpose, or passes.
    bad: bool
    what: str
    remedy: str
    # When it began, as far as that is known.
    since: datetime | None = None
    # The site that it is about; null: not just one.
    store: str | None = None


class FindingView(BaseModel):
    """Where Glance and Ceph disagree about one copy."""

    image: str
    store: str
    defect: str
    detail: str
    # What will be done about it, and when; or why nothing is.
    next: str
    seen_at: datetime


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
    # When Glance was asked for it, while it is copied; when it last got on, while it is stalled.
    since: datetime | None = None
    # When the wait ends; when somebody else's lock can be taken.
    until: datetime | None = None
    # What keeps a stalled import from getting on, in one word.
    cause: str = ""
    # What will happen next, by itself.
    next: str = ""
    # The image on whose copy at this store it is layered, as of the last audit; null: on none, or nobody has looked.
    base: str | None = None
    # When the data were last compared with the image's and found sound.
    verified_at: datetime | None = None
    attempts: int | None = None
    next_try: datetime | None = None
    remedy: str = ""


class PauseView(BaseModel):
    # In words, for people.
    scope: str
    image: str | None
    image_name: str
    store: str | None
    by: str
    reason: str
    since: datetime


class ImageView(BaseModel):
    """One row of the matrix."""

    id: str
    name: str
    status: str
    visibility: str
    size: int | None
    policies: list[str]
    copies: dict[str, CopyView]
    findings: list[FindingView] = []


class BreakerView(BaseModel):
    """Whether copies are sent to a store."""

    state: str
    since: datetime | None
    failures: int
    cause: str
    next_try: datetime | None


class CapacityView(BaseModel):
    """Room in a store's pool, bytes."""

    used: int
    available: int
    total: int
    # Between 0 and 1.
    fill: float
    # No copy is started that would fill it beyond this.
    max_fill: float


class WindowView(BaseModel):
    """Whether copies may start now; only of stores with windows."""

    open: bool
    next_change: datetime | None


class LagView(BaseModel):
    """How long a store has been waiting for a copy that a policy wants there; seconds."""

    policy: str
    # Since when the copy has been missing that has been missing for the longest.
    since: datetime
    seconds: float
    # For how long one may be missing; null: the policy doesn't say.
    objective: float | None
    # Whether it has been longer.
    late: bool


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
    # Bytes per second, of all copies that are being made there now.
    rate: float
    health: BreakerView
    # What Ceph refuses to edgesync, which can't watch the site then; empty: nothing.
    refusal: str
    # None while unknown.
    capacity: CapacityView | None
    # None: open at any time.
    window: WindowView | None
    paused: list[PauseView]
    # Copies that wait for this store.
    queue: int
    # Of the policies that miss a copy there, the longest first.
    lags: list[LagView]
    # By defect.
    findings: dict[str, int]
    # The first of them; also of RBD images that no image of Glance belongs to.
    found: list[FindingView]
    # End of the last audit; None: never, or Ceph is not configured.
    audited_at: datetime | None
    problems: list[ProblemView]


class StoreResultView(BaseModel):
    store: str
    result: str
    reason: str = ""
    bytes_done: int | None = None
    bytes_total: int | None = None
    rate: float | None = None
    eta: float | None = None
    since: datetime | None = None
    # Why it has not begun.
    waiting: str = ""
    until: datetime | None = None
    # Why it does not get on, and what happens next.
    stalled: str = ""
    # Who moves the data just now, or will at its turn; empty: nobody, or that is not decided yet.
    engine: str = ""
    # Of a copy that starts next: why that engine, and what it sends where that is known.
    way: str = ""


class JobView(BaseModel):
    id: str
    # What is asked for: copy, import, remove, ...
    work: str
    image: str
    image_name: str
    origin: str
    requested_by: str
    allow_failure: bool
    urgent: bool
    # Who shall move the data, of a job for copies: auto, rbd, copy-image.
    engine: str
    state: str
    stores: list[StoreResultView]
    created_at: datetime
    ended_at: datetime | None
    # Why it is not moving, when it isn't.
    waiting: str = ""
    # Where the data of an import comes from; empty: a file.
    uri: str = ""
    # In the answer to whoever asked: what was added, or should be known.
    notes: list[str] = []


class RefusalView(BaseModel):
    """An image of many for which nothing can be done."""

    image: str
    image_name: str
    detail: str
    remedy: str


class VerificationView(BaseModel):
    """How one copy was found when it was last compared with its image."""

    store: str
    at: datetime
    sound: bool
    damage: str


class AttemptView(BaseModel):
    """One action on an image."""

    id: str
    job: str
    work: str
    engine: str
    stores: list[str]
    started_at: datetime
    ended_at: datetime | None
    # By store; empty while it goes on.
    results: dict[str, str]
    message: str


class EventView(BaseModel):
    seq: int
    at: datetime
    kind: str
    message: str
    image: str | None
    store: str | None
    job: str | None


class ImageDetail(ImageView):
    """One image with everything that is known of it."""

    disk_format: str
    container_format: str
    tags: list[str]
    # Glance's digest of the data.
    hash_algo: str
    hash_value: str
    # Whether edgesync knows the digests of its blocks, with which copies are compared.
    digests_known: bool
    # Of the copies that Glance lists, by store; empty where Glance doesn't tell the cluster's id or pool.
    locations: dict[str, str]
    # Where they were compared with the hub's, block by block.
    verifications: list[VerificationView]
    # What is done next and why, and why the rest waits.
    plan: list[PlanRow]
    # Those that are open.
    jobs: list[JobView]
    # The newest first, of these and of the history.
    attempts: list[AttemptView]
    history: list[EventView]


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


def pause_view(pause: Pause, image: Image | None) -> PauseView:
    """`image` as far as it is known."""
    return PauseView(
        scope=pause.scope,
        image=pause.image,
        image_name=image.name if image else "",
        store=pause.store,
        by=pause.by,
        reason=pause.reason,
        since=pause.since,
    )


def finding_view(finding: Finding, coming: str) -> FindingView:
    return FindingView(
        image=finding.image,
        store=finding.store,
        defect=finding.defect,
        detail=finding.detail,
        next=coming,
        seen_at=finding.seen_at,
    )


def attempt_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        id=attempt.id,
        job=attempt.job,
        work=attempt.work,
        engine=attempt.engine if attempt.work is Work.COPY else "",
        stores=list(attempt.stores),
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        results={entry.store: entry.result for entry in attempt.results},
        message=attempt.message,
    )


def verification_view(store: StoreId, found: Verification) -> VerificationView:
    return VerificationView(store=store, at=found.at, sound=found.sound, damage=found.damage)
