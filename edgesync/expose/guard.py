"""Keeps foreign web pages from making a browser order something, or read here under another name.

A page can only send what HTML forms send without asking first: a GET, or a POST that isn't JSON, and without a
credential. Everything else a browser asks leave for, with a request that gets none here.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from edgesync.config.addresses import is_loopback
from edgesync.expose.access import READING
from edgesync.expose.refusals import respond

# What every answer has; the status page, which shows something, sets a policy of its own.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
# What browsers say of requests that a page of ours or a person made.
_OWN = {"same-origin", "none"}
# Where the status page's forms are sent.
_FORMS = re.compile(r"/sign-(in|out)$|/orders/")


@web.middleware
async def own_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a foreign web page could make a browser send."""
    # With TLS, the certificate says who this is: a page that only has its name lead here gets no connection.
    if not request.secure and not _is_here(request.host):
        return respond(HTTPStatus.FORBIDDEN, f"this is not {request.host}", "address the API as 127.0.0.1 or localhost")
    if request.method in READING:
        return await handler(request)
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        return respond(HTTPStatus.FORBIDDEN, f"changes are not taken from {origin}", "use edgesync's own page")
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN:
        return respond(HTTPStatus.FORBIDDEN, "changes are not taken from other pages", "use edgesync's own page")
    known = request.match_info.http_exception is None
    if known and request.method == "POST" and request.content_type != "application/json" and not _is_form(request):
        return respond(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON", "set the header Content-Type: application/json")
    return await handler(request)


async def guarded(_request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer its headers, streams included."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # Not which software it is, and of which version.
    response.headers["Server"] = "edgesync"


def _is_form(request: web.Request) -> bool:
    """Whether it is one of the status page's own forms, which hold what no other page knows."""
    return _FORMS.match(request.path) is not None and request.content_type == "application/x-www-form-urlencoded"


def _is_here(host: str) -> bool:
    """Whether a Host header names this machine; a name that only resolves to it may be anybody's (DNS rebinding)."""
    try:
        return is_loopback(URL(f"http://{host}").host or "")
    except ValueError:
        return False
