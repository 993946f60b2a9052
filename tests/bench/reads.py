"""What many readers at once get of the HTTP API while copies run: `python -m tests.bench.reads`.

On a lab of its own, with a daemon as it is delivered that brings an image of 1 GiB to two sites again and again, over
lines of 200 Mbit/s. Requests are sent at their times whether or not earlier ones were answered; a latency counts from
the time at which a request was due, so one that had to wait for others tells of that. Before them the daemon's ticks
are watched for as long without readers.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles

import click
import psutil
import requests
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from deploy.lab import lifecycle, links
from deploy.lab.errors import LabError
from deploy.lab.images import random_image
from deploy.lab.layout import Network
from tests.bench.ways import withdraw
from tests.lab.daemon import EDGES, MIB, DaemonProcess, daemon_of

NAME = "reads"
IMAGE = 1024 * MIB
# Bits per second.
LINE = 200_000_000
# Images that are there to be listed, and bytes of each.
IMAGES, SMALL = 30, MIB
# Connections that are kept open, and seconds until a request counts as failed.
CONNECTIONS, PATIENCE = 50, 30.0


@dataclass(kw_only=True)
class Told:
    """What became of the requests."""

    # Seconds, by path.
    latencies: dict[str, list[float]] = field(default_factory=dict)
    # Whatever was not 200, by path and what it was.
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class Ticks:
    """Of the daemon so far."""

    number: float
    # Seconds of them all, and CPU seconds of the daemon.
    seconds: float
    cpu: float


@click.command()
@click.option("--rate", default=500, show_default=True, help="Requests per second.")
@click.option("--seconds", default=60, show_default=True)
def main(rate: int, seconds: int) -> None:
    """Read everything that can be read, at a steady rate, while copies run."""
    try:
        lab = lifecycle.up(NAME, edges=len(EDGES), network=Network.NAMESPACES)
    except LabError as obstacle:
        sys.exit(f"the lab does not start: {obstacle}")
    try:
        with tempfile.TemporaryDirectory() as folder, daemon_of(lab, Path(folder), rbd=True, quick=False) as daemon:
            daemon.configure(polling={"idle": "1s"})
            daemon.start()
            asyncio.run(_measure(daemon, rate, seconds))
            daemon.stop()
            daemon.forget_images()
    finally:
        lifecycle.down(NAME)


async def _measure(daemon: DaemonProcess, rate: int, seconds: int) -> None:
    for _ in range(IMAGES):
        daemon.put(SMALL, golden=False)
    image = daemon.put_file(random_image(IMAGE, seed=1), name="large", golden=False)
    daemon.until_at(image, "central")
    for site in EDGES:
        links.limit(daemon.lab, daemon.lab.site(site), LINE)
    copying = asyncio.create_task(asyncio.to_thread(_copy_on, daemon, image, over := [False]))
    await asyncio.sleep(5)
    before = _ticks(daemon)
    await asyncio.sleep(seconds)
    alone = _ticks(daemon)
    told = await _read(daemon, _paths(daemon, image), rate, seconds)
    busy = _ticks(daemon)
    over[0] = True
    copies = await copying
    console = Console(width=120)
    console.print(_latencies(told, rate, seconds))
    console.print(_effect(before, alone, busy, seconds))
    console.print(f"copies of 1 GiB to two sites that ended meanwhile, or soon after: {copies}")


def _copy_on(daemon: DaemonProcess, image: str, over: list[bool]) -> int:
    """Bring the image to the sites, and take it away again, until it is over; how often."""
    for number in range(sys.maxsize):
        if over[0]:
            return number
        job = daemon.until_over(daemon.ask(image, *EDGES, engine="rbd"))
        if job["state"] != "done":
            raise RuntimeError(f"the copy failed: {job}")
        withdraw(daemon, image, EDGES)
    return 0


def _paths(daemon: DaemonProcess, image: str) -> list[str]:
    job = daemon.get("/v1/jobs")["jobs"][0]["id"]
    return [
        "/v1/images",
        "/v1/images?limit=10&name=img-*",
        f"/v1/images/{image}",
        "/v1/stores",
        "/v1/jobs",
        f"/v1/jobs/{job}",
        "/v1/plan",
        "/v1/pauses",
        "/v1/history?limit=50",
        "/v1/health",
        "/readyz",
        "/",
    ]


async def _read(daemon: DaemonProcess, paths: Sequence[str], rate: int, seconds: int) -> Told:
    told = Told()
    connector = TCPConnector(limit=CONNECTIONS)
    async with (
        ClientSession(daemon.url, connector=connector, timeout=ClientTimeout(total=PATIENCE)) as session,
        asyncio.TaskGroup() as group,
    ):
        began = time.monotonic()
        for number, path in enumerate(islice(cycle(paths), rate * seconds)):
            due = began + number / rate
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            group.create_task(_ask(session, path, due, told))
    return told


async def _ask(session: ClientSession, path: str, due: float, told: Told) -> None:
    try:
        async with session.get(path) as answer:
            await answer.read()
            status = answer.status
    except (ClientError, TimeoutError) as error:
        told.errors[f"{path}: {error!r}"] += 1
        return
    if status != 200:
        told.errors[f"{path}: {status}"] += 1
    told.latencies.setdefault(path, []).append(time.monotonic() - due)


def _ticks(daemon: DaemonProcess) -> Ticks:
    assert daemon.process is not None
    times = psutil.Process(daemon.process.pid).cpu_times()
    text = requests.get(f"{daemon.url}/metrics", timeout=PATIENCE).text
    families = text_string_to_metric_families(text)
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    return Ticks(
        number=samples["edgesync_tick_duration_seconds_count"],
        seconds=samples["edgesync_tick_duration_seconds_sum"],
        cpu=times.user + times.system,
    )


def _latencies(told: Told, rate: int, seconds: int) -> Table:
    table = Table(title=f"{rate} requests per second for {seconds} s", title_justify="left", box=None)
    for column in ("", "requests", "p50 ms", "p99 ms", "worst ms", "errors"):
        table.add_column(column, justify="right" if column else "left")
    everything = [latency for found in told.latencies.values() for latency in found]
    for path, found in {**told.latencies, "all": everything}.items():
        hundredths = quantiles(found, n=100)
        errors = sum(n for what, n in told.errors.items() if path == "all" or what.startswith(f"{path}:"))
        shown = (hundredths[49], hundredths[98], max(found))
        table.add_row(path, str(len(found)), *(f"{value * 1e3:.1f}" for value in shown), str(errors))
    return table


def _effect(before: Ticks, alone: Ticks, busy: Ticks, seconds: int) -> Table:
    table = Table(title=f"ticks, {seconds} s each", title_justify="left", box=None)
    for column in ("", "ticks", "ms each", "daemon's CPU"):
        table.add_column(column, justify="right" if column else "left")
    for what, start, end in (("copies alone", before, alone), ("copies and readers", alone, busy)):
        number = end.number - start.number
        each = (end.seconds - start.seconds) / number * 1e3
        table.add_row(what, f"{number:.0f}", f"{each:.1f}", f"{(end.cpu - start.cpu) / seconds:.0%}")
    return table


if __name__ == "__main__":
    main()
