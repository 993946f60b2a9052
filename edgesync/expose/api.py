"""The HTTP API of the daemon: `/v1/...` for people's tools, `/livez`, `/readyz` and `/metrics` for machines.

It listens on loopback only; still, a page in a browser on the same machine must not be able to order copies, so that
changes are taken only as JSON and never from another origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import MAXYEAR, MINYEAR, datetime
from http import HTTPStatus
from ipaddress import ip_address
from itertools import islice
from typing import Annotated

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.aiohttp import make_aiohttp_handler
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from yarl import URL

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import HistoryFilter, JobId, JobState
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import NotFoundError, RequestError, TransientError
from edgesync.expose.matrix import by_name, image_view, managed, ordered_stores, store_views
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Picture, Showcase
from edgesync.expose.problem import problems, respond
from edgesync.expose.requests import CopyRequest, Counter
from edgesync.expose.views import event_view, job_view

MAX_BODY = 64 * 1024
MAX_ROWS = 1000
# The databases count in 64 bits.
MAX_SEQ = 2**63 - 1


# No control characters: PostgreSQL takes no NUL in a text, and nothing is named so.
Word = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]


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


class Api:
    """Answers from the last picture and the journal; hands requests for copies to the counter."""

    def __init__(
        self,
        *,
        showcase: Showcase,
        journal: Journal,
        counter: Counter,
        metrics: Metrics,
    ) -> None:
        self._showcase = showcase
        self._journal = journal
        self._counter = counter
        self._metrics = metrics

    def application(self) -> web.Application:
        app = web.Application(middlewares=[problems, _local_callers], client_max_size=MAX_BODY)
        app.add_routes(
            [
                web.get("/v1/images", self._images),
                web.get("/v1/stores", self._stores),
                web.get("/v1/jobs", self._jobs),
                web.post("/v1/jobs", self._create_job),
                web.get("/v1/jobs/{job}", self._job),
                web.get("/v1/history", self._history),
                web.get("/v1/health", self._health_view),
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
                web.get("/healthz", self._ready),
                web.get("/metrics", make_aiohttp_handler(self._metrics.registry)),
            ]
        )
        return app

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
        rows = [image_view(picture, image) for image in page[: query.limit]]
        more = page[query.limit - 1].id if len(page) > query.limit else None
        return _rows("images", rows, next_marker=more, stores=ordered_stores(picture))

    async def _stores(self, _request: web.Request) -> web.Response:
        return _rows("stores", store_views(self._seen()))

    async def _jobs(self, request: web.Request) -> web.Response:
        query = _JobsQuery.model_validate(dict(request.query))
        image = ImageId(query.image) if query.image else None
        jobs = await self._journal.jobs(image=image, state=query.state, limit=query.limit)
        return _rows("jobs", [job_view(job, self._showcase.picture) for job in jobs])

    async def _job(self, request: web.Request) -> web.Response:
        wanted = request.match_info["job"]
        if not wanted.isalnum():
            raise NotFoundError(f"there is no job {wanted!r}", remedy="GET /v1/jobs lists them")
        job = await self._journal.job(JobId(wanted))
        return _json(job_view(job, self._showcase.picture))

    async def _create_job(self, request: web.Request) -> web.Response:
        job = await self._counter.copy(CopyRequest.model_validate_json(await request.read()))
        return _json(job_view(job, self._showcase.picture), HTTPStatus.ACCEPTED)

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
        return _rows("events", [event_view(event) for event in events])

    async def _health_view(self, _request: web.Request) -> web.Response:
        health = self._showcase.health
        return web.json_response(
            {
                "started_at": health.started_at.isoformat(),
                "ticked_at": health.ticked_at.isoformat() if health.ticked_at else None,
                "trouble": health.trouble,
                "remedy": health.remedy,
            }
        )

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        """Ready once a tick has gone well, and while nothing keeps the ticks from going well."""
        health = self._showcase.health
        if health.trouble or health.ticked_at is None:
            return respond(
                HTTPStatus.SERVICE_UNAVAILABLE, health.trouble or "the first tick is not finished", health.remedy
            )
        if "verbose" in request.query:
            return web.Response(text=f"glance ok\njournal ok\nlast good tick {health.ticked_at.isoformat()}\nok\n")
        return web.Response(text="ok\n")


def _selected(query: _ImagesQuery, picture: Picture) -> Sequence[Image]:
    """The images that a query means, in the order of their names, after its marker."""
    if query.image is not None:
        found = [image for image in picture.world.images.values() if query.image in {image.id, image.name}]
        if not found:
            raise NotFoundError(f"there is no image {query.image!r}", remedy="edgesync status --all lists them")
        return list(by_name(found))
    images = list(by_name(picture.world.images.values()) if query.all else managed(picture))
    if query.marker is None:
        return images
    place = next((index for index, image in enumerate(images) if image.id == query.marker), None)
    if place is None:
        raise RequestError(f"marker: no image {query.marker!r} in this list", remedy="start again without a marker")
    return images[place + 1 :]


@web.middleware
async def _local_callers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a foreign web page could make a browser on this machine send."""
    if not _is_loopback(request.host):
        return respond(HTTPStatus.FORBIDDEN, f"this is not {request.host}", "address the API as 127.0.0.1 or localhost")
    if request.method not in {"GET", "HEAD"}:
        origin = request.headers.get("Origin")
        if origin is not None and origin.split("://", 1)[-1] != request.host:
            return respond(HTTPStatus.FORBIDDEN, f"changes are not taken from {origin}")
        if request.content_type != "application/json":
            return respond(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON", "set the header Content-Type: application/json"
            )
    response = await handler(request)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine; a name that only resolves to it may be anybody's (DNS rebinding)."""
    try:
        name = URL(f"http://{host}").host or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


_ANY: TypeAdapter[object] = TypeAdapter(object)


def _json(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=_ANY.dump_json(body), content_type="application/json")


def _rows(name: str, rows: Sequence[BaseModel], **more: object) -> web.Response:
    return _json({name: rows, **more})
