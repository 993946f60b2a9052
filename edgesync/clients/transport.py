"""One HTTP exchange with deadline, size limit and log-in; and its repetition where repeating is safe.

Safe are reads, and any request that certainly never left (nobody accepted the connection). An import request whose
answer got lost may be running: it is never sent twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_random_exponential

from edgesync.clients.auth import Auth
from edgesync.clients.certificates import OnCertificate, watched
from edgesync.clients.refusals import means_clones, plain, token_refused
from edgesync.clients.streaming import Sleep, Upload
from edgesync.errors import EdgesyncError, PermanentError, RequestError, TransientError, UnreachableError

Observer = Callable[[str, str, float], None]

# A server that asks for more patience than this gets it from the caller, not from a request that waits.
MOST_PATIENCE = 60.0
# A page of 1,000 images with locations at 100 stores is 15 MB.
MOST_BYTES = 64 * 1024 * 1024
# The content type of what is sent by `upload`.
STREAM = "application/octet-stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request."""

    # For metrics: `images`, `copy_image`.
    operation: str
    # For sentences: "list the images", after "Can't".
    what: str
    path: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    content_type: str = "application/json"
    # Seconds; None: the transport's own.
    deadline: float | None = None
    # False: not even a read is repeated.
    repeat: bool = True

    @property
    def sends(self) -> bool:
        return self.body is not None or self.content_type == STREAM

    @property
    def reads(self) -> bool:
        return self.method == "GET"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back, with a status below 500."""

    status: int
    body: bytes

    @property
    def said(self) -> str:
        return plain(self.body)


class Transport:
    """HTTP with one service."""

    def __init__(
        self,
        auth: Auth,
        *,
        deadline: float,
        attempts: int,
        on_request: Observer,
        sleep: Sleep,
        pause: float,
        on_certificate: OnCertificate = lambda _: None,
    ) -> None:
        self._on_certificate = on_certificate
        self._auth = auth
        self._deadline = deadline
        self._attempts = attempts
        self._on_request = on_request
        self._sleep = sleep
        self._backoff = wait_random_exponential(multiplier=pause, max=10.0)
        self._login = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._reading: aiohttp.ClientSession | None = None
        self._changing: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        for session in (self._reading, self._changing):
            if session is not None:
                await session.close()
        self._reading = self._changing = None

    async def send(self, call: Call) -> Answer:
        """Return the answer, whatever Glance decided; raise when there is none worth reading."""

        def again(error: BaseException) -> bool:
            if not call.repeat or not isinstance(error, TransientError):
                return False
            if error.retry_after is not None and error.retry_after > MOST_PATIENCE:
                return False
            return call.reads or (isinstance(error, UnreachableError) and not error.sent)

        retrying = AsyncRetrying(
            retry=retry_if_exception(again),
            # A server that lets every attempt run into its deadline gets two, not all of them.
            stop=stop_after_attempt(self._attempts) | stop_after_delay(2 * (call.deadline or self._deadline)),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(self._authorized, call)

    async def upload(self, call: Call, upload: Upload) -> Answer:
        """Send a stream, once: neither a new log-in nor a new connection brings back what was sent of it."""
        try:
            async with upload.watched():
                answer = await self._exchange(call, await self._auth.headers(), upload)
        except TimeoutError as error:
            raise UnreachableError(
                f"Can't {call.what}. {upload.stalled}",
                remedy="Look at the line from the sender to Glance, and into glance-api's log; then try again.",
            ) from error
        except TransientError as error:
            if upload.failure is None:
                raise
            raise _source_failed(call, upload) from error
        if answer.status == 401:
            await self._auth.invalidate()
            raise token_refused(call.what, answer.said)
        return answer

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransientError) and error.retry_after is not None:
            return error.retry_after
        return self._backoff(state)

    async def _authorized(self, call: Call) -> Answer:
        """Exchange; log in anew, once, when the token is refused."""
        headers = await self._auth.headers()
        answer = await self._exchange(call, headers)
        if answer.status != 401:
            return answer
        async with self._login:
            # Many requests fail together when a token dies: the first one logs in, the others find it done.
            if await self._auth.headers() == headers:
                await self._auth.invalidate()
        answer = await self._exchange(call, await self._auth.headers())
        if answer.status == 401:
            raise token_refused(call.what, answer.said)
        return answer

    async def _exchange(self, call: Call, headers: Mapping[str, str], upload: Upload | None = None) -> Answer:
        root = service_root(await self._auth.endpoint())
        session = await self._session(call)
        started = time.monotonic()
        outcome = "unreachable"
        try:
            async with session.request(
                call.method,
                root + call.path,
                params=call.params,
                data=upload.body() if upload else _encoded(call),
                headers={**headers, **({"Content-Type": call.content_type} if call.sends else {})},
                timeout=aiohttp.ClientTimeout(sock_connect=10.0) if upload else self._timeout(call),
                # Following one would hand the token to whoever is named.
                allow_redirects=False,
            ) as response:
                outcome = str(response.status)
                body = await _read(response, call)
                failure = _server_failure(call, response, body)
                if upload:
                    # Or the rest of what it has just refused would still be sent.
                    response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            outcome = "timeout" if isinstance(error, TimeoutError) else outcome
            raise self._no_answer(call, root, error, sending=upload is not None) from error
        finally:
            self._on_request(call.operation, outcome, time.monotonic() - started)
        if failure is not None:
            raise failure
        return Answer(status=response.status, body=body)

    def _timeout(self, call: Call) -> aiohttp.ClientTimeout:
        deadline = call.deadline or self._deadline
        return aiohttp.ClientTimeout(total=deadline, sock_connect=min(10.0, deadline))

    def _no_answer(self, call: Call, root: str, error: Exception, *, sending: bool = False) -> EdgesyncError:
        where = f"Can't {call.what}. Glance at {root}"
        check = "Check that glance-api and the proxy in front of it run and can be reached from here."
        if isinstance(error, aiohttp.ClientSSLError):
            return PermanentError(
                f"{where} has a certificate that can't be verified: {error.os_error}",
                remedy="Name the authority's certificate as cacert in clouds.yaml (or OS_CACERT).",
            )
        if isinstance(error, aiohttp.InvalidURL):
            return PermanentError(
                f"{where} is not a usable address.",
                remedy="Correct the image endpoint in Keystone's catalog, or image_endpoint_override in clouds.yaml.",
            )
        # Before TimeoutError, which it also is: nobody accepted the connection, so nothing was asked.
        if isinstance(error, (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError)):
            reason = getattr(error, "os_error", None) or "no connection in time"
            return UnreachableError(f"{where} can't be reached: {reason}", remedy=check, sent=False)
        if isinstance(error, TimeoutError):
            deadline = call.deadline or self._deadline
            return UnreachableError(f"{where} did not answer within {deadline:g} seconds.", remedy=check)
        if isinstance(error, aiohttp.ClientPayloadError):
            return _in_doubt(call, f"{where} broke off in the middle of its answer.", check)
        if sending:
            # A server that refuses a request before it has read the data closes, and its answer may be lost with that.
            why = "Glance's log tells why: it may have refused the data, by its policy or a quota."
            return UnreachableError(f"{where} closed the connection while the data were sent.", remedy=f"{why} {check}")
        return UnreachableError(f"{where} closed the connection without an answer.", remedy=check)

    async def _session(self, call: Call) -> aiohttp.ClientSession:
        """Reads share connections. Changes get a new one each: an idle one may turn out to be closed after sending,
        and then nobody knows whether the request arrived."""
        # One at a time: two first requests must not open two sessions, one of which nobody would close.
        async with self._opening:
            if call.reads:
                self._reading = self._reading or await self._new_session(fresh=False)
                return self._reading
            self._changing = self._changing or await self._new_session(fresh=True)
            return self._changing

    async def _new_session(self, *, fresh: bool) -> aiohttp.ClientSession:
        tls = watched(await self._auth.tls(), self._on_certificate)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=32, force_close=fresh),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "edgesync"},
            middlewares=(_once,) if fresh else (),
        )


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a DELETE by itself when the connection breaks.

    If the first one was carried out, the second is told that the other copy is the last one.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        # Of another class than those that make aiohttp try again.
        raise aiohttp.ClientConnectionError(str(error)) from error


def _encoded(call: Call) -> bytes | None:
    return None if call.body is None else json.dumps(call.body).encode()


def _source_failed(call: Call, upload: Upload) -> EdgesyncError:
    if isinstance(upload.failure, EdgesyncError):
        return upload.failure
    return RequestError(
        f"Can't {call.what}. The data broke off after {upload.sent} bytes: {upload.failure}",
        remedy="Send it again, from its beginning.",
    )


def service_root(endpoint: str) -> str:
    """Catalogs name the service with or without its version: http://host:9292, .../v2, https://host/image/v2.0."""
    root, _, last = endpoint.rstrip("/").rpartition("/")
    return root if last[:1] == "v" and last[1:].replace(".", "").isdigit() else endpoint.rstrip("/")


def parsed(call: Call, answer: Answer, load: Callable[[bytes], Any] = json.loads) -> Any:
    """The JSON in an answer."""
    try:
        return load(answer.body)
    except ValueError as error:
        begin = plain(answer.body[:1000])[:80] or "an empty body"
        raise _in_doubt(
            call,
            f"Can't {call.what}. The answer (HTTP {answer.status}) is not JSON: {begin}",
            "Something else than Glance answers at its address: look at the proxy, and at the catalog's endpoint.",
        ) from error


async def _read(response: aiohttp.ClientResponse, call: Call) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MOST_BYTES:
            raise PermanentError(
                f"Can't {call.what}. The answer is longer than {MOST_BYTES // 1024**2} MiB.",
                remedy="Set Glance's api_limit_max lower, so that its pages get smaller.",
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _server_failure(call: Call, response: aiohttp.ClientResponse, body: bytes) -> EdgesyncError | None:
    status = response.status
    if status < 500 and status != 429:
        return None
    said = plain(body)
    if means_clones(said):
        # A refusal, and nothing was done.
        return None
    request = response.headers.get("X-Openstack-Request-Id", "")
    message = f"Can't {call.what}. Glance answered HTTP {status}" + (f": {said}" if said else "")
    remedy = "Look into glance-api's log" + (f" for {request}." if request else ".")
    if status in {429, 503}:
        # Said before anything was done: too busy, no server behind the proxy, no space.
        after = _retry_after(response.headers.get("Retry-After"))
        return TransientError(message, remedy=remedy, retry_after=after)
    return _in_doubt(call, message, remedy)


def _in_doubt(call: Call, message: str, remedy: str) -> EdgesyncError:
    """A read can be repeated. A change may have happened: the caller has to look."""
    if call.reads:
        return TransientError(message, remedy=remedy)
    return UnreachableError(message, remedy=remedy, sent=True)


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
