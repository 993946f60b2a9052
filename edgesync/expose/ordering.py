"""The orders: their form is checked here, and they are handed to the counter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from edgesync.domain.image import ImageId
from edgesync.domain.pause import Pause
from edgesync.errors import TransientError
from edgesync.expose.access import asked_by
from edgesync.expose.answers import as_json
from edgesync.expose.endpoints import Endpoint
from edgesync.expose.jobs import job_view
from edgesync.expose.limits import body_of
from edgesync.expose.pages import TakenView
from edgesync.expose.picture import Showcase
from edgesync.expose.reading import job_id
from edgesync.expose.requests import (
    CopyRequest,
    Counter,
    ImportRequest,
    PauseRequest,
    RemovalRequest,
    Request,
    Scope,
    Taken,
    VerificationRequest,
    Word,
)
from edgesync.expose.views import JobView, PauseView, RefusalView, pause_view

R = TypeVar("R", bound=Request)

# Seconds without a byte after which an upload is given up.
SILENCE = 60.0


class RemovalQuery(BaseModel):
    """`?pause=true&requested_by=...`"""

    model_config = ConfigDict(extra="forbid")

    pause: bool = False
    requested_by: Word = ""


class Ordering:
    """The routes that change something."""

    def __init__(self, *, showcase: Showcase, counter: Counter) -> None:
        self._showcase = showcase
        self._counter = counter

    def endpoints(self) -> list[Endpoint]:
        ok, accepted, created = HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CREATED
        return [
            Endpoint(
                method="POST",
                path="/v1/jobs",
                handler=self._copy,
                summary="Ask for copies of an image, or for those that a policy misses.",
                body=CopyRequest,
                answers={accepted: JobView | TakenView, ok: JobView | TakenView},
            ),
            Endpoint(
                method="POST",
                path="/v1/jobs/{job}/cancel",
                handler=self._cancel,
                summary="Stop what has not begun, and what edgesync copies itself.",
                body=Request,
                answers={ok: JobView},
            ),
            Endpoint(
                method="POST",
                path="/v1/verifications",
                handler=self._verify,
                summary="Have copies compared with their image.",
                body=VerificationRequest,
                answers={accepted: JobView | TakenView},
            ),
            Endpoint(
                method="POST",
                path="/v1/imports",
                handler=self._import,
                summary="Bring a new image in, from a URI or from data that is sent next.",
                body=ImportRequest,
                answers={accepted: JobView},
            ),
            Endpoint(
                method="PUT",
                path="/v1/jobs/{job}/data",
                handler=self._receive,
                summary="The data of an import.",
                takes_data=True,
                answers={ok: JobView},
            ),
            Endpoint(
                method="DELETE",
                path="/v1/images/{image}/copies/{store}",
                handler=self._remove,
                summary="Delete a copy.",
                query=RemovalQuery,
                answers={accepted: JobView},
            ),
            Endpoint(
                method="POST",
                path="/v1/pauses",
                handler=self._pause,
                summary="Start nothing new for a store, an image, one copy, or at all.",
                body=PauseRequest,
                answers={created: PauseView},
            ),
            Endpoint(
                method="DELETE",
                path="/v1/pauses",
                handler=self._resume,
                summary="Lift the pause with exactly this scope.",
                query=Scope,
                answers={ok: PauseView},
            ),
        ]

    async def _copy(self, request: web.Request) -> web.Response:
        order = await ordered(request, CopyRequest)
        taken = await self._counter.copy(order)
        status = HTTPStatus.OK if order.dry_run else HTTPStatus.ACCEPTED
        return as_json(self._views(taken)[0] if order.policy is None else self._of_many(taken), status)

    async def _verify(self, request: web.Request) -> web.Response:
        order = await ordered(request, VerificationRequest)
        taken = await self._counter.verify(order)
        return as_json(self._of_many(taken) if order.all else self._views(taken)[0], HTTPStatus.ACCEPTED)

    def _of_many(self, taken: Taken) -> TakenView:
        """The answer to a request for many images."""
        refused = [
            RefusalView(image=entry.image, image_name=entry.image_name, detail=entry.detail, remedy=entry.remedy)
            for entry in taken.refused
        ]
        return TakenView(jobs=self._views(taken), refused=refused, left=taken.left, notes=list(taken.notes))

    async def _import(self, request: web.Request) -> web.Response:
        taken = await self._counter.import_image(await ordered(request, ImportRequest))
        return as_json(self._views(taken)[0], HTTPStatus.ACCEPTED)

    async def _receive(self, request: web.Request) -> web.Response:
        """No limit to the size, and never more than a chunk in memory: the body is passed on as it comes."""
        taken = await self._counter.receive(job_id(request), _chunks(request), asked_by(request))
        return as_json(self._views(taken)[0])

    async def _cancel(self, request: web.Request) -> web.Response:
        order = await ordered(request, Request)
        return as_json(self._views(await self._counter.cancel(job_id(request), order.who))[0])

    async def _remove(self, request: web.Request) -> web.Response:
        query = RemovalQuery.model_validate(dict(request.query))
        order = RemovalRequest(
            image=request.match_info["image"],
            store=request.match_info["store"],
            pause=query.pause,
            requested_by=asked_by(request, query.requested_by),
        )
        return as_json(self._views(await self._counter.remove(order))[0], HTTPStatus.ACCEPTED)

    async def _pause(self, request: web.Request) -> web.Response:
        pause = await self._counter.pause(await ordered(request, PauseRequest))
        return as_json(self._pause_view(pause), HTTPStatus.CREATED)

    async def _resume(self, request: web.Request) -> web.Response:
        """Answers with the pause that was lifted."""
        scope = Scope.model_validate(dict(request.query))
        scope = scope.model_copy(update={"requested_by": asked_by(request, scope.requested_by)})
        return as_json(self._pause_view(await self._counter.resume(scope)))

    def _views(self, taken: Taken) -> list[JobView]:
        picture = taken.foreseen or self._showcase.picture
        return [job_view(job, picture, taken.notes) for job in taken.jobs]

    def _pause_view(self, pause: Pause) -> PauseView:
        images = self._showcase.picture.world.images if self._showcase.picture else {}
        return pause_view(pause, images.get(pause.image or ImageId("")))


async def ordered(request: web.Request, form: type[R]) -> R:
    """The order in the body, with the name of who gives it."""
    order = form.model_validate_json(await body_of(request) or b"{}")
    return order.model_copy(update={"requested_by": asked_by(request, order.requested_by)})


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body, piece by piece."""
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                chunk = await request.content.readany()
        except TimeoutError as error:
            raise TransientError(
                f"no data has come for {SILENCE:g} seconds; the upload was given up", remedy="send the file again"
            ) from error
        if not chunk:
            return
        yield chunk
