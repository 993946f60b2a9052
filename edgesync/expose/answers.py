"""View models as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, TypeAdapter

_ANY: TypeAdapter[object] = TypeAdapter(object)


def as_json(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=_ANY.dump_json(body), content_type="application/json")


def rows(name: str, found: Sequence[BaseModel], **more: object) -> web.Response:
    return as_json({name: found, **more})
