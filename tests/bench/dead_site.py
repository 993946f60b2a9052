"""What a dead site costs the others: edgesync, and the same copies asked for by hand, on a lab of its own.

Four images are to come from central to dcn0 and dcn1, first with both alive, then with dcn0's OSD silent. Told is how
long it takes until all of them are at dcn1. By hand means what the vendor's guide says: one request for each image that
names both stores, as `glance image-import --stores dcn0,dcn1 --import-method copy-image` sends it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.lab import faults, lifecycle
from deploy.lab.faults import How
from tests.lab.daemon import EDGES, MIB, DaemonProcess, daemon_of

NAME = "bench"
IMAGES, SIZE = 4, 64 * MIB
# Seconds after which we stop waiting.
PATIENCE = 120.0


def main() -> None:
    lab = lifecycle.up(NAME, edges=2)
    try:
        with tempfile.TemporaryDirectory() as folder, daemon_of(lab, Path(folder)) as daemon:
            rows = [
                row
                for ask, who in ((_by_edgesync, "edgesync"), (_by_hand, "by hand"))
                for row in _both(daemon, ask, who)
            ]
    finally:
        lifecycle.down(NAME)
    table = Table(
        "", "dcn0 alive", "dcn0 dead", title=f"{IMAGES} images of {SIZE // MIB} MiB: until all are at dcn1", box=None
    )
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _both(
    daemon: DaemonProcess, ask: Callable[[DaemonProcess, list[str]], None], who: str
) -> Iterator[tuple[str, str, str]]:
    """One line: with dcn0 alive, then dead."""
    alive = _measured(daemon, ask)
    faults.break_site(daemon.lab, "dcn0", How.PAUSE_OSD)
    try:
        dead = _measured(daemon, ask)
    finally:
        faults.heal_site(daemon.lab, "dcn0")
    yield who, alive, dead


def _measured(daemon: DaemonProcess, ask: Callable[[DaemonProcess, list[str]], None]) -> str:
    images = [daemon.put(SIZE, golden=False) for _ in range(IMAGES)]
    began = time.monotonic()
    with _running(daemon, ask is _by_edgesync):
        ask(daemon, images)
        while time.monotonic() - began < PATIENCE:
            there = sum("dcn1" in daemon.stores_of(image) for image in images)
            if there == IMAGES:
                return f"{time.monotonic() - began:.1f} s"
            time.sleep(0.2)
    return f"{there} of {IMAGES} after {PATIENCE:.0f} s"


@contextmanager
def _running(daemon: DaemonProcess, wanted: bool) -> Iterator[None]:
    """The daemon at work, its start included in what is measured."""
    if wanted:
        daemon.start()
    try:
        yield
    finally:
        daemon.stop()


def _by_edgesync(daemon: DaemonProcess, images: list[str]) -> None:
    for image in images:
        daemon.ask(image, *EDGES)


def _by_hand(daemon: DaemonProcess, images: list[str]) -> None:
    for image in images:
        body = {"method": {"name": "copy-image"}, "stores": list(EDGES), "all_stores_must_succeed": False}
        daemon.admin.post(f"{daemon.lab.glance_url}/v2/images/{image}/import", json=body)


if __name__ == "__main__":
    main()
