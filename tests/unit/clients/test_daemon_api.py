"""What answers at the daemon's address may be something else, or a daemon that has its hands full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edgesync.clients import daemon_api
from edgesync.clients.daemon_api import DaemonApi
from edgesync.errors import NotFoundError, PermanentError, UnreachableError

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[DaemonApi]:
    app = web.Application()
    app.router.add_get("/v1/images", answer)
    async with TestServer(app) as server, DaemonApi(str(server.make_url("/"))) as daemon:
        yield daemon


@pytest.mark.parametrize("status", [300, 404, 500])
async def test_another_json_api_is_not_taken_for_the_daemon(status: int) -> None:
    async def glance(_: web.Request) -> web.Response:
        return web.json_response({"versions": []}, status=status)

    async with answering(glance) as daemon:
        with pytest.raises(PermanentError, match="is not edgesync") as refused:
            await daemon.get("/v1/images")
        assert "--api" in refused.value.remedy


async def test_the_daemons_own_problems_keep_their_words() -> None:
    async def problem(_: web.Request) -> web.Response:
        body = {"detail": "no such image", "remedy": "look"}
        return web.json_response(body, status=404, content_type="application/problem+json")

    async with answering(problem) as daemon:
        with pytest.raises(NotFoundError, match="no such image") as refused:
            await daemon.get("/v1/images")
        assert refused.value.remedy == "look"


async def test_a_busy_daemon_is_not_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_api, "DEADLINE", 0.2)

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.json_response({})

    async with answering(slow) as daemon:
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.2 seconds"):
            await daemon.get("/v1/images")
