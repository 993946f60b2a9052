"""Who may do what: whoever changes something shows a credential of an operator; whoever looks, if reading is closed.

Credentials come in headers that a page elsewhere can't make a browser send. The API takes no cookies; those of the
status page count for itself alone, and for what its own forms order (`edgesync.expose.page.visits`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from edgesync.config.addresses import is_loopback
from edgesync.domain.access import Caller, Credentials, RemoteCredentials
from edgesync.errors import TransientError
from edgesync.expose.limits import Buckets, at_once
from edgesync.expose.refusals import respond

log = structlog.get_logger(__name__)

# Who asks; absent where nobody had to say so.
CALLER = web.RequestKey("caller", Caller)
# A credential that did not come in a header: of who is signed in at the status page, or signs in now.
SHOWN = web.RequestKey("shown", str)
READING = frozenset({"GET", "HEAD"})
# They tell whether the daemon is well, and machines that have no credential ask them.
PROBES = frozenset({"/livez", "/readyz", "/healthz"})
# Wrong credentials from one address: so many at once, and so many per second. Each may cost a question to Keystone.
GUESSES, GUESS_RATE = 20.0, 1.0
# Nothing of the cloud is shown or changed there: people give their credential, browsers get what pages are made with.
_ENTRANCE = re.compile(r"/sign-(in|out)|/static/.*")
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Which credentials count, and for what they are needed."""

    # Looked up here, at once.
    files: Sequence[Credentials]
    # Asked elsewhere, about what is in no file; None: nobody is.
    keystone: RemoteCredentials | None = None
    reading_is_open: bool = True
    # True: whoever comes from another host must have shown a certificate.
    certified: bool = False


def admission(access: Access) -> Middleware:
    """The middleware that finds out who asks, and refuses what that one may not do."""
    guesses = Buckets(rate=GUESS_RATE, burst=GUESSES)

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if access.certified and not _has_certificate(request):
            return respond(
                HTTPStatus.FORBIDDEN,
                "other hosts must show a certificate",
                "use one of the authority in api.client_ca; edgesync's commands take it from EDGESYNC_API_CERT",
            )
        entrance = _ENTRANCE.fullmatch(request.path) is not None
        reads = request.method in READING or entrance
        shown = _token(request)
        caller = None
        if shown is not None:
            try:
                caller = await _judged(access, shown, asks=guesses.holds(request.remote))
            except TransientError:
                # The question was asked all the same.
                guesses.take(request.remote)
                raise
            if caller is None:
                wait = guesses.take(request.remote)
                if wait:
                    return at_once(wait)
                log.warning("a wrong credential was shown", by=request.remote, method=request.method, path=request.path)
                return _unknown("this credential is not, or no longer, known here")
            request[CALLER] = caller
        if caller is None and not (reads and (access.reading_is_open or entrance or request.path in PROBES)):
            return _unknown("this needs a credential")
        if caller is not None and not reads and not caller.role.changes:
            return respond(
                HTTPStatus.FORBIDDEN,
                f"{caller.name} may look, and change nothing",
                "ask with the credential of an operator",
            )
        return await handler(request)

    return admit


def asked_by(request: web.Request, said: str = "") -> str:
    """Who asks, for the history; `said` is what the request itself says of that."""
    return request[CALLER].named(said)


def _has_certificate(request: web.Request) -> bool:
    """One that was checked; commands on this host need none."""
    return is_loopback(request.remote or "") or bool(request.get_extra_info("peercert"))


def _token(request: web.Request) -> str | None:
    """What was shown as a credential, sound or not; None: nothing."""
    if SHOWN in request:
        return request[SHOWN]
    if (token := request.headers.get("X-Auth-Token")) is not None:
        return token
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


async def _judged(access: Access, token: str, *, asks: bool) -> Caller | None:
    """Whose it is. Who guessed too often has nothing asked, which takes nothing from others of the same address."""
    if not _TOKEN.fullmatch(token):
        return None
    for kind in access.files:
        if caller := await kind.caller(token):
            return caller
    if access.keystone is None:
        return None
    return access.keystone.remembered(token) or (await access.keystone.caller(token) if asks else None)


def _unknown(detail: str) -> web.Response:
    refusal = respond(
        HTTPStatus.UNAUTHORIZED,
        detail,
        "send the header Authorization: Bearer TOKEN, with a token of api.tokens or, if they are let in, of Keystone; "
        "the commands on edgesync's own host find theirs when root or a member of its group gives them",
    )
    refusal.headers["WWW-Authenticate"] = 'Bearer realm="edgesync"'
    return refusal
