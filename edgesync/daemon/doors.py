"""How people reach the daemon: who is let in, by which credentials, and the socket where they come."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

from edgesync import __version__
from edgesync.clients.keystone import OpenStackAuth
from edgesync.clients.keystone_tokens import KeystoneTokens, RoleMap
from edgesync.clients.token_file import TokenFile, local_token, make_local_token, named_tokens
from edgesync.config import Settings
from edgesync.daemon.certificates import Certificate, Files
from edgesync.errors import ConfigError
from edgesync.expose.access import Access

log = structlog.get_logger(__name__)

# Seconds for open HTTP requests to end when the daemon stops.
FAREWELL = 5.0
# Seconds for a connection to say what it wants, at first and after each request; and to agree on TLS.
IDLE, HANDSHAKE = 30.0, 10.0
# Seconds in which the other end must take something of an answer, or acknowledge it: else the connection is cut.
UNREAD = 30.0
# Seconds between two looks at files that may have been changed.
REFRESH = 5.0
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Renewable(Protocol):
    """What is in a file that may be changed while the daemon runs."""

    async def refresh(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Doors:
    """What is needed to let people in."""

    access: Access
    # None: plain HTTP.
    certificate: Certificate | None
    renewables: Sequence[Renewable]

    async def run(self) -> None:
        """Notice changed files, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH)
            for renewable in self.renewables:
                try:
                    await renewable.refresh()
                except Exception:
                    # The others are looked at all the same, and this one again.
                    log.exception("a file could not be read again")


@asynccontextmanager
async def doors_of(settings: Settings) -> AsyncIterator[Doors]:
    """Read the credentials and the certificate; ConfigError when one can't be used. The local credential is made."""
    async with AsyncExitStack() as stack:
        certificate = await asyncio.to_thread(_certificate, settings)
        files = await asyncio.to_thread(_token_files, settings)
        access = Access(
            files=files,
            keystone=await stack.enter_async_context(_keystone(settings)) if settings.api.asks_keystone else None,
            reading_is_open=settings.api.is_open,
            certified=settings.api.client_ca is not None,
        )
        renewables: list[Renewable] = [*files, *([certificate] if certificate else ())]
        yield Doors(access=access, certificate=certificate, renewables=renewables)


@asynccontextmanager
async def serving(settings: Settings, application: web.Application, doors: Doors) -> AsyncIterator[None]:
    """Take requests; ConfigError when nobody can listen there."""
    runner = web.AppRunner(
        application, access_log=None, logger=_protocol_log(), shutdown_timeout=FAREWELL, keepalive_timeout=IDLE
    )
    await runner.setup()
    try:
        try:
            listening = await _listen(settings, runner, doors.certificate)
        except OSError as error:
            place = settings.where("api", "listen")
            raise ConfigError(
                [f"{place}: api.listen: expected a free address, found {settings.api.listen}: {error.strerror}"],
                remedy="is another edgesync running? Otherwise choose another port",
            ) from error
        log.info("listening", url=settings.api.url, version=__version__)
        try:
            yield
        finally:
            listening.close()
    finally:
        await runner.cleanup()


async def _listen(settings: Settings, runner: web.AppRunner, certificate: Certificate | None) -> asyncio.Server:
    server = runner.server
    if server is None:
        raise RuntimeError("the runner was not set up")

    loop = asyncio.get_running_loop()
    arriving = set[_Arriving]()

    def welcome() -> asyncio.Protocol:
        if len(arriving) + len(server.connections) >= settings.api.max_connections:
            return _Full()
        guest = _Arriving(server, arriving)
        # Nobody tells of a handshake that failed.
        loop.call_later(HANDSHAKE, arriving.discard, guest)
        return guest

    listening = await loop.create_server(
        welcome,
        settings.api.host,
        settings.api.port,
        ssl=certificate.context if certificate else None,
        ssl_handshake_timeout=HANDSHAKE if certificate else None,
    )
    for door in listening.sockets:
        # Connections inherit it. Linux also counts the time in which a living client makes no room for more.
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD * 1000))
    return listening


def _protocol_log() -> logging.Logger:
    """Of aiohttp: what it can't even parse is the sender's trouble, and anybody could fill the log with it."""
    protocol = logging.getLogger(__name__)
    protocol.addFilter(_is_ours)
    return protocol


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


class _Arriving(asyncio.Protocol):
    """A connection until TLS is agreed on; aiohttp counts it from then on."""

    def __init__(self, server: web.Server, arriving: set[_Arriving]) -> None:
        self._server = server
        self._arriving = arriving
        arriving.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._arriving.discard(self)
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)


class _Full(asyncio.Protocol):
    """Turns a connection away when there are too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_FULL)
        transport.close()


def _token_files(settings: Settings) -> list[TokenFile]:
    make_local_token(settings.local_token)
    files = [TokenFile(settings.local_token, local_token)]
    if settings.api.tokens is not None:
        files.append(TokenFile(Path(settings.api.tokens), named_tokens))
    for file in files:
        file.load()
    return files


def _certificate(settings: Settings) -> Certificate | None:
    api = settings.api
    if api.certificate is None or api.key is None:
        return None
    return Certificate(
        Files(
            certificate=api.certificate,
            key=api.key,
            client_ca=api.client_ca,
            place=settings.where("api", "certificate"),
        )
    )


@asynccontextmanager
async def _keystone(settings: Settings) -> AsyncIterator[KeystoneTokens]:
    """With a log-in and a thread of its own: whoever shows it nonsense delays no request to Glance."""
    api = settings.api
    files = [str(settings.clouds_file)] if settings.clouds_file else None
    auth = OpenStackAuth(cloud=settings.cloud, config_files=files, region=settings.region)
    roles = RoleMap(
        operators=api.keystone_operators or (), viewers=api.keystone_viewers or (), projects=api.keystone_projects
    )
    try:
        yield KeystoneTokens(auth, roles, cache=api.keystone_cache)
    finally:
        await auth.close()
