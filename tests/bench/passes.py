"""What a pass over 10,000 images at 100 stores costs: `python -m tests.bench.passes`.

The fake Glance is a process of its own, and so is the daemon that is measured; CPU time is split into ours and the
fake's. The last row is what an operator would use instead: python-glanceclient listing the same images, as
`glance image-list --include-stores` does.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import click
import psutil
from prometheus_client import generate_latest
from rich.console import Console
from rich.table import Table

from edgesync.clients.glance import GlanceClient
from edgesync.config import JournalSettings, Settings
from edgesync.daemon.compose import assemble
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Showcase
from edgesync.journal import open_journal
from tests.fakes.glance import FixedAuth, RealClock

GLANCE = Path(__file__).parents[2] / ".lab/openstack-venv/bin/python"
# What `glance image-list --include-stores` does, without drawing the table.
LISTING = """
import sys
from glanceclient import Client
images = Client("2", endpoint=sys.argv[1], token="token").images.list(page_size=1000)
print(sum(len(image["stores"]) > 0 for image in images))
"""
POLICIES = (Policy(name="everything", match=Match(visibility="public"), stores=None),)
INCREMENTAL = 20


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured pass."""

    what: str
    wall: float
    # Seconds of CPU: ours, and the fake's.
    ours: float
    fake: float
    # Peak resident memory of our process so far, bytes.
    memory: int


@click.command()
@click.option("--images", default=10_000, show_default=True)
@click.option("--stores", default=100, show_default=True)
@click.option("--measure", hidden=True, help="Be the measured process: URL and pid of the fake.", nargs=2)
def main(images: int, stores: int, measure: tuple[str, str] | None) -> None:
    """Measure a full pass and an incremental pass, side by side with the glance client."""
    if measure:
        with tempfile.TemporaryDirectory() as folder:
            rows = asyncio.run(_measure(measure[0], psutil.Process(int(measure[1])), Path(folder)))
        click.echo(json.dumps([asdict(row) for row in rows]))
        return
    with _fake(images, stores) as (url, pid):
        command = [sys.executable, "-m", "tests.bench.passes", "--measure", url, str(pid)]
        measured = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        rows = [Row(**row) for row in json.loads(measured.stdout)]
        if GLANCE.exists():
            rows.append(_client(url, psutil.Process(pid)))
    _print(rows, images, stores)


async def _measure(url: str, fake: psutil.Process, folder: Path) -> list[Row]:
    """Turns of a whole daemon, its journal included."""
    settings = Settings(
        hub=StoreId("central"),
        policies=POLICIES,
        journal=JournalSettings(url=f"sqlite+aiosqlite:///{folder}/journal.db"),
    )
    clock = RealClock()
    showcase = Showcase(health=Health(started_at=clock.now()))
    metrics = Metrics(showcase)
    journal = await open_journal(settings.journal.url)
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(journal.close)
        glance = await stack.enter_async_context(GlanceClient(FixedAuth(url), on_request=metrics.request))
        daemon = assemble(
            settings,
            glance=glance,
            clusters={},
            blocks={},
            journal=journal,
            clock=clock,
            showcase=showcase,
            metrics=metrics,
        )
        stack.push_async_callback(daemon.sites.close)
        meter = _Meter(fake)
        await daemon.cycle.tick()
        rows.append(meter.row("first full pass"))
        clock.advance(timedelta(days=2).total_seconds())  # a full pass is due
        await daemon.cycle.tick()
        rows.append(meter.row("full pass, nothing changed"))
        for _ in range(INCREMENTAL):
            await daemon.cycle.tick()
        rows.append(meter.row("incremental pass, nothing changed", INCREMENTAL))
        generate_latest(metrics.registry)
        rows.append(meter.row("one scrape of the metrics"))
    return rows


class _Meter:
    """Wall and CPU time since the row before."""

    def __init__(self, fake: psutil.Process) -> None:
        self._fake = fake
        self._mark = self._now()

    def row(self, what: str, times: int = 1) -> Row:
        now = self._now()
        wall, ours, fake = ((after - before) / times for before, after in zip(self._mark, now, strict=True))
        self._mark = self._now()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Row(what=what, wall=wall, ours=ours, fake=fake, memory=memory)

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), _cpu(self._fake)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _client(url: str, fake: psutil.Process) -> Row:
    """The same list by the operator's own tool."""
    command = [str(GLANCE), "-c", LISTING, url]
    cpu, began = _cpu(fake), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit("python-glanceclient failed")
    return Row(
        what="python-glanceclient lists the same images",
        wall=time.perf_counter() - began,
        ours=usage.ru_utime + usage.ru_stime,
        fake=_cpu(fake) - cpu,
        memory=usage.ru_maxrss * 1024,
    )


@contextmanager
def _fake(images: int, stores: int) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "tests.fakes.glance", "--images", str(images), "--stores", str(stores)]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _print(rows: list[Row], images: int, stores: int) -> None:
    table = Table(title=f"{images} images x {stores} stores", title_justify="left", box=None)
    for column in ("", "wall ms", "CPU ms, ours", "ours, ms per image", "CPU ms, the fake's", "peak MiB"):
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        table.add_row(
            row.what,
            f"{row.wall * 1e3:.1f}",
            f"{row.ours * 1e3:.1f}",
            f"{row.ours * 1e3 / images:.4f}",
            f"{row.fake * 1e3:.1f}",
            f"{row.memory / 2**20:.0f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
