"""The questions: answered from the last picture and the journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import MAXYEAR, MINYEAR, datetime
from itertools import islice

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import HistoryFilter, JobId, JobState
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import NotFoundError, RequestError, TransientError
from edgesync.expose.answers import as_json, rows
from edgesync.expose.jobs import job_view
from edgesync.expose.matrix import by_name, image_view, managed, ordered_stores
from edgesync.expose.picture import Picture, Showcase
from edgesync.expose.problems import problems
from edgesync.expose.requests import Word
from edgesync.expose.stores import store_views
from edgesync.expose.views import event_view, pause_view

MAX_ROWS = 1000
# The databases count in 64 bits.
MAX_SEQ = 2**63 - 1


class _Page(BaseModel):
    """Query of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=MAX_ROWS)


class _ImagesQuery(_Page):
    # The id of the last image of the page before.
    marker: Word | None = None
    # All images, not only those that concern edgesync.
    all: bool = False
    # Id or name.
    image: Word | None = None


class _JobsQuery(_Page):
    image: Word | None = None
    state: JobState | None = None


class _HistoryQuery(_Page):
    image: Word | None = None
    store: Word | None = None
    since: datetime | None = None
    failed: bool = False
    before: int | None = Field(default=None, ge=0, le=MAX_SEQ)


class Reading:
    """The routes that change nothing."""

    def __init__(self, *, showcase: Showcase, journal: Journal) -> None:
        self._showcase = showcase
        self._journal = journal

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/images", self._images),
            web.get("/v1/images/{image}", self._image),
            web.get("/v1/stores", self._stores),
            web.get("/v1/jobs", self._jobs),
            web.get("/v1/jobs/{job}", self._job),
            web.get("/v1/pauses", self._pauses),
            web.get("/v1/history", self._history),
            web.get("/v1/health", self._health),
        ]

    def _seen(self) -> Picture:
        picture = self._showcase.picture
        if picture is None:
            health = self._showcase.health
            raise TransientError(
                health.trouble or "edgesync has not finished its first look at Glance",
                remedy=health.remedy or "try again in a moment",
            )
        return picture

    async def _images(self, request: web.Request) -> web.Response:
        query = _ImagesQuery.model_validate(dict(request.query))
        picture = self._seen()
        images = _selected(query, picture)
        page = list(islice(images, query.limit + 1))
        found = [image_view(picture, image) for image in page[: query.limit]]
        more = page[query.limit - 1].id if len(page) > query.limit else None
        return rows("images", found, next_marker=more, stores=ordered_stores(picture))

    async def _image(self, request: web.Request) -> web.Response:
        picture = self._seen()
        wanted = request.match_info["image"]
        found = _named(wanted, picture)
        if len(found) > 1:
            ids = ", ".join(image.id for image in found)
            raise RequestError(f"{len(found)} images are named {wanted!r}", remedy=f"name one by its id: {ids}")
        return as_json(image_view(picture, found[0]))

    async def _stores(self, _request: web.Request) -> web.Response:
        return rows("stores", store_views(self._seen()))

    async def _jobs(self, request: web.Request) -> web.Response:
        query = _JobsQuery.model_validate(dict(request.query))
        image = ImageId(query.image) if query.image else None
        jobs = await self._journal.jobs(image=image, state=query.state, limit=query.limit)
        return rows("jobs", [job_view(job, self._showcase.picture) for job in jobs])

    async def _job(self, request: web.Request) -> web.Response:
        job = await self._journal.job(job_id(request))
        return as_json(job_view(job, self._showcase.picture))

    async def _pauses(self, _request: web.Request) -> web.Response:
        pauses = (await self._journal.ledger()).pauses
        images = self._showcase.picture.world.images if self._showcase.picture else {}
        return rows("pauses", [pause_view(pause, images.get(pause.image or ImageId(""))) for pause in pauses])

    async def _history(self, request: web.Request) -> web.Response:
        query = _HistoryQuery.model_validate(dict(request.query))
        if query.since is not None and query.since.tzinfo is None:
            raise RequestError("since: a time zone is missing", remedy="write it like 2026-01-31T12:00:00Z")
        if query.since is not None and query.since.year in {MINYEAR, MAXYEAR}:
            # At the ends of the calendar there may be no such time in UTC.
            raise RequestError(f"since: {query.since} is out of range", remedy="name a year from 2 to 9998")
        events = await self._journal.history(
            HistoryFilter(
                image=ImageId(query.image) if query.image else None,
                store=StoreId(query.store) if query.store else None,
                since=query.since,
                failed_only=query.failed,
                before=query.before,
                limit=query.limit,
            )
        )
        return rows("events", [event_view(event) for event in events])

    async def _health(self, _request: web.Request) -> web.Response:
        health = self._showcase.health
        return as_json(
            {
                "started_at": health.started_at,
                "ticked_at": health.ticked_at,
                "trouble": health.trouble,
                "remedy": health.remedy,
                "config": {
                    "loaded_at": health.config.loaded_at,
                    "error": health.config.error,
                    "remedy": health.config.remedy,
                },
                "problems": problems(self._showcase.picture, health),
            }
        )


def job_id(request: web.Request) -> JobId:
    """The job that a path names; NotFoundError for what can't be one."""
    wanted = request.match_info["job"]
    if not wanted.isalnum():
        raise NotFoundError(f"there is no job {wanted!r}", remedy="GET /v1/jobs lists them")
    return JobId(wanted)


def _named(wanted: str, picture: Picture) -> list[Image]:
    """By id or name."""
    found = [image for image in picture.world.images.values() if wanted in {image.id, image.name}]
    if not found:
        raise NotFoundError(f"there is no image {wanted!r}", remedy="edgesync status --all lists them")
    return list(by_name(found))


def _selected(query: _ImagesQuery, picture: Picture) -> Sequence[Image]:
    """The images that a query means, in the order of their names, after its marker."""
    if query.image is not None:
        return _named(query.image, picture)
    images = list(by_name(picture.world.images.values()) if query.all else managed(picture))
    if query.marker is None:
        return images
    place = next((index for index, image in enumerate(images) if image.id == query.marker), None)
    if place is None:
        raise RequestError(f"marker: no image {query.marker!r} in this list", remedy="start again without a marker")
    return images[place + 1 :]
