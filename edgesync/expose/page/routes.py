"""The page's addresses: `/`, `/images/ID`, `/stores/ID`, `/jobs`, what they are made with, and `/live`."""

from __future__ import annotations

import hashlib
import mimetypes
from http import HTTPStatus

from aiohttp import web

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import FAILED_KINDS
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import NotFoundError, TransientError
from edgesync.expose.lag import Lags
from edgesync.expose.layers import site_layers_view
from edgesync.expose.page.filters import Filters
from edgesync.expose.page.image import about, image_page, record_of
from edgesync.expose.page.jobs import jobs_page
from edgesync.expose.page.live import Live, version_of
from edgesync.expose.page.overview import overview
from edgesync.expose.page.prints import Print, Prints
from edgesync.expose.page.rendering import Rendering, assets
from edgesync.expose.page.sessions import Session
from edgesync.expose.page.site import site_page
from edgesync.expose.page.turns import Turns
from edgesync.expose.page.visits import VISITOR
from edgesync.expose.picture import Picture, Showcase
from edgesync.expose.requests import Counter


class Page:
    """The routes of the status page that change nothing."""

    def __init__(
        self, *, showcase: Showcase, journal: Journal, counter: Counter, lags: Lags, rendering: Rendering
    ) -> None:
        self._showcase = showcase
        self._journal = journal
        self._counter = counter
        self._lags = lags
        self._rendering = rendering
        self._prints = Prints()
        self._turns = Turns()
        self._assets = assets()
        self.live = Live(showcase)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._overview),
            web.get("/images/{image}", self._image),
            web.get("/images/{image}/layers/{store}", self._layers),
            web.get("/stores/{store}", self._store),
            web.get("/jobs", self._jobs),
            web.get("/static/{name}", self._asset),
            web.get("/live", self.live.stream, allow_head=False),
        ]

    async def _overview(self, request: web.Request) -> web.Response:
        filters = Filters.of(request.query)

        def make() -> Print:
            shown = overview(self._showcase, self._lags, filters)
            wrong = shown.trouble.wrong
            return Print(
                title=f"({wrong}) edgesync" if wrong else "edgesync",
                content=self._rendering.part("overview.html", shown=shown),
            )

        address = filters.link(page=filters.page)
        made = self._prints.kept(address, version_of(self._showcase))
        if made is None:
            async with self._turns.taken():
                made = self._prints.of(address, version_of(self._showcase), make)
        self.live.cost = self._prints.cost
        return self._page(request, made)

    async def _image(self, request: web.Request) -> web.Response:
        picture = self._seen()
        image = _image_of(request, picture)
        record = await record_of(self._journal, image)
        async with self._turns.taken():
            content = self._rendering.part(
                "image.html",
                shown=image_page(picture, image, record),
                failed_kinds=FAILED_KINDS,
                operator=_operator(request),
            )
        return self._page(request, Print(title=f"{image.name or image.id} - edgesync", content=content))

    async def _layers(self, request: web.Request) -> web.Response:
        """Asked at the site whenever somebody looks: so this page doesn't keep itself up to date."""
        picture = self._seen()
        image = _image_of(request, picture)
        (site,) = await self._counter.layers(request.match_info["store"])
        shown = about(site_layers_view(site, picture.world.images), image.id)
        content = self._rendering.part("layers.html", image=image, shown=shown)
        made = Print(title=f"{image.name or image.id} at {site.store} - edgesync", content=content)
        return self._page(request, made, live=False)

    async def _store(self, request: web.Request) -> web.Response:
        picture = self._seen()
        store = StoreId(request.match_info["store"])
        if store not in picture.world.topology.stores:
            raise NotFoundError(f"Glance has no store {store}", remedy="the front page lists them")
        shown = await site_page(picture, self._showcase.at, self._journal, self._lags, store)
        async with self._turns.taken():
            content = self._rendering.part(
                "site.html", shown=shown, filters=Filters(), failed_kinds=FAILED_KINDS, operator=_operator(request)
            )
        return self._page(request, Print(title=f"{store} - edgesync", content=content))

    async def _jobs(self, request: web.Request) -> web.Response:
        picture = self._seen()
        async with self._turns.taken():
            content = self._rendering.part("jobs.html", shown=jobs_page(picture), operator=_operator(request))
        return self._page(request, Print(title="jobs - edgesync", content=content))

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._assets:
            raise NotFoundError(f"there is no {name}")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        response = web.Response(body=self._assets[name], content_type=kind, charset="utf-8")
        # Its address changes when it does.
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.enable_compression()
        return response

    def _seen(self) -> Picture:
        if self._showcase.picture is None:
            health = self._showcase.health
            raise TransientError(
                health.trouble or "edgesync has not finished its first look at Glance",
                remedy=health.remedy or "try again in a moment",
            )
        return self._showcase.picture

    def _page(self, request: web.Request, made: Print, *, live: bool = True) -> web.Response:
        # Of what is shown, and not of who sees it: a page that is open knows its own.
        tag = f'"{hashlib.sha256((made.title + made.content).encode()).hexdigest()[:24]}"'
        known = request.headers.get("If-None-Match")
        if known == tag:
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
        visitor = request.get(VISITOR)
        # What is said about an order is for the person, not for the script that asks again.
        notices = visitor.tell() if visitor and known is None else ()
        return self._rendering.answer(
            made.title, made.content, visitor=visitor, notices=notices, tag=tag if live else ""
        )


def _image_of(request: web.Request, picture: Picture) -> Image:
    """The one that the path names."""
    wanted = request.match_info["image"]
    image = picture.world.images.get(ImageId(wanted))
    if image is None:
        raise NotFoundError(f"Glance shows no image {wanted}", remedy="edgesync history tells what became of it")
    return image


def _operator(request: web.Request) -> Session | None:
    """Who is signed in and may order something."""
    visitor = request.get(VISITOR)
    return visitor if visitor is not None and visitor.caller.role.changes else None
