"""The answers of the API that consist of several views."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from edgesync.expose.layers import SiteLayersView
from edgesync.expose.planned import PlanRow
from edgesync.expose.views import (
    EventView,
    ImageView,
    JobView,
    PauseView,
    ProblemView,
    RefusalView,
    StoreView,
)


class Images(BaseModel):
    """Some rows of the matrix."""

    images: list[ImageView]
    # Where the next page begins; null: this was the last one.
    next_marker: str | None
    # In the order of the columns.
    stores: list[str]


class Stores(BaseModel):
    stores: list[StoreView]


class Jobs(BaseModel):
    jobs: list[JobView]
    next_marker: str | None


class Pauses(BaseModel):
    pauses: list[PauseView]


class Plan(BaseModel):
    """What the last tick decided."""

    at: datetime
    rows: list[PlanRow]
    next_marker: str | None


class History(BaseModel):
    events: list[EventView]


class Sites(BaseModel):
    sites: list[SiteLayersView]


class TakenView(BaseModel):
    """What became of a request for many images."""

    jobs: list[JobView]
    refused: list[RefusalView]
    # Images that were too many for one request.
    left: int
    notes: list[str]


class Disk(BaseModel):
    # As pool/name.
    disk: str


class ConfigView(BaseModel):
    loaded_at: datetime | None
    # Why the last reload changed nothing; empty when it was taken.
    error: str
    remedy: str


class HealthView(BaseModel):
    """How the daemon itself is doing, and everything that is wrong."""

    started_at: datetime
    ticked_at: datetime | None
    trouble: str
    remedy: str
    config: ConfigView
    problems: list[ProblemView]
