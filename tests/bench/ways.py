"""The ways in which an image that is at central comes to several sites, and what each takes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import requests

from deploy.lab import glance, links, readback, tamper
from deploy.lab.layout import Lab
from tests.bench.usage import KIB, Meter, Usage, ended, family
from tests.lab.daemon import MIB, DaemonProcess

# Seconds for one copy by whoever, and for the OSDs to be done with what was deleted before.
PATIENCE, SETTLE = 900.0, 2.0
# What `rados bench` writes at once, in bytes, and how many of it at a time: its own default.
WRITE, AT_ONCE = 4 * MIB, 16
# Seconds between two looks at a line, and bytes in between that are no mere talk.
LOOK, DATA = 0.1, 256 * KIB
# The name that the `rbd` command gives its copies.
COMMANDS = "by-command"


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What one way took."""

    seconds: float
    # Bytes to the site that got most.
    wire: int
    # Of whoever moves the data, not of the OSDs.
    usage: Usage


# Daemon, image, sites.
Way = Callable[[DaemonProcess, str, Sequence[str]], Taken]


def _sent(wire: links.Wire) -> int:
    return wire.sent


def by_edgesync(daemon: DaemonProcess, image: str, sites: Sequence[str]) -> Taken:
    assert daemon.process is not None
    meter = Meter([psutil.Process(daemon.process.pid)])

    def copied() -> Usage:
        job = daemon.until_over(daemon.ask(image, *sites, engine="rbd"))
        if job["state"] != "done":
            raise RuntimeError(f"the copy failed: {job}")
        return meter.read()

    return measured(daemon.lab, sites, copied)


def by_copy_image(daemon: DaemonProcess, image: str, sites: Sequence[str]) -> Taken:
    process = glance.running(daemon.lab)
    assert process is not None
    meter = Meter(family(process.pid))
    body = {"method": {"name": "copy-image"}, "stores": list(sites), "all_stores_must_succeed": False}

    def copied() -> Usage:
        daemon.admin.post(f"{daemon.lab.glance_url}/v2/images/{image}/import", json=body)
        daemon.until(lambda: set(sites) <= set(daemon.stores_of(image)), "the copies are there", seconds=PATIENCE)
        return meter.read()

    taken = measured(daemon.lab, sites, copied)
    daemon.until_idle(image)
    return taken


def by_export(daemon: DaemonProcess, image: str, sites: Sequence[str]) -> Taken:
    """`rbd export - | rbd import -`, for all sites at once."""
    return _piped(daemon.lab, sites, f"export images/{image}@snap -", f"import --object-size 8M - images/{COMMANDS}")


def by_diff(daemon: DaemonProcess, image: str, sites: Sequence[str]) -> Taken:
    """`rbd export-diff - | rbd import-diff -` into an empty image, for all sites at once."""
    size = daemon.show(image)["size"]
    for site in sites:
        create = ["create", f"images/{COMMANDS}", "--size", f"{size}B", "--object-size", "8M"]
        subprocess.run(_client("rbd", daemon.lab, site, *create), check=True)
    return _piped(daemon.lab, sites, f"export-diff images/{image}@snap -", f"import-diff - images/{COMMANDS}")


OTHERS: Mapping[str, Way] = {
    "copy-image": by_copy_image,
    "rbd export | import": by_export,
    "rbd export-diff | import-diff": by_diff,
}


def limit(lab: Lab, sites: Sequence[str], size: int) -> float:
    """Seconds that `rados bench` takes for writing so many bytes to each site, to all of them at once."""
    arguments = ["--pool", "images", "bench", str(int(PATIENCE)), "write", "-b", str(WRITE), "-t", str(AT_ONCE)]
    arguments += ["--max-objects", str(-(-size // WRITE))]
    time.sleep(SETTLE)
    running = [
        subprocess.Popen(_client("rados", lab, site, *arguments), stdout=subprocess.PIPE, text=True) for site in sites
    ]
    told = [process.communicate()[0] for process in running]
    # Not what it takes to clean up.
    return max(float(line.split(":")[1]) for text in told for line in text.splitlines() if "Total time run:" in line)


def verified(daemon: DaemonProcess, image: str, sites: Sequence[str]) -> Taken:
    """`edgesync verify`; the wire is that of both ways."""
    assert daemon.process is not None
    meter = Meter([psutil.Process(daemon.process.pid)])

    def compared() -> Usage:
        body = {"image": image, "stores": list(sites)}
        answer = requests.post(f"{daemon.url}/v1/verifications", json=body, headers=daemon.credential, timeout=60)
        answer.raise_for_status()
        job = daemon.until_over(answer.json()["id"])
        if any(row["result"] != "sound" for row in job["stores"]):
            raise RuntimeError(f"the verification failed: {job}")
        return meter.read()

    return measured(daemon.lab, sites, compared, count=sum)


def read_back(daemon: DaemonProcess, image: str, sites: Sequence[str]) -> Taken:
    """The whole copy over the line and hashed, for all sites at once; the wire is that of both ways."""

    def hashed() -> Usage:
        running = []
        for site in sites:
            argv = _client("rbd", daemon.lab, site, "export", f"images/{image}@snap", "-", "--no-progress")
            reader = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            hasher = subprocess.Popen(["sha512sum"], stdin=reader.stdout, stdout=subprocess.DEVNULL)
            assert reader.stdout is not None
            reader.stdout.close()
            running += [reader, hasher]
        return ended(running)

    return measured(daemon.lab, sites, hashed, count=sum)


def measured(
    lab: Lab, sites: Sequence[str], act: Callable[[], Usage], *, count: Callable[[links.Wire], int] = _sent
) -> Taken:
    """`count`: what of a wire's two directions counts."""
    time.sleep(SETTLE)
    before = [count(links.wire(lab, site)) for site in sites]
    began = time.monotonic()
    usage = act()
    seconds = time.monotonic() - began
    seen = [count(links.wire(lab, site)) - start for site, start in zip(sites, before, strict=True)]
    return Taken(seconds=seconds, wire=max(seen), usage=usage)


@dataclass(kw_only=True, slots=True)
class Flow:
    """When the data of a copy went over a line."""

    # By time.monotonic.
    first: float = 0.0
    last: float = 0.0

    @property
    def seconds(self) -> float:
        return self.last - self.first


@contextmanager
def flowing(lab: Lab, site: str) -> Iterator[Flow]:
    """Look again and again for data on a site's line, meanwhile."""
    flow, over = Flow(), threading.Event()

    def look() -> None:
        before = links.wire(lab, site).sent
        while not over.wait(LOOK):
            now, sent = time.monotonic(), links.wire(lab, site).sent
            if sent - before > DATA:
                flow.first, flow.last = flow.first or now - LOOK, now
            before = sent

    with ThreadPoolExecutor(1) as thread:
        looking = thread.submit(look)
        try:
            yield flow
        finally:
            over.set()
            looking.result()


def withdraw(daemon: DaemonProcess, image: str, sites: Sequence[str]) -> None:
    """The image is at central only, as before: whoever had copied it."""
    at = daemon.stores_of(image)
    for site in sites:
        if site in at:
            daemon.admin.delete(f"{daemon.lab.glance_url}/v2/stores/{site}/{image}")
        if COMMANDS in readback.rbd_images(daemon.lab, site):
            tamper.remove_image(daemon.lab, site, COMMANDS)


def _piped(lab: Lab, sites: Sequence[str], read: str, write: str) -> Taken:
    def copied() -> Usage:
        running = []
        for site in sites:
            argv = _client("rbd", lab, "central", *read.split(), "--no-progress")
            reader = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            argv = _client("rbd", lab, site, *write.split(), "--no-progress")
            writer = subprocess.Popen(argv, stdin=reader.stdout, stderr=subprocess.DEVNULL)
            # Else it would not end when the writer does.
            assert reader.stdout is not None
            reader.stdout.close()
            running += [reader, writer]
        return ended(running)

    return measured(lab, sites, copied)


def _client(program: str, lab: Lab, site: str, *arguments: str) -> list[str]:
    folder = lab.site(site).folder
    who = ["--conf", f"{folder}/ceph.conf", "--id", "admin", "--keyring", f"{folder}/client.admin.keyring"]
    return [program, *who, *arguments]
