"""People and their browsers: signing in and out, and refusals as pages instead of problem documents."""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import parse_qsl, quote

from aiohttp import web
from aiohttp.typedefs import Handler

from edgesync.errors import RequestError
from edgesync.expose.access import CALLER, SHOWN
from edgesync.expose.limits import body_of
from edgesync.expose.page.rendering import Rendering
from edgesync.expose.page.sessions import LASTING, Session, Sessions

VISITOR = web.RequestKey("visitor", Session)
# The fields of any form of ours are fewer.
MOST_FIELDS = 32
SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
# The first steps of addresses that people see in their browser, and to which their session counts.
_PEOPLES = frozenset({"", "images", "stores", "jobs", "orders", "live", SIGN_IN[1:], SIGN_OUT[1:]})


class Visits:
    """The middlewares around the page, and the routes of signing in and out."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._sessions = Sessions()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(SIGN_IN, self._form),
            web.post(SIGN_IN, self._sign_in),
            web.post(SIGN_OUT, self._sign_out),
        ]

    @web.middleware
    async def recognised(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Show the credential of whoever is signed in, or signs in now, to those who judge it."""
        if not _for_people(request):
            return await handler(request)
        if request.method == "POST" and request.path == SIGN_IN:
            request[SHOWN] = (await fields_of(request)).get("token", "").strip()
        elif session := self._sessions.find(request.cookies.get(_cookie(request), "")):
            request[SHOWN] = session.token
            request[VISITOR] = session
        return await handler(request)

    @web.middleware
    async def as_page(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What is refused is told in a page; who has to sign in is asked to."""
        response = await handler(request)
        if not _for_people(request) or request.path == "/live" or response.content_type != "application/problem+json":
            return response
        body = response.body if isinstance(response, web.Response) else b""
        problem = json.loads(body) if isinstance(body, bytes) else {}
        if response.status == HTTPStatus.UNAUTHORIZED and request.path != SIGN_IN:
            return self._to_sign_in(request)
        if request.path == SIGN_IN and request.method == "POST":
            said = f"{problem.get('detail', '')}: {_HINT}" if response.status == HTTPStatus.UNAUTHORIZED else ""
            page = self._sign_in_page(said or problem.get("detail", ""), "/", HTTPStatus(response.status))
        else:
            content = self._rendering.part("refusal.html", **_words(problem))
            page = self._rendering.answer("refused - edgesync", content, status=HTTPStatus(response.status))
        if wait := response.headers.get("Retry-After"):
            page.headers["Retry-After"] = wait
        return page

    def _to_sign_in(self, request: web.Request) -> web.Response:
        """Where nobody is known, or no longer."""
        back = request.path_qs if request.method == "GET" else "/"
        answer = web.Response(
            status=HTTPStatus.SEE_OTHER, headers={"Location": f"{SIGN_IN}?back={quote(back, safe='')}"}
        )
        self._forget(request, answer)
        return answer

    async def _form(self, request: web.Request) -> web.Response:
        return self._sign_in_page("", local(request.query.get("back", "/")))

    async def _sign_in(self, request: web.Request) -> web.Response:
        """`admission` has judged the credential before this."""
        back = local((await fields_of(request)).get("back", "/"))
        answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": back})
        self._forget(request, answer)
        answer.set_cookie(
            _cookie(request),
            self._sessions.begin(request[SHOWN], request[CALLER]),
            max_age=int(LASTING),
            path="/",
            secure=request.secure,
            httponly=True,
            samesite="Strict",
        )
        return answer

    async def _sign_out(self, request: web.Request) -> web.Response:
        answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/"})
        if await by_visitor(request):
            self._forget(request, answer)
        return answer

    def _forget(self, request: web.Request, answer: web.Response) -> None:
        name = request.cookies.get(_cookie(request))
        if name is not None:
            self._sessions.end(name)
            answer.del_cookie(_cookie(request), path="/", secure=request.secure, httponly=True, samesite="Strict")

    def _sign_in_page(self, said: str, back: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
        content = self._rendering.part("sign_in.html", said=said, back=back)
        return self._rendering.answer("sign in - edgesync", content, status=status)


_HINT = "a token of api.tokens, or of Keystone if its users are let in"


async def by_visitor(request: web.Request) -> bool:
    """Whether the form was on a page that was made for who is signed in."""
    session = request.get(VISITOR)
    return session is not None and session.wrote((await fields_of(request)).get("form", ""))


def local(address: str) -> str:
    """An address of this page; whatever could lead elsewhere leads to the front page."""
    plain = address.isprintable() and "\\" not in address
    return address if plain and address.startswith("/") and not address.startswith("//") else "/"


async def fields_of(request: web.Request) -> dict[str, str]:
    """The fields of a form, the last of each name; RequestError for what is no form."""
    body = await body_of(request)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise RequestError("this is no form of ours", remedy="go back to the page, and send its form again") from error


def _for_people(request: web.Request) -> bool:
    # `OPTIONS *` and `CONNECT` name no path.
    return request.path.startswith("/") and request.path[1:].partition("/")[0] in _PEOPLES


def _cookie(request: web.Request) -> str:
    """With TLS, a name that browsers only take from this very host."""
    return "__Host-edgesync" if request.secure else "edgesync"


def _words(problem: dict[str, str]) -> dict[str, str]:
    return {"detail": problem.get("detail", ""), "remedy": problem.get("remedy", "")}
