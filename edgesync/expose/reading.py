"""The questions: answered from the last picture and the journal."""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, datetime
from http import HTTPStatus
from itertools import islice

from aiohttp import web
from pydantic import Field

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import HistoryFilter, JobId, JobState
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import NotFoundError, RequestError, TransientError
from edgesync.expose.answers import as_json
from edgesync.expose.choice import ImagesQuery, Page, chosen, named
from edgesync.expose.endpoints import Endpoint, looks
from edgesync.expose.jobs import job_view
from edgesync.expose.lag import Lags
from edgesync.expose.lateness import waits_of
from edgesync.expose.locations import location_of
from edgesync.expose.matrix import image_view, ordered_stores
from edgesync.expose.pages import ConfigView, HealthView, History, Images, Jobs, Pauses, Plan, Stores
from edgesync.expose.picture import Picture, Showcase
from edgesync.expose.planned import image_rows, plan_rows
from edgesync.expose.problems import problems
from edgesync.expose.requests import Word
from edgesync.expose.stores import store_views
from edgesync.expose.views import ImageDetail, JobView, attempt_view, event_view, pause_view, verification_view

# The databases count in 64 bits.
MAX_SEQ = 2**63 - 1
# No plan has more lines.
MAX_LINES = 10**9
# Attempts and events that one image is shown with.
RECENT = 50


class JobsQuery(Page):
    image: Word | None = None
    state: JobState | None = None
    # The id of the last job of the page before.
    marker: Word | None = None


class PlanQuery(Page):
    # The number of lines on the pages before.
    marker: int = Field(default=0, ge=0, le=MAX_LINES)


class HistoryQuery(Page):
    image: Word | None = None
    store: Word | None = None
    since: datetime | None = None
    failed: bool = False
    before: int | None = Field(default=None, ge=0, le=MAX_SEQ)


class Reading:
    """The routes that change nothing."""

    def __init__(self, *, showcase: Showcase, journal: Journal, lags: Lags) -> None:
        self._showcase = showcase
        self._journal = journal
        self._lags = lags

    def endpoints(self) -> list[Endpoint]:
        ok = HTTPStatus.OK
        return [
            looks(
                "/v1/images",
                self._images,
                summary="The image x store matrix, by name, in pages.",
                query=ImagesQuery,
                answers={ok: Images},
            ),
            looks(
                "/v1/images/{image}",
                self._image,
                summary="One image, by id or unique name, with its plan, jobs, attempts and history.",
                answers={ok: ImageDetail},
            ),
            looks("/v1/stores", self._stores, summary="How each store is doing.", answers={ok: Stores}),
            looks("/v1/jobs", self._jobs, summary="Jobs, the newest first.", query=JobsQuery, answers={ok: Jobs}),
            looks("/v1/jobs/{job}", self._job, summary="One job, store by store.", answers={ok: JobView}),
            looks(
                "/v1/plan",
                self._plan,
                summary="What is done next and why, and why the rest waits.",
                query=PlanQuery,
                answers={ok: Plan},
            ),
            looks("/v1/pauses", self._pauses, summary="What is paused.", answers={ok: Pauses}),
            looks(
                "/v1/history",
                self._history,
                summary="What happened, the newest first.",
                query=HistoryQuery,
                answers={ok: History},
            ),
            looks("/v1/health", self._health, summary="What is wrong, worst first.", answers={ok: HealthView}),
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
        query = ImagesQuery.model_validate(dict(request.query))
        picture = self._seen()
        page = await chosen(query, picture)
        more = page[query.limit - 1].id if len(page) > query.limit else None
        found = [image_view(picture, image) for image in page[: query.limit]]
        return as_json(Images(images=found, next_marker=more, stores=list(ordered_stores(picture))))

    async def _image(self, request: web.Request) -> web.Response:
        picture = self._seen()
        wanted = request.match_info["image"]
        found = named(wanted, picture)
        if len(found) > 1:
            ids = ", ".join(image.id for image in found)
            raise RequestError(f"{len(found)} images are named {wanted!r}", remedy=f"name one by its id: {ids}")
        return as_json(await self._detail(picture, found[0]))

    async def _detail(self, picture: Picture, image: Image) -> ImageDetail:
        verifications = await self._journal.verifications(image.id)
        attempts = await self._journal.attempts(image=image.id, limit=RECENT)
        history = await self._journal.history(HistoryFilter(image=image.id, limit=RECENT))
        known = picture.world.topology.stores.keys()
        return ImageDetail(
            **dict(image_view(picture, image)),
            disk_format=image.disk_format,
            container_format=image.container_format,
            tags=sorted(image.tags),
            hash_algo=image.hash_algo,
            hash_value=image.hash_value,
            digests_known=image.id in await self._journal.digested([image.id]),
            locations={store: location_of(picture, image, store) for store in sorted(image.stores.intersection(known))},
            verifications=[verification_view(store, found) for store, found in sorted(verifications.items())],
            plan=list(image_rows(picture, image.id)),
            jobs=[job_view(job, picture) for job in picture.ledger.jobs if job.image == image.id],
            attempts=[attempt_view(attempt) for attempt in attempts],
            history=[event_view(event) for event in history],
        )

    async def _stores(self, _request: web.Request) -> web.Response:
        picture = self._seen()
        return as_json(Stores(stores=store_views(picture, waits_of(picture, self._lags))))

    async def _jobs(self, request: web.Request) -> web.Response:
        query = JobsQuery.model_validate(dict(request.query))
        found = await self._journal.jobs(
            image=ImageId(query.image) if query.image else None,
            state=query.state,
            before=JobId(query.marker) if query.marker else None,
            limit=query.limit + 1,
        )
        page = found[: query.limit]
        shown = [job_view(job, self._showcase.picture) for job in page]
        return as_json(Jobs(jobs=shown, next_marker=page[-1].id if len(found) > query.limit else None))

    async def _job(self, request: web.Request) -> web.Response:
        job = await self._journal.job(job_id(request))
        return as_json(job_view(job, self._showcase.picture))

    async def _plan(self, request: web.Request) -> web.Response:
        query = PlanQuery.model_validate(dict(request.query))
        picture = self._seen()
        end = query.marker + query.limit
        page = list(islice(plan_rows(picture), query.marker, end + 1))
        more = str(end) if len(page) > query.limit else None
        return as_json(Plan(at=picture.world.at, rows=page[: query.limit], next_marker=more))

    async def _pauses(self, _request: web.Request) -> web.Response:
        pauses = await self._journal.paused()
        images = self._showcase.picture.world.images if self._showcase.picture else {}
        return as_json(Pauses(pauses=[pause_view(pause, images.get(pause.image or ImageId(""))) for pause in pauses]))

    async def _history(self, request: web.Request) -> web.Response:
        query = HistoryQuery.model_validate(dict(request.query))
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
        return as_json(History(events=[event_view(event) for event in events]))

    async def _health(self, _request: web.Request) -> web.Response:
        health = self._showcase.health
        return as_json(
            HealthView(
                started_at=health.started_at,
                ticked_at=health.ticked_at,
                trouble=health.trouble,
                remedy=health.remedy,
                config=ConfigView(
                    loaded_at=health.config.loaded_at, error=health.config.error, remedy=health.config.remedy
                ),
                problems=problems(self._showcase.picture, health),
            )
        )


def job_id(request: web.Request) -> JobId:
    """The job that a path names; NotFoundError for what can't be one."""
    wanted = request.match_info["job"]
    if not wanted.isalnum():
        raise NotFoundError(f"there is no job {wanted!r}", remedy="edgesync jobs lists them, as does GET /v1/jobs")
    return JobId(wanted)
