"""What copies to several sites take: edgesync's rbd engine, copy-image, the `rbd` command, and the OSDs' limit.

All in one run on a lab of its own: 1 GiB half of zeros, and a real Debian, to 1, 2 and 4 sites; the second version of
that Debian, of which little differs; and a copy over lines of 200 Mbit/s. Told are seconds, and bytes on each site's
wire as central's interface counts them, beside the blocks of 64 KiB that are not zeros.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from deploy.lab import lifecycle, links, tamper
from deploy.lab.errors import LabError
from deploy.lab.images import debian_v1, debian_v2
from deploy.lab.layout import IMAGES, Lab, Network
from tests.lab.daemon import MIB, DaemonProcess, daemon_of

NAME = "bench"
BLOCK = 64 * 1024
SITES = ("dcn0", "dcn1", "dcn2", "dcn3")
# Bits per second.
LINE = 200_000_000
# Seconds of writing by which the OSDs' limit is found.
LIMIT = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What one way took."""

    seconds: float
    # Bytes per site.
    wire: int


def main() -> None:
    try:
        lab = lifecycle.up(NAME, edges=len(SITES), network=Network.NAMESPACES)
    except LabError as obstacle:
        sys.exit(f"without lines between the sites there are no bytes on a wire to count: {obstacle}")
    console = Console()
    try:
        with tempfile.TemporaryDirectory() as folder, daemon_of(lab, Path(folder), rbd=True) as daemon:
            daemon.start()
            half = _half_zeros()
            console.print(_table(daemon, half, "1 GiB, half of it zeros"))
            console.print(_table(daemon, debian_v1(), "Debian, 1 GiB"))
            console.print(_layered(daemon))
            console.print(_limited(daemon, half))
            daemon.stop()
            daemon.forget_images()
    finally:
        lifecycle.down(NAME)


def _table(daemon: DaemonProcess, file: Path, title: str) -> Table:
    solid = _solid(file)
    table = Table(
        "sites", "way", "seconds", "edgesync is", "wire per site", "of non-zero blocks", title=title, box=None
    )
    for number in (1, 2, 4):
        sites = SITES[:number]
        ours = _by_edgesync(daemon, file, sites)
        table.add_row(str(number), "edgesync", f"{ours.seconds:.1f}", "", *_wire(ours, solid))
        for name, way in WAYS.items():
            theirs = way(daemon, file, sites)
            table.add_row("", name, f"{theirs.seconds:.1f}", _ratio(ours, theirs), *_wire(theirs, solid))
        seconds = solid / _limit(daemon.lab, sites)
        share = f"at {seconds / ours.seconds:.0%} of it"
        table.add_row("", "rados bench, the same bytes", f"{seconds:.1f}", share, "", "")
    usage = _usage(daemon)
    table.caption = f"the daemon since its start: {usage}"
    return table


def _by_edgesync(daemon: DaemonProcess, file: Path, sites: Sequence[str], *, name: str = "bench") -> Taken:
    image = daemon.put_file(file, name=f"{name}-{time.monotonic_ns()}", golden=False)
    daemon.until_at(image, "central")
    taken = _measured(
        daemon.lab, sites, lambda: daemon.until_over(daemon.ask(image, *sites, engine="rbd"))["state"] == "done"
    )
    _forget(daemon, image)
    return taken


def _by_copy_image(daemon: DaemonProcess, file: Path, sites: Sequence[str]) -> Taken:
    image = daemon.put_file(file, name="by-glance", golden=False)
    body = {"method": {"name": "copy-image"}, "stores": list(sites), "all_stores_must_succeed": False}

    def copied() -> bool:
        daemon.admin.post(f"{daemon.lab.glance_url}/v2/images/{image}/import", json=body)
        daemon.until(lambda: set(sites) <= set(daemon.stores_of(image)), "the copies are there", seconds=900)
        return True

    taken = _measured(daemon.lab, sites, copied)
    _forget(daemon, image)
    return taken


def _by_export(daemon: DaemonProcess, file: Path, sites: Sequence[str]) -> Taken:
    """`rbd export - | rbd import -`, for all sites at once."""
    return _by_command(daemon, file, sites, "export {source} -", "import --object-size 8M - {target}")


def _by_diff(daemon: DaemonProcess, file: Path, sites: Sequence[str]) -> Taken:
    """`rbd export-diff - | rbd import-diff -` into an empty image, for all sites at once."""
    return _by_command(daemon, file, sites, "export-diff {source} -", "import-diff - {target}", create=True)


WAYS: dict[str, Callable[[DaemonProcess, Path, Sequence[str]], Taken]] = {
    "copy-image": _by_copy_image,
    "rbd export | import": _by_export,
    "rbd export-diff | import-diff": _by_diff,
}


def _by_command(
    daemon: DaemonProcess, file: Path, sites: Sequence[str], read: str, write: str, *, create: bool = False
) -> Taken:
    lab = daemon.lab
    image = daemon.put_file(file, name="by-command", golden=False)
    source, target = f"images/{image}@snap", "images/by-command"
    if create:
        for site in sites:
            subprocess.run(
                [*_rbd(lab, site), "create", target, "--size", f"{file.stat().st_size}B", "--object-size", "8M"],
                check=True,
            )

    def copied() -> bool:
        readers, writers = [], []
        for site in sites:
            argv = [*_rbd(lab, "central"), *read.format(source=source).split(), "--no-progress"]
            reader = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            argv = [*_rbd(lab, site), *write.format(target=target).split(), "--no-progress"]
            writers.append(subprocess.Popen(argv, stdin=reader.stdout, stderr=subprocess.DEVNULL))
            readers.append(reader)
        return all(process.wait() == 0 for process in (*writers, *readers))

    taken = _measured(lab, sites, copied)
    for site in sites:
        tamper.remove_image(lab, site, "by-command")
    _forget(daemon, image)
    return taken


def _rbd(lab: Lab, site: str) -> list[str]:
    folder = lab.site(site).folder
    return ["rbd", "--conf", f"{folder}/ceph.conf", "--id", "admin", "--keyring", f"{folder}/client.admin.keyring"]


def _limit(lab: Lab, sites: Sequence[str]) -> float:
    """Bytes per second that each of the sites' OSDs takes while all of them write at once: the slowest counts."""
    running = []
    for site in sites:
        folder = lab.site(site).folder
        argv = [
            "rados",
            "--conf",
            f"{folder}/ceph.conf",
            "--id",
            "admin",
            "--keyring",
            f"{folder}/client.admin.keyring",
        ]
        argv += ["--pool", "images", "bench", str(LIMIT), "write", "-b", str(4 * MIB)]
        running.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    found = []
    for process in running:
        told, _ = process.communicate()
        found += [
            float(line.split(":")[1]) * MIB for line in told.splitlines() if line.startswith("Bandwidth (MB/sec)")
        ]
    return min(found)


def _layered(daemon: DaemonProcess) -> Table:
    """The second version of an image whose first version is at the sites."""
    sites = SITES[:2]
    changed = _solid(debian_v2(), without=debian_v1())
    base = daemon.put_file(debian_v1(), name="debian-12-1", golden=False)
    daemon.until_at(base, "central")
    daemon.until_over(daemon.ask(base, *sites, engine="rbd"))
    ours = _by_edgesync(daemon, debian_v2(), sites, name="debian-12")
    theirs = _by_copy_image(daemon, debian_v2(), sites)
    _forget(daemon, base)
    title = f"Debian, second version: {changed / MIB:.1f} MiB in blocks of 64 KiB differ; 2 sites"
    table = Table("way", "seconds", "edgesync is", "wire per site", "of changed blocks", title=title, box=None)
    table.add_row("edgesync, layered", f"{ours.seconds:.1f}", "", *_wire(ours, changed))
    table.add_row("copy-image", f"{theirs.seconds:.1f}", _ratio(ours, theirs), *_wire(theirs, changed))
    return table


def _limited(daemon: DaemonProcess, file: Path) -> Table:
    """How much of a thin line is used while copying."""
    sites = SITES[:2]
    table = Table("sites", "seconds", "of each line used", title="over lines of 200 Mbit/s", box=None)
    for site in sites:
        links.limit(daemon.lab, daemon.lab.site(site), LINE)
    try:
        ours = _by_edgesync(daemon, file, sites)
    finally:
        for site in sites:
            links.limit(daemon.lab, daemon.lab.site(site), 0)
    table.add_row("2", f"{ours.seconds:.1f}", f"{ours.wire * 8 / ours.seconds / LINE:.0%}")
    return table


def _measured(lab: Lab, sites: Sequence[str], act: Callable[[], bool]) -> Taken:
    before = [links.wire(lab, site).sent for site in sites]
    began = time.monotonic()
    if not act():
        raise RuntimeError("the copy failed")
    seconds = time.monotonic() - began
    sent = [links.wire(lab, site).sent - start for site, start in zip(sites, before, strict=True)]
    return Taken(seconds=seconds, wire=max(sent))


def _forget(daemon: DaemonProcess, image: str) -> None:
    daemon.admin.delete(f"{daemon.lab.glance_url}/v2/images/{image}")
    daemon.images.remove(image)


def _wire(taken: Taken, blocks: int) -> tuple[str, str]:
    return f"{taken.wire / MIB:.0f} MiB", f"{taken.wire / blocks:.2f}x"


def _ratio(ours: Taken, theirs: Taken) -> str:
    ratio = theirs.seconds / ours.seconds
    return f"{ratio:.1f}x as fast" if ratio >= 1 else f"{1 / ratio:.1f}x as slow"


def _usage(daemon: DaemonProcess) -> str:
    assert daemon.process is not None
    process = psutil.Process(daemon.process.pid)
    times = process.cpu_times()
    peak = next(
        line.split()[1] for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line
    )
    return f"{times.user + times.system:.0f} CPU seconds, {int(peak) / 1024:.0f} MiB at most"


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


if __name__ == "__main__":
    main()
