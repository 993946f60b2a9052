"""What the status page costs for 10,000 images at 100 stores: `python -m tests.bench.pages`.

In Debian's Chromium, on this machine: the time to the first paint, the bytes on the wire, the daemon's time for a page,
and what live updates do to the memory of both over some minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import median
from typing import Any

import click
import psutil
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, CDPSession, Page, async_playwright
from rich.console import Console
from rich.table import Table

from edgesync.expose.lag import Lags
from edgesync.expose.page.filters import Filters
from edgesync.expose.page.overview import overview
from edgesync.expose.page.rendering import Rendering
from edgesync.expose.picture import Picture
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Situation
from tests.bench.plans import Cloud, cases
from tests.browser.conftest import CHROMIUM
from tests.unit.expose.page.sights import application, showcase

ROUNDS = 5
CASES = ("at rest", "everything missing, 4 slots", "everything missing, all edges down")
ADDRESSES = ("/", "/?state=wrong", "/?name=0999", "/?all=true&page=150")
# Seconds between two pictures, and between two looks at the memory.
PACE, LOOK = 1.0, 30.0
# Looks for the first paint.
PATIENCE = 1000
KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, kw_only=True)
class Row:
    """One address in one world: medians."""

    what: str
    # Milliseconds: of the daemon's processor to make it; from the request to the first paint in a browser that has
    # nothing of it yet.
    made: float
    painted: float
    worst: float
    # Bytes: as they come over the wire, styles and script included; and of the document unpacked.
    wire: int
    plain: int


@click.command()
@click.option("--images", default=10_000, show_default=True)
@click.option("--stores", default=100, show_default=True)
@click.option("--minutes", default=1.0, show_default=True, help="How long to watch the memory.")
def main(images: int, stores: int, minutes: float) -> None:
    """Measure the page, then keep it open while a new picture comes every second."""
    asyncio.run(_main(images, stores, minutes))


async def _main(images: int, stores: int, minutes: float) -> None:
    made = cases(Cloud(images, stores))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            rows: list[Row] = []
            for what in CASES:
                # One at a time, as in a daemon: what else is in memory, Python's collector would look at, too.
                picture = _picture(made[what]())
                if not rows:
                    # What this machine's browser takes for next to nothing.
                    rows.append(await _measured(browser, "a page of a few lines", picture, "/sign-in"))
                rows += [await _measured(browser, what, picture, address) for address in ADDRESSES]
            _show(f"{images} images x {stores} stores, {ROUNDS} first visits each", rows)
            await _watched(browser, {what: _picture(made[what]()) for what in CASES[:2]}, minutes)
        finally:
            await browser.close()


def _picture(case: Situation) -> Picture:
    return Picture(situation=case, plan=make_plan(case), progress={})


async def _measured(browser: Browser, what: str, picture: Picture, address: str) -> Row:
    painted = []
    wire = plain = 0
    for _ in range(ROUNDS):
        # A daemon that has not made this page before.
        async with TestServer(application(showcase(picture))) as server:
            context = await browser.new_context(viewport={"width": 1400, "height": 900})
            page = await context.new_page()
            cdp = await context.new_cdp_session(page)
            received = _wire(cdp)
            await cdp.send("Network.enable")
            await page.goto(str(server.make_url(address)))
            painted.append(await _first_paint(page))
            wire = sum(received)
            await context.close()
            async with ClientSession() as client, client.get(server.make_url(address)) as answer:
                plain = len(await answer.read())
    return Row(
        what=f"{what}: {address}",
        made=_making(picture, address) if address.partition("?")[0] == "/" else 0.0,
        painted=median(painted),
        worst=max(painted),
        wire=wire,
        plain=plain,
    )


def _wire(cdp: CDPSession) -> list[int]:
    """Bytes of each response as they come, headers included."""
    received: list[int] = []
    cdp.on("Network.loadingFinished", lambda event: received.append(int(event["encodedDataLength"])))
    return received


async def _first_paint(page: Page) -> float:
    """Milliseconds since the navigation began."""
    entries = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)"
    found: list[float] = []
    for _ in range(PATIENCE):
        if found := await page.evaluate(entries):
            break
        await asyncio.sleep(0.01)
    return found[0]


def _making(picture: Picture, address: str) -> float:
    """Milliseconds of the daemon's time for the content."""
    rendering = Rendering()
    query = dict(pair.split("=") for pair in address.partition("?")[2].split("&") if pair)
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        rendering.part("overview.html", shown=overview(showcase(picture), Lags(), Filters.of(query)))
        times.append((time.process_time() - began) * 1e3)
    return median(times)


async def _watched(browser: Browser, pictures: Mapping[str, Picture], minutes: float) -> None:
    """A page that is open while everything in it changes again and again."""
    one, other = pictures[CASES[0]], pictures[CASES[1]]
    shown = showcase(one)
    table = Table(title=f"one page open, a new picture each {PACE:g} s", title_justify="left", box=None)
    for column in ("minute", "updates", "page heap MiB", "page nodes", "daemon MiB"):
        table.add_column(column, justify="right")
    async with TestServer(application(shown)) as server:
        page = await browser.new_page()
        answers = []
        page.on("response", lambda response: answers.append(response.status) if response.url.endswith("/") else None)
        await page.goto(str(server.make_url("/")))
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("Performance.enable")
        began = looked = time.monotonic()
        number = 0
        while (now := time.monotonic()) - began < minutes * 60:
            number += 1
            base = (one, other)[number % 2]
            at = base.world.at + timedelta(seconds=number)
            world = replace(base.world, at=at)
            shown.picture = replace(base, situation=replace(base.situation, world=world))
            if now - looked >= LOOK or number == 10:
                looked = now
                heap, nodes = await _memory(cdp)
                daemon = psutil.Process().memory_info().rss / MIB
                minute = f"{(now - began) / 60:.1f}"
                table.add_row(minute, str(len(answers)), f"{heap / MIB:.1f}", f"{nodes:.0f}", f"{daemon:.0f}")
            await asyncio.sleep(PACE)
    Console(width=120).print(table)


async def _memory(cdp: CDPSession) -> tuple[float, float]:
    """Bytes and nodes that are still in use in the page."""
    await cdp.send("HeapProfiler.collectGarbage")
    found: dict[str, Any] = await cdp.send("Performance.getMetrics")
    metrics = {entry["name"]: float(entry["value"]) for entry in found["metrics"]}
    return metrics["JSHeapUsedSize"], metrics["Nodes"]


def _show(title: str, rows: list[Row]) -> None:
    table = Table(title=title, title_justify="left", box=None)
    for column in ("", "made, CPU ms", "first paint ms", "worst ms", "wire KiB", "unpacked KiB"):
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        figures = (f"{row.made:.0f}", f"{row.painted:.0f}", f"{row.worst:.0f}")
        table.add_row(row.what, *figures, f"{row.wire / KIB:.0f}", f"{row.plain / KIB:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
