"""Keeps foreign web pages from making a browser on this machine order something.

A page can only send what HTML forms send without asking first: a GET, or a POST that isn't JSON. Everything else a
browser asks leave for, with a request that gets none here.
"""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from edgesync.expose.refusals import respond


@web.middleware
async def local_callers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a foreign web page could make a browser on this machine send."""
    if not _is_loopback(request.host):
        return respond(HTTPStatus.FORBIDDEN, f"this is not {request.host}", "address the API as 127.0.0.1 or localhost")
    if request.method not in {"GET", "HEAD"}:
        origin = request.headers.get("Origin")
        if origin is not None and origin.split("://", 1)[-1] != request.host:
            return respond(HTTPStatus.FORBIDDEN, f"changes are not taken from {origin}")
        if request.method == "POST" and request.content_type != "application/json":
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
