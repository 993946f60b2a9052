"""The daemon's own HTTP API, as the operator's commands use it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any

import aiohttp

from edgesync.clients.daemon_way import CA_VARIABLE, Way
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    NotFoundError,
    PermanentError,
    RequestError,
    TransientError,
    UnreachableError,
)

# Seconds; the daemon answers from memory or its journal.
DEADLINE = 30.0
# Seconds without any progress after which an upload is given up: Glance may have to write the last piece out.
SILENCE = 300.0
PROBLEM = "application/problem+json"
NO_DAEMON = (
    "start it with `systemctl start edgesync` or `edgesync run`; if it listens elsewhere, name its address with "
    "--api or EDGESYNC_API_URL"
)
BUSY_DAEMON = (
    "it may be waiting for a Glance that does not answer, which `edgesync status` tells; a request for copies may have "
    "been taken all the same: see `edgesync history`"
)
UNPROVEN = (
    "on its own host, --config names the daemon's configuration, which names its certificate; elsewhere "
    f"{CA_VARIABLE} names the authority's"
)


class DaemonApi:
    """One connection to a daemon; use it as an async context manager."""

    def __init__(self, url: str, way: Way | None = None) -> None:
        self._url = url.rstrip("/")
        self._way = way or Way()
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=DEADLINE),
            headers={"Authorization": f"Bearer {self._way.token}"} if self._way.token else {},
        )

    async def __aenter__(self) -> DaemonApi:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self._request("GET", path, params=dict(params or {}))

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._request("POST", path, json=dict(body))

    async def delete(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self._request("DELETE", path, params=dict(params or {}))

    async def send(self, path: str, data: AsyncIterable[bytes]) -> dict[str, Any]:
        """PUT data of any size, in the pieces in which it comes; only silence is limited, not the time it takes."""
        forever = aiohttp.ClientTimeout(total=None, sock_connect=DEADLINE)
        try:
            async with asyncio.timeout(SILENCE) as silence:
                return await self._request("PUT", path, data=_moving(data, silence), timeout=forever)
        except TimeoutError as error:
            raise UnreachableError(
                f"the edgesync daemon at {self._url} has taken no data for {SILENCE:g} seconds", remedy=BUSY_DAEMON
            ) from error
        except UnreachableError as error:
            if isinstance(error.__cause__, aiohttp.ClientConnectorError):
                raise
            raise UnreachableError(
                f"the edgesync daemon at {self._url} broke off taking the data: {error.__cause__}",
                remedy="its log tells why; send the file again",
            ) from error

    async def _request(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            async with self._session.request(method, f"{self._url}{path}", ssl=self._way.tls, **more) as answer:
                body = _parsed(await answer.read(), self._url)
                if answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    return body
                if answer.content_type != PROBLEM:
                    raise PermanentError(f"what answers at {self._url} is not edgesync", remedy=NO_DAEMON)
                if answer.status == HTTPStatus.UNAUTHORIZED and not self._way.token:
                    raise RequestError(str(body.get("detail")), remedy=self._way.remedy)
                raise _error(answer.status, body)
        except (aiohttp.ServerFingerprintMismatch, aiohttp.ClientSSLError) as error:
            raise PermanentError(
                f"what answers at {self._url} can't prove that it is the edgesync daemon", remedy=UNPROVEN
            ) from error
        except aiohttp.ClientError as error:
            raise UnreachableError(f"no edgesync daemon answers at {self._url}", remedy=NO_DAEMON) from error
        except TimeoutError as error:
            # It is there, and busy: a request for copies is checked with Glance before it is answered.
            raise UnreachableError(
                f"the edgesync daemon at {self._url} did not answer within {DEADLINE:g} seconds", remedy=BUSY_DAEMON
            ) from error


async def _moving(data: AsyncIterable[bytes], silence: asyncio.Timeout) -> AsyncIterator[bytes]:
    """The pieces; each one that is asked for shows that the other side still takes them."""
    async for piece in data:
        if not silence.expired():
            silence.reschedule(asyncio.get_running_loop().time() + SILENCE)
        yield piece


def _parsed(body: bytes, url: str) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise PermanentError(f"what answers at {url} is not edgesync", remedy=NO_DAEMON) from error
    if not isinstance(parsed, dict):
        raise PermanentError(f"what answers at {url} is not edgesync", remedy=NO_DAEMON)
    return parsed


def _error(status: int, problem: Mapping[str, Any]) -> EdgesyncError:
    message = str(problem.get("detail") or f"the daemon answered {status}")
    remedy = str(problem.get("remedy") or "")
    match status:
        case HTTPStatus.NOT_FOUND:
            return NotFoundError(message, remedy=remedy)
        case HTTPStatus.CONFLICT:
            return ConflictError(message, remedy=remedy)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return TransientError(message, remedy=remedy)
        case _:
            return RequestError(message, remedy=remedy)
