"""The HTTP side of the fake: routes, error bodies, faults. What the requests mean is in `simulation`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tests.fakes.glance.answers import abort, error_page, truncated, unauthorized
from tests.fakes.glance.clock import SettableClock
from tests.fakes.glance.faults import (
    Faults,
    Hang,
    Kind,
    LoseAnswer,
    NotJson,
    Reset,
    Slow,
    Status,
    TokenExpired,
    Truncate,
)
from tests.fakes.glance.refusal import RefusalError
from tests.fakes.glance.simulation import Simulation

Handler = Callable[[web.Request], Awaitable[web.Response]]

VERSIONS = ("v2.18", "v2.17", "v2.16", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8", "v2.7", "v2.0")
LOCATION_PATCH = "application/openstack-images-v2.1-json-patch"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request, for assertions."""

    operation: str
    path: str
    query: dict[str, str]
    body: Any
    at: datetime


@dataclass(kw_only=True)
class Settings:
    """How this Glance is built and configured."""

    versions: tuple[str, ...] = VERSIONS
    multi_store: bool = True
    # Whether the detailed list of stores has the clusters' ids; Glance 25 has none.
    tells_fsid: bool = True
    import_methods: tuple[str, ...] = ("glance-direct", "web-download", "copy-image")
    # Tokens that are accepted; None accepts any, also none at all.
    tokens: frozenset[str] | None = None
    # Those of users without the admin role.
    members: frozenset[str] = frozenset()
    # Glance's api_limit_max.
    page_limit: int = 1000


@dataclass(kw_only=True)
class GlanceApp:
    """Answers requests from a simulation."""

    sim: Simulation
    clock: SettableClock
    settings: Settings = field(default_factory=Settings)
    faults: Faults = field(default_factory=Faults)
    requests: list[Seen] = field(default_factory=list)
    # Set when the server stops, so that hanging requests end.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def build(self) -> web.Application:
        app = web.Application()
        routes: list[tuple[str, str, str, Handler]] = [
            ("GET", "/versions", "versions", self._versions),
            ("GET", "/v2/schemas/image", "schema", self._schema),
            ("GET", "/v2/info/stores", "stores", self._stores),
            ("GET", "/v2/info/stores/detail", "stores_detail", self._stores_detail),
            ("GET", "/v2/info/import", "import_info", self._import_info),
            ("GET", "/v2/images", "images", self._images),
            ("GET", "/v2/images/{image}", "image", self._image),
            ("GET", "/v2/images/{image}/tasks", "tasks", self._tasks),
            ("POST", "/v2/images", "create_image", self._create_image),
            ("DELETE", "/v2/images/{image}", "delete_image", self._delete_image),
            ("POST", "/v2/images/{image}/import", "import_image", self._import_image),
            ("DELETE", "/v2/stores/{store}/{image}", "delete_from_store", self._delete_from_store),
            ("PATCH", "/v2/images/{image}", "add_location", self._add_location),
        ]
        for method, path, operation, handler in routes:
            app.router.add_route(method, path, self._wrap(operation, handler))
        app.router.add_route("PUT", "/v2/images/{image}/stage", self._stage)
        return app

    def _wrap(self, route: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            body: Any = await request.json() if request.can_read_body else None
            copies = route == "import_image" and body["method"]["name"] == "copy-image"
            operation = "copy_image" if copies else route
            self._note(operation, request, body)
            await self._connect(operation, request)
            with self.clock.hold():
                kind = self.faults.take(operation)
                self.sim.advance_to(self.clock.now())
                before = await self._misbehave(request, kind)
                response = before or await self._respond(request, handler)
            return await self._mangle(request, response, kind)

        return answer

    def _note(self, operation: str, request: web.Request, body: Any) -> None:
        seen = Seen(operation=operation, path=request.path, query=dict(request.query), body=body, at=self.clock.now())
        self.requests.append(seen)

    async def _connect(self, operation: str, request: web.Request) -> None:
        """Glance connects to the stores inside these requests: one that can't be reached blocks the answer.

        The clock is not held meanwhile: this takes time.
        """
        named: set[str] = set()
        if operation == "stores_detail":
            named = set(self.sim.stores)
        elif operation in {"copy_image", "import_image"}:
            named = set((await request.json()).get("stores") or self.sim.stores)
        if named & self.sim.trouble.unreachable:
            await self.clock.sleep(self.sim.timings.connect_timeout)

    async def _respond(self, request: web.Request, handler: Handler) -> web.Response:
        tokens = self.settings.tokens
        if tokens is not None and request.headers.get("X-Auth-Token") not in tokens:
            return unauthorized()
        try:
            return await handler(request)
        except RefusalError as refused:
            return error_page(refused.status, refused.said)

    async def _misbehave(self, request: web.Request, kind: Kind | None) -> web.Response | None:
        """The faults that come instead of an effect."""
        if isinstance(kind, Reset):
            abort(request)
            return web.Response()
        if isinstance(kind, TokenExpired):
            return unauthorized()
        if isinstance(kind, NotJson):
            return web.Response(text=kind.body, content_type="text/html")
        if isinstance(kind, Status):
            headers = {} if kind.retry_after is None else {"Retry-After": kind.retry_after}
            if kind.html:
                return error_page(kind.status, kind.said, headers)
            return web.Response(status=kind.status, text=kind.said, headers=headers)
        return None

    async def _mangle(self, request: web.Request, response: web.Response, kind: Kind | None) -> web.StreamResponse:
        """The faults that strike an answer on its way. The clock is not held here: they may take time."""
        if isinstance(kind, LoseAnswer):
            abort(request)
        elif isinstance(kind, Hang):
            await self.stopping.wait()
        elif isinstance(kind, Slow):
            await self.clock.sleep(kind.seconds)
        elif isinstance(kind, Truncate):
            return await truncated(request, response)
        return response

    def _speak(self, version: tuple[int, int]) -> None:
        """An older Glance knows no such path."""
        if max(tuple(map(int, entry.removeprefix("v").split("."))) for entry in self.settings.versions) < version:
            raise RefusalError(404, "The resource could not be found.")

    def _require_admin(self, request: web.Request, action: str) -> None:
        if request.headers.get("X-Auth-Token") in self.settings.members:
            raise RefusalError(403, f"You are not authorized to complete {action} action.")

    # ---- handlers

    async def _versions(self, _: web.Request) -> web.Response:
        entries: list[dict[str, Any]] = [
            {"id": version, "status": "SUPPORTED" if index else "CURRENT", "links": []}
            for index, version in enumerate(self.settings.versions)
        ]
        return web.json_response({"versions": entries})

    async def _schema(self, _: web.Request) -> web.Response:
        """python-glanceclient asks for this before its first list; every property is allowed."""
        return web.json_response({"name": "image", "properties": {}, "additionalProperties": {"type": "string"}})

    async def _stores(self, _: web.Request) -> web.Response:
        if not self.settings.multi_store:
            raise RefusalError(404, "Multi backend is not supported at this site.")
        return web.json_response({"stores": [store.plain() for store in self.sim.stores.values()]})

    async def _stores_detail(self, request: web.Request) -> web.Response:
        self._speak((2, 15))
        self._require_admin(request, "stores_info_detail")
        fsid = self.settings.tells_fsid
        return web.json_response({"stores": [store.detail(with_fsid=fsid) for store in self.sim.stores.values()]})

    async def _import_info(self, _: web.Request) -> web.Response:
        value = list(self.settings.import_methods)
        methods = {"description": "Import methods available.", "type": "array", "value": value}
        return web.json_response({"import-methods": methods})

    async def _images(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        limit = min(int(query.get("limit", 25)), self.settings.page_limit)
        since = query.get("updated_at")
        page, marker = self.sim.listing.page(
            hidden=query.get("os_hidden") == "true",
            everybody=query.get("visibility") == "all",
            marker=query.pop("marker", None),
            limit=limit,
            updated_since=None if since is None else _since(since),
        )
        # Joined from what every image keeps prepared: 10,000 images at 100 stores must not keep this process busy.
        entries = b",".join([image.as_json(show_locations=self.sim.show_locations) for image in page])
        links: dict[str, str] = {"first": f"/v2/images?{urlencode(query)}", "schema": "/v2/schemas/images"}
        if marker is not None:
            links["next"] = f"/v2/images?{urlencode({**query, 'marker': marker})}"
        body = b'{"images": [%b], %b' % (entries, json.dumps(links).encode()[1:])
        return web.Response(body=body, content_type="application/json")

    async def _image(self, request: web.Request) -> web.Response:
        image = self.sim.show(request.match_info["image"])
        return web.Response(body=image.as_json(show_locations=self.sim.show_locations), content_type="application/json")

    async def _tasks(self, request: web.Request) -> web.Response:
        self._speak((2, 12))
        tasks = self.sim.tasks_of(request.match_info["image"])
        return web.json_response({"tasks": [task.document() for task in tasks]})

    async def _create_image(self, request: web.Request) -> web.Response:
        document = await request.json()
        if document.get("visibility") == "public":
            self._require_admin(request, "publicize_image")
        image = self.sim.intake.create(document, self.clock.now())
        return web.Response(
            status=201,
            body=image.as_json(show_locations=self.sim.show_locations),
            content_type="application/json",
        )

    async def _stage(self, request: web.Request) -> web.StreamResponse:
        """Unlike any other request this one takes time, and the clock goes on: its data comes as it comes."""
        self._note("stage", request, None)
        kind = self.faults.take("stage")
        response = await self._misbehave(request, kind) or await self._respond(request, self._received)
        return await self._mangle(request, response, kind)

    async def _received(self, request: web.Request) -> web.Response:
        if "glance-direct" not in self.settings.import_methods:
            raise RefusalError(404, "'glance-direct' method is not available at this site.")
        image, intake = request.match_info["image"], self.sim.intake
        self.sim.advance_to(self.clock.now())
        self.sim.show(image)
        self._require_admin(request, "modify_image")
        intake.begin_stage(image, self.clock.now())
        try:
            async for chunk in request.content.iter_any():
                if image not in intake.receiving:
                    # Killed meanwhile.
                    abort(request)
                    return web.Response()
                intake.staged[image] += len(chunk)
        except (web.RequestPayloadError, OSError):
            intake.end_stage(image, self.clock.now(), complete=False)
            raise
        intake.end_stage(image, self.clock.now(), complete=True)
        return web.Response(status=204)

    async def _import_image(self, request: web.Request) -> web.Response:
        body = await request.json()
        method = body["method"]["name"]
        if method not in self.settings.import_methods:
            raise RefusalError(400, f"Unknown import method name '{method}'.")
        # What Glance asks of the policy: for a copy a rule of its own, else whether the image is the user's.
        self.sim.show(request.match_info["image"])
        self._require_admin(request, "copy_image" if method == "copy-image" else "modify_image")
        self.sim.import_image(
            request.match_info["image"],
            None if body.get("all_stores") else body["stores"],
            method=method,
            uri=body["method"].get("uri"),
            must_succeed=body.get("all_stores_must_succeed", True),
            now=self.clock.now(),
        )
        return web.Response(status=202)

    async def _delete_image(self, request: web.Request) -> web.Response:
        self.sim.show(request.match_info["image"])
        self._require_admin(request, "delete_image")
        self.sim.delete(request.match_info["image"], self.clock.now())
        return web.Response(status=204)

    async def _delete_from_store(self, request: web.Request) -> web.Response:
        self.sim.delete_from_store(request.match_info["image"], request.match_info["store"], self.clock.now())
        return web.Response(status=204)

    async def _add_location(self, request: web.Request) -> web.Response:
        if request.content_type != LOCATION_PATCH:
            return error_page(415, "Supported values for the 'Content-Type' header are " + LOCATION_PATCH)
        (change,) = await request.json()
        if (change["op"], change["path"]) != ("add", "/locations/-"):
            raise RefusalError(400, "The fake adds locations and nothing else")
        value = change["value"]
        image = self.sim.add_location(
            request.match_info["image"], value["url"], value["metadata"]["store"], self.clock.now()
        )
        return web.Response(body=image.as_json(show_locations=True), content_type="application/json")


def _since(value: str) -> datetime:
    operator, _, time = value.partition(":")
    if operator != "gte":
        raise RefusalError(400, "The fake knows updated_at=gte: and nothing else")
    return datetime.fromisoformat(time).astimezone(UTC)
