"""The HTTP API of the daemon: `/v1/...` for people's tools, `/livez`, `/readyz` and `/metrics` for machines, and the
status page for people (`edgesync.expose.page`).

What is in the way of a request, from the outside in: `limits` (how often), `guard` (foreign pages), `access` (who).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from edgesync.domain.ports import Journal
from edgesync.expose.access import CALLER, Access, admission
from edgesync.expose.answers import as_json
from edgesync.expose.endpoints import TEXT, Endpoint, looks
from edgesync.expose.guard import guarded, own_pages
from edgesync.expose.layering import LayerRoutes
from edgesync.expose.limits import pacing
from edgesync.expose.metrics import Metrics
from edgesync.expose.openapi import openapi
from edgesync.expose.ordering import Ordering
from edgesync.expose.page.orders import Orders
from edgesync.expose.page.rendering import Rendering
from edgesync.expose.page.routes import Page
from edgesync.expose.page.visits import Visits
from edgesync.expose.picture import Showcase
from edgesync.expose.reading import Reading
from edgesync.expose.refusals import refusals, respond
from edgesync.expose.requests import Counter
from edgesync.expose.streaming import Streaming

# Bytes of a body that is read whole.
MAX_BODY = 64 * 1024


class Api:
    """Questions are answered from the last picture and the journal; orders go to the counter."""

    def __init__(
        self,
        *,
        showcase: Showcase,
        journal: Journal,
        counter: Counter,
        metrics: Metrics,
        access: Access,
        # Requests per second from one address.
        max_rate: float = 1000,
    ) -> None:
        self._showcase = showcase
        self._access = access
        self._max_rate = max_rate
        self._metrics = metrics
        rendering = Rendering()
        self._page = Page(showcase=showcase, journal=journal, counter=counter, lags=metrics.lags, rendering=rendering)
        self._visits = Visits(rendering)
        self._for_people = [*self._page.routes(), *self._visits.routes(), *Orders(counter).routes()]
        self._streaming = Streaming(journal=journal, showcase=showcase)
        self._endpoints = [
            *Reading(showcase=showcase, journal=journal, lags=metrics.lags).endpoints(),
            *Ordering(showcase=showcase, counter=counter).endpoints(),
            *LayerRoutes(showcase=showcase, counter=counter).endpoints(),
            *self._streaming.endpoints(),
            *self._of_machines(),
        ]

    def application(self) -> web.Application:
        visits = self._visits
        middlewares = [
            visits.as_page,
            refusals,
            pacing(self._max_rate),
            own_pages,
            visits.recognised,
            admission(self._access),
        ]
        app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
        app.on_response_prepare.append(guarded)
        app.on_shutdown.append(self._page.live.close)
        app.cleanup_ctx.append(self._streaming.running)
        app.add_routes([endpoint.route for endpoint in self._endpoints])
        app.add_routes([web.get("/openapi.json", self._describe), *self._for_people])
        return app

    def description(self) -> dict[str, Any]:
        """The API as OpenAPI."""
        return openapi(self._endpoints, reading_is_open=self._access.reading_is_open)

    def _of_machines(self) -> list[Endpoint]:
        ok = {HTTPStatus.OK: None}
        metrics = make_aiohttp_handler(self._metrics.registry)
        return [
            looks("/livez", self._live, summary="Whether the process answers.", answers=ok, content=TEXT),
            looks("/readyz", self._ready, summary="Whether ticks go well.", answers=ok, content=TEXT),
            looks("/healthz", self._ready, summary="The same.", answers=ok, content=TEXT),
            looks("/metrics", metrics, summary="For Prometheus.", answers=ok, content=TEXT),
        ]

    async def _describe(self, _request: web.Request) -> web.Response:
        return as_json(self.description())

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        """Ready once a tick has gone well, and while nothing keeps the ticks from going well."""
        health = self._showcase.health
        # Everybody may ask; what the trouble is only those are told who may look.
        told = self._access.reading_is_open or CALLER in request
        if health.trouble and not told:
            return respond(HTTPStatus.SERVICE_UNAVAILABLE, "not ready", "ask with a credential why")
        if health.trouble or health.ticked_at is None:
            return respond(
                HTTPStatus.SERVICE_UNAVAILABLE,
                health.trouble or "the first tick is not finished",
                health.remedy or "ask again in a moment",
            )
        if "verbose" in request.query:
            return web.Response(text=f"glance ok\njournal ok\nlast good tick {health.ticked_at.isoformat()}\nok\n")
        return web.Response(text="ok\n")
