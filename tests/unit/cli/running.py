"""Commands run in this process: a new one takes a second to begin with. Some against the daemon's API, with the intake
behind it and a journal on paper."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from edgesync.cli import main
from edgesync.expose.picture import Picture
from tests.fakes.credentials import LOCAL_TOKEN
from tests.unit.daemon.paper import Counter, counter
from tests.unit.expose.test_orders import application


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


def typed(capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, *arguments: str) -> Said:
    """Run a command to its end."""
    capture.readouterr()
    patch.setattr(sys, "argv", ["edgesync", *arguments])
    code = main._exit_code()
    said = capture.readouterr()
    return Said(code=code, out=said.out, err=said.err)


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """Where commands are typed."""

    at: Counter
    url: str
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    async def edgesync(self, *arguments: str) -> Said:
        """Run a command in a thread of its own, as its own process would."""
        self.patch.setenv("EDGESYNC_API_TOKEN", LOCAL_TOKEN)
        return await asyncio.to_thread(typed, self.capture, self.patch, "--api", self.url, *arguments)


@asynccontextmanager
async def terminal(
    picture: Picture, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, **more: Any
) -> AsyncIterator[Terminal]:
    at = counter(picture, **more)
    # The daemon's own log is no part of what a command says.
    with capture_logs():
        async with TestServer(application(at)) as server:
            yield Terminal(at=at, url=str(server.make_url("/")), capture=capture, patch=patch)
