"""The routes about copy-on-write at the sites: what lies on what, clones, flattening."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from edgesync.expose.answers import as_json
from edgesync.expose.endpoints import Endpoint, looks
from edgesync.expose.layers import FlattenedView, flattened_view, site_layers_view
from edgesync.expose.ordering import ordered
from edgesync.expose.pages import Disk, Sites
from edgesync.expose.picture import Showcase
from edgesync.expose.requests import CloneRequest, Counter, DiskRequest, FlattenRequest, Request, Word

COPY = "/v1/images/{image}/copies/{store}"


class LayersQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    store: Word | None = None


class LayerRoutes:
    """Asked and done at the sites, when they are asked for."""

    def __init__(self, *, showcase: Showcase, counter: Counter) -> None:
        self._showcase = showcase
        self._counter = counter

    def endpoints(self) -> list[Endpoint]:
        return [
            looks(
                "/v1/layers",
                self._layers,
                summary="What lies on what at each site, or at one.",
                query=LayersQuery,
                answers={HTTPStatus.OK: Sites},
            ),
            Endpoint(
                method="POST",
                path=f"{COPY}/clones",
                handler=self._clone,
                summary="Make a disk on top of a copy, without copying data.",
                body=DiskRequest,
                answers={HTTPStatus.CREATED: Disk},
            ),
            Endpoint(
                method="POST",
                path=f"{COPY}/flatten",
                handler=self._flatten,
                summary="Have the site make a copy independent of the one that it is layered on.",
                body=Request,
                answers={HTTPStatus.ACCEPTED: FlattenedView},
            ),
            looks(
                f"{COPY}/flatten",
                self._flattened,
                summary="How far that is.",
                answers={HTTPStatus.OK: FlattenedView},
            ),
        ]

    async def _layers(self, request: web.Request) -> web.Response:
        query = LayersQuery.model_validate(dict(request.query))
        sites = await self._counter.layers(query.store)
        images = self._showcase.picture.world.images if self._showcase.picture else {}
        return as_json(Sites(sites=[site_layers_view(site, images) for site in sites]))

    async def _clone(self, request: web.Request) -> web.Response:
        body = await ordered(request, DiskRequest)
        disk = await self._counter.clone(CloneRequest(**request.match_info, **body.model_dump()))
        return as_json(Disk(disk=disk), HTTPStatus.CREATED)

    async def _flatten(self, request: web.Request) -> web.Response:
        body = await ordered(request, Request)
        flattened = await self._counter.flatten(FlattenRequest(**request.match_info, **body.model_dump()))
        return as_json(flattened_view(flattened), HTTPStatus.ACCEPTED)

    async def _flattened(self, request: web.Request) -> web.Response:
        found = request.match_info
        return as_json(flattened_view(await self._counter.flattened(found["image"], found["store"])))
