"""Answers the way Glance writes them, and the ways they get lost."""

from __future__ import annotations

import html

from aiohttp import web

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def error_page(status: int, said: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error the way WebOb writes it: the sentence inside a web page."""
    title = f"{status} {REASONS.get(status, 'Error')}"
    page = (
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n  "
        f"{html.escape(said)}<br /><br />\n\n\n </body>\n</html>"
    )
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)


def unauthorized() -> web.Response:
    # keystonemiddleware's answer: plain text in a small JSON document.
    document = {"error": {"message": "The request you have made requires authentication.", "code": 401}}
    return web.json_response(document, status=401)


def abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def truncated(request: web.Request, response: web.Response) -> web.StreamResponse:
    body = response.body if isinstance(response.body, bytes) else b""
    cut = web.StreamResponse(status=response.status, headers={"Content-Type": response.content_type})
    cut.content_length = len(body) + 1
    await cut.prepare(request)
    await cut.write(body[: len(body) // 2])
    _abort_gently(request)
    return cut


def _abort_gently(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
