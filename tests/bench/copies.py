"""What copies to several sites take: edgesync's rbd engine, copy-image, the `rbd` command, and the OSDs' limit.

All in one run on a lab of its own: 1 GiB half of zeros, and a real Debian, to 1, 2 and 4 sites; the second version of
that Debian, of which little differs; a copy over lines of 200 Mbit/s; and the verification of copies. Told are
seconds, bytes on each site's wire as central's interface counts them, beside the blocks of 64 KiB that are not zeros,
and what CPU and memory the moving of the data takes. `python -m tests.bench.copies [PART ...]`
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from deploy.lab import lifecycle, links
from deploy.lab.errors import LabError
from deploy.lab.images import debian_v1, debian_v2
from deploy.lab.layout import IMAGES, Network
from tests.bench.ways import (
    OTHERS,
    Taken,
    by_copy_image,
    by_edgesync,
    flowing,
    limit,
    read_back,
    verified,
    withdraw,
)
from tests.lab.daemon import MIB, DaemonProcess, daemon_of

NAME = "bench"
BLOCK = 64 * 1024
SITES = ("dcn0", "dcn1", "dcn2", "dcn3")
# Bits per second.
LINE = 200_000_000
# What is told of each way; see `_row`.
MEASURES = ("seconds", "edgesync is", "wire per site", "of these blocks", "CPU seconds", "memory at most")


@click.command()
@click.argument("parts", nargs=-1)
def main(parts: tuple[str, ...]) -> None:
    """Measure all PARTS, or some: half-zeros, debian, layered, limited, verified."""
    if unknown := set(parts) - PARTS.keys():
        raise click.BadParameter(f"no such part: {', '.join(sorted(unknown))}")
    try:
        lab = lifecycle.up(NAME, edges=len(SITES), network=Network.NAMESPACES)
    except LabError as obstacle:
        sys.exit(f"without lines between the sites there are no bytes on a wire to count: {obstacle}")
    console = Console(width=120)
    try:
        with tempfile.TemporaryDirectory() as folder, daemon_of(lab, Path(folder), rbd=True, quick=False) as daemon:
            # As it is delivered, but that new images are seen soon.
            daemon.configure(polling={"idle": "1s"})
            daemon.start()
            for part in parts or PARTS:
                console.print(PARTS[part](daemon))
            daemon.stop()
            daemon.forget_images()
    finally:
        lifecycle.down(NAME)


def _table(daemon: DaemonProcess, file: Path, title: str) -> Table:
    solid = _solid(file)
    title = f"{title}: {solid / MIB:.0f} MiB in blocks of 64 KiB that are not zeros"
    table = Table("sites", "way", *MEASURES, title=title, box=None)
    for number in (1, 2, 4):
        sites = SITES[:number]
        with _image(daemon, file, f"bench-{number}") as image:
            ours = by_edgesync(daemon, image, sites)
            table.add_row(str(number), "edgesync", *_row(ours, ours, solid))
            withdraw(daemon, image, sites)
            for name, way in OTHERS.items():
                table.add_row("", name, *_row(way(daemon, image, sites), ours, solid))
                withdraw(daemon, image, sites)
        least = limit(daemon.lab, sites, solid)
        table.add_row("", "rados bench, the same bytes", f"{least:.1f}", f"at {least / ours.seconds:.0%} of it")
    return table


def _layered(daemon: DaemonProcess) -> Table:
    """The second version of an image whose first version is at the sites."""
    sites = SITES[:2]
    changed = _solid(debian_v2(), without=debian_v1())
    with _image(daemon, debian_v1(), "debian-12-1") as base:
        daemon.until_over(daemon.ask(base, *sites, engine="rbd"))
        with _image(daemon, debian_v2(), "debian-12-2") as image:
            ours = by_edgesync(daemon, image, sites)
            withdraw(daemon, image, sites)
            theirs = by_copy_image(daemon, image, sites)
    title = f"Debian, second version: {changed / MIB:.1f} MiB in blocks of 64 KiB differ; 2 sites"
    table = Table("way", *MEASURES, title=title, box=None)
    table.add_row("edgesync, layered", *_row(ours, ours, changed))
    table.add_row("copy-image", *_row(theirs, ours, changed))
    return table


def _limited(daemon: DaemonProcess) -> Table:
    """How much of a thin line is used: while data flow, and from the order to the copies' being registered."""
    sites = SITES[:2]
    columns = ("sites", "seconds", "of each line used", "of that with data", "of each line used then")
    table = Table(*columns, title="1 GiB, half of it zeros, over lines of 200 Mbit/s", box=None)
    for site in sites:
        links.limit(daemon.lab, daemon.lab.site(site), LINE)
    try:
        with _image(daemon, _half_zeros(), "bench-limited") as image, flowing(daemon.lab, sites[0]) as flow:
            ours = by_edgesync(daemon, image, sites)
    finally:
        for site in sites:
            links.limit(daemon.lab, daemon.lab.site(site), 0)
    used, then = (f"{ours.wire * 8 / seconds / LINE:.0%}" for seconds in (ours.seconds, flow.seconds))
    table.add_row("2", f"{ours.seconds:.1f}", used, f"{flow.seconds:.1f}", then)
    return table


def _verified(daemon: DaemonProcess) -> Table:
    """Copies compared with their image, whose digests are known since they were made: nothing is read at the hub."""
    title = "verification of 1 GiB, half of it zeros"
    table = Table("sites", "way", "seconds", "edgesync is", "wire per site, both ways", title=title, box=None)
    with _image(daemon, _half_zeros(), "verified") as image:
        daemon.until_over(daemon.ask(image, *SITES, engine="rbd"))
        for number in (1, 2, 4):
            ours = verified(daemon, image, SITES[:number])
            table.add_row(str(number), "edgesync verify", f"{ours.seconds:.1f}", "", f"{ours.wire / MIB:.2f} MiB")
            theirs = read_back(daemon, image, SITES[:number])
            wire = f"{theirs.wire / MIB:.0f} MiB"
            table.add_row("", "rbd export | sha512sum", f"{theirs.seconds:.1f}", _ratio(ours, theirs), wire)
    return table


@contextmanager
def _image(daemon: DaemonProcess, file: Path, name: str) -> Iterator[str]:
    """An image at central of which edgesync knows nothing yet; with all its copies it goes in the end."""
    image = daemon.put_file(file, name=f"{name}-{time.monotonic_ns()}", golden=False)
    daemon.until_at(image, "central")
    yield image
    daemon.admin.delete(f"{daemon.lab.glance_url}/v2/images/{image}")
    daemon.images.remove(image)


def _row(taken: Taken, ours: Taken, blocks: int) -> tuple[str, ...]:
    return (
        f"{taken.seconds:.1f}",
        "" if taken is ours else _ratio(ours, taken),
        f"{taken.wire / MIB:.1f} MiB",
        f"{taken.wire / blocks:.2f}x",
        f"{taken.usage.cpu:.1f}",
        f"{taken.usage.peak / MIB:.0f} MiB",
    )


def _ratio(ours: Taken, theirs: Taken) -> str:
    ratio = theirs.seconds / ours.seconds
    return f"{ratio:.1f}x as fast" if ratio >= 1 else f"{1 / ratio:.1f}x as slow"


def _solid(file: Path, *, without: Path | None = None) -> int:
    """Bytes in blocks of 64 KiB that are not zeros, or not as in another file."""
    zeros = bytes(BLOCK)
    total = 0
    with file.open("rb") as new, (without or Path("/dev/zero")).open("rb") as old:
        while block := new.read(BLOCK):
            same = old.read(len(block)) if without is not None else zeros[: len(block)]
            total += 0 if block == same else len(block)
    return total


def _half_zeros() -> Path:
    file = IMAGES / "half-zeros-1g.raw"
    if not file.exists():
        with (
            tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as made,
            Path("/dev/urandom").open("rb") as noise,
        ):
            for _ in range(128):
                made.write(noise.read(4 * MIB) + bytes(4 * MIB))
        Path(made.name).replace(file)
    return file


PARTS: Mapping[str, Callable[[DaemonProcess], Table]] = {
    "half-zeros": lambda daemon: _table(daemon, _half_zeros(), "1 GiB, half of it zeros"),
    "debian": lambda daemon: _table(daemon, debian_v1(), "Debian, 1 GiB"),
    "layered": _layered,
    "limited": _limited,
    "verified": _verified,
}


if __name__ == "__main__":
    main()
