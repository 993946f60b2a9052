"""What can be asked for: each path with what it takes and gives; routes and `/openapi.json` both come from that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel

JSON, TEXT, BINARY, EVENTS = "application/json", "text/plain", "application/octet-stream", "text/event-stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    # One line for people.
    summary: str
    # What the query is parsed with; None: there is none.
    query: type[BaseModel] | None = None
    # What the body is parsed with; None: there is none, or it is no JSON.
    body: type[BaseModel] | None = None
    # True: the body is data of any kind and size.
    takes_data: bool = False
    # What comes back, by status: models, or unions of them.
    answers: Mapping[HTTPStatus, Any] = field(default_factory=dict)
    # Of what comes back when that is no JSON.
    content: str = JSON

    @property
    def route(self) -> web.RouteDef:
        if self.method == "GET":
            return web.get(self.path, self.handler)
        return web.route(self.method, self.path, self.handler)


def looks(path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], **more: Any) -> Endpoint:
    """A question."""
    return Endpoint(method="GET", path=path, handler=handler, **more)
