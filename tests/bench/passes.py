"""What a pass over 10,000 images at 100 stores costs: `python -m tests.bench.passes`.

The fake Glance is a process of its own, and so is what is measured; CPU time is split into ours and the fake's. The
last row is what an operator would use instead: the `glance` client listing the same images.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import click
import psutil
from rich.console import Console
from rich.table import Table

from edgesync.clients.glance import GlanceClient
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.expose.matrix import count_copies
from edgesync.expose.picture import Picture
from edgesync.observe.observer import Observer
from edgesync.plan.budget import Budget
from edgesync.plan.planner import Situation, make_plan
from edgesync.plan.wants import Wants, update_wants
from tests.fakes.glance import FixedAuth, RealClock

GLANCE = Path(__file__).parents[2] / ".lab/openstack-venv/bin/glance"
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
        rows = asyncio.run(_measure(measure[0], psutil.Process(int(measure[1]))))
        click.echo(json.dumps([asdict(row) for row in rows]))
        return
    with _fake(images, stores) as (url, pid):
        command = [sys.executable, "-m", "tests.bench.passes", "--measure", url, str(pid)]
        measured = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        rows = [Row(**row) for row in json.loads(measured.stdout)]
        if GLANCE.exists():
            rows.append(_client(url, psutil.Process(pid), images))
    _print(rows, images, stores)


async def _measure(url: str, fake: psutil.Process) -> list[Row]:
    clock = RealClock()
    rows: list[Row] = []
    wants = Wants()
    async with GlanceClient(FixedAuth(url)) as glance:
        observer = Observer(glance, clock, hub=StoreId("central"), full_every=timedelta(days=1))

        async def turn() -> Picture:
            nonlocal wants
            world = (await observer.look()).world
            wants = update_wants(wants, world, POLICIES)
            situation = Situation(
                world=world, wants=wants, ledger=Ledger(), budget=Budget(imports=4, per_store=2), now=clock.now()
            )
            return Picture(
                world=world,
                wants=wants,
                ledger=situation.ledger,
                plan=make_plan(situation),
                budget=situation.budget,
                progress={},
            )

        meter = _Meter(fake)
        picture = await turn()
        rows.append(meter.row("first full pass"))
        clock.advance(timedelta(days=2).total_seconds())  # a full pass is due
        picture = await turn()
        rows.append(meter.row("full pass, nothing changed"))
        for _ in range(INCREMENTAL):
            picture = await turn()
        rows.append(meter.row("incremental pass, nothing changed", INCREMENTAL))
        count_copies(picture)
        rows.append(meter.row("counting all copies for the metrics"))
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


def _client(url: str, fake: psutil.Process, images: int) -> Row:
    """The same list by the operator's own tool."""
    limits = ["--page-size", "1000", "--limit", str(images)]
    command = [
        str(GLANCE),
        "--os-auth-token",
        "token",
        "--os-image-url",
        url,
        "image-list",
        "--include-stores",
        *limits,
    ]
    before, cpu, began = resource.getrusage(resource.RUSAGE_CHILDREN), _cpu(fake), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Row(
        what="glance image-list --include-stores",
        wall=wall,
        ours=ours,
        fake=_cpu(fake) - cpu,
        memory=after.ru_maxrss * 1024,
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
