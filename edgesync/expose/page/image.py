"""One image: its copies, what is planned for it and why, what was tried, how its data are known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.blocks import Verification
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, Event, HistoryFilter, Job
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.expose.jobs import job_view
from edgesync.expose.layers import LayerView, SiteLayersView
from edgesync.expose.locations import location_of
from edgesync.expose.matrix import image_view
from edgesync.expose.picture import Picture
from edgesync.expose.planned import PlanRow, image_rows
from edgesync.expose.views import CopyView, ImageView, JobView

# Newest attempts, events and jobs that are shown.
ATTEMPTS, EVENTS, JOBS = 50, 100, 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What the journal knows of one image."""

    attempts: tuple[Attempt, ...]
    events: tuple[Event, ...]
    jobs: tuple[Job, ...]
    verifications: Mapping[StoreId, Verification]
    # Whether the digests of its blocks are known.
    digests: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyRow:
    store: StoreId
    copy: CopyView
    # The name of the image that it is layered on there; empty: none is known.
    base: str
    # Where Glance's location of it leads; empty: it has none, or Glance doesn't tell the cluster's id.
    location: str
    # How it was found when it was last compared; None: never.
    verification: Verification | None
    # Whether Ceph is configured there, so that layers can be shown.
    reached: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePage:
    image: Image
    view: ImageView
    copies: tuple[CopyRow, ...]
    plan: tuple[PlanRow, ...]
    # Those that hold it, wherever.
    pauses: tuple[Pause, ...]
    # Whether the image itself is paused.
    paused: bool
    # Those that are not ended.
    open_jobs: tuple[JobView, ...]
    record: Record
    at: datetime


async def record_of(journal: Journal, image: Image) -> Record:
    attempts, events, jobs, verifications, known = await asyncio.gather(
        journal.attempts(image=image.id, limit=ATTEMPTS),
        journal.history(HistoryFilter(image=image.id, limit=EVENTS)),
        journal.jobs(image=image.id, limit=JOBS),
        journal.verifications(image.id),
        journal.digested([image.id]),
    )
    return Record(
        attempts=attempts,
        events=events,
        jobs=jobs,
        verifications=verifications,
        digests=image.id in known,
    )


def image_page(picture: Picture, image: Image, record: Record) -> ImagePage:
    view = image_view(picture, image)
    return ImagePage(
        image=image,
        view=view,
        copies=tuple(_row(picture, image, StoreId(store), copy, record) for store, copy in view.copies.items()),
        plan=tuple(image_rows(picture, image.id)),
        pauses=tuple(pause for pause in picture.ledger.pauses if pause.image in {None, image.id}),
        paused=any(pause.image == image.id and pause.store is None for pause in picture.ledger.pauses),
        open_jobs=tuple(job_view(job, picture) for job in record.jobs if not job.state.ended),
        record=record,
        at=picture.world.at,
    )


def _row(picture: Picture, image: Image, store: StoreId, copy: CopyView, record: Record) -> CopyRow:
    return CopyRow(
        store=store,
        copy=copy,
        base=_name(picture, copy.base) if copy.base else "",
        location=location_of(picture, image, store),
        verification=record.verifications.get(store),
        reached=picture.settings_of(store).ceph is not None,
    )


def _name(picture: Picture, image: str) -> str:
    known = picture.world.images.get(ImageId(image))
    return known.name if known is not None and known.name else image


def about(site: SiteLayersView, image: ImageId) -> SiteLayersView:
    """Of what lies at a site, only the trees in which the image is."""
    return site.model_copy(update={"layers": [tree for tree in site.layers if _holds([tree], image)]})


def _holds(trees: Iterable[LayerView], image: ImageId) -> bool:
    return any(tree.name == image or _holds(tree.layers, image) for tree in trees)
