"""Debian's Chromium, led by playwright, in front of the page. Nothing of it reaches further than this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from edgesync.expose.page import live
from edgesync.expose.picture import Showcase
from tests.unit.expose.page.sights import application

CHROMIUM = "/usr/bin/chromium"
# Kept after the tests, for people to look at.
SCREENSHOTS = Path("build/screenshots")


@pytest.fixture(scope="session", autouse=True)
def album() -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Its sandbox does not work for root.
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@dataclass
class Visit:
    """One browser window, and whatever went wrong in it."""

    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def listen(self) -> None:
        self.page.on("console", lambda message: self._say(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or request.url))

    def _say(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    async def keep(self, name: str) -> None:
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


Open = Callable[..., Awaitable[Visit]]


@pytest_asyncio.fixture(loop_scope="session")
async def window(chromium: Browser) -> AsyncIterator[Open]:
    """Opens windows; at the end none of them may have had anything to complain of."""
    async with AsyncExitStack() as stack:
        visits: list[Visit] = []

        async def open_window(**options: Any) -> Visit:
            context = await chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            stack.push_async_callback(context.close)
            context.set_default_timeout(15_000)
            visit = Visit(context=context, page=await context.new_page())
            visit.listen()
            visits.append(visit)
            return visit

        yield open_window
        complaints = [complaint for visit in visits for complaint in visit.complaints]
    assert complaints == []


Serve = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture(loop_scope="session")
async def serve() -> AsyncIterator[Serve]:
    """Serves the page of a picture; where."""
    async with AsyncExitStack() as stack:

        async def start(shown: Showcase, **parts: Any) -> str:
            server = await stack.enter_async_context(TestServer(application(shown, **parts)))
            return str(server.make_url("/")).rstrip("/")

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere() -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Serves a page that is not ours."""
    async with AsyncExitStack() as stack:

        async def start(html: str) -> str:
            async def answer(_: web.Request) -> web.Response:
                return web.Response(text=html, content_type="text/html")

            app = web.Application()
            app.router.add_get("/", answer)
            server = await stack.enter_async_context(TestServer(app))
            return str(server.make_url("/"))

        yield start


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Changes are told at once, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(live, "PACE", 0.05)
        patched.setattr(live, "SHARE", 1000.0)
        yield
