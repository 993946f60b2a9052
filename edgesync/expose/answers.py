"""View models as JSON."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from pydantic import TypeAdapter

_ANY: TypeAdapter[object] = TypeAdapter(object)


def as_json(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=_ANY.dump_json(body), content_type="application/json")
