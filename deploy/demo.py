"""`make demo`: a real three-site cloud on this machine, and edgesync filling its edges.

One site is dead at first and holds up nobody; then copies are damaged behind edgesync's back and mended. What is shown
at the end is read from Ceph itself, not from edgesync or Glance.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console
from rich.table import Table

from deploy.lab import api, faults, images, lifecycle, tamper
from deploy.lab.errors import LabError
from deploy.lab.faults import How
from deploy.lab.layout import HUB, Lab
from deploy.lab.processes import environment
from deploy.lab.readback import Readback, readback
from deploy.lab.upload import upload
from deploy.lab.wait import say
from edgesync.cli.progress import Transfer, meter

NAME = "demo"
# The checkout that this is part of, wherever else edgesync is installed.
EDGESYNC = (sys.executable, "-m", "edgesync")
# Seconds: to answer one request, to make all copies, to find and mend damage, to stop.
ANSWER, COPIES, MENDING, STOP = 10, 900, 180, 30
# The site that is dead at first, and the one where copies are damaged.
DEAD, DAMAGED = "dcn0", "dcn1"
PRIVATE_SIZE = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One uploaded image, and where it has to be in the end."""

    id: str
    name: str
    sites: frozenset[str]


@click.command()
@click.option("--keep", is_flag=True, help="Leave the lab and the daemon running, and say how to play with them.")
def main(keep: bool) -> None:
    """Show edgesync at work in a real cloud on this machine."""
    try:
        good = demonstrate(keep=keep)
    except LabError as error:
        raise SystemExit(f"demo: {error}") from error
    raise SystemExit(0 if good else 1)


def demonstrate(*, keep: bool) -> bool:
    """Everything; True when every copy is right."""
    kept = False
    try:
        lifecycle.down(NAME)
        lab = lifecycle.up(NAME)
        wanted = _upload(lab)
        say(f"{DEAD} dies: its OSD answers nothing any more")
        faults.break_site(lab, DEAD, How.PAUSE_OSD)
        say(f"starting the daemon: edgesync --config {_short(lab.edgesync_file)} run")
        with _daemon(lab) as daemon:
            _one_site_is_dead(lab, wanted)
            _copies_are_damaged(lab, wanted)
            say("what edgesync says in the end: edgesync status --all; edgesync history --failed")
            edgesync(lab, "status", "--all")
            edgesync(lab, "history", "--failed")
            good = _prove(lab, wanted)
            if keep:
                kept = True
                daemon.keep = True
                _invite(lab)
            return good
    finally:
        if not kept:
            lifecycle.down(NAME)


def _upload(lab: Lab) -> list[Expected]:
    everywhere = frozenset(site.name for site in lab.sites)
    v1, v2 = images.debian_v1(), images.debian_v2()
    private = images.random_image(PRIVATE_SIZE, seed=7)
    say("uploading three images to central through Glance: two public and tagged golden, one private")
    golden = [
        Expected(id=upload(lab, file, name=file.stem, tags=["golden"]), name=file.stem, sites=everywhere)
        for file in (v1, v2)
    ]
    secret = upload(lab, private, name="team-secret", visibility="private", user="member")
    return [*golden, Expected(id=secret, name="team-secret", sites=frozenset({HUB}))]


@dataclass
class _Daemon:
    process: subprocess.Popen[bytes]
    keep: bool = False


@contextmanager
def _daemon(lab: Lab) -> Iterator[_Daemon]:
    log = lab.folder / "edgesync.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*EDGESYNC, "--config", str(lab.edgesync_file), "run"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            # Marked as the lab's, so that `lab-down` ends it, too.
            env=environment(lab.folder),
        )
    daemon = _Daemon(process)
    try:
        _wait_ready(lab, process, log)
        yield daemon
    finally:
        if not daemon.keep:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP)


def _wait_ready(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STOP
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if requests.get(f"{_api(lab)}/readyz", timeout=ANSWER).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    raise LabError(f"the daemon did not become ready:\n{log.read_text()[-3000:]}")


def _one_site_is_dead(lab: Lab, wanted: list[Expected]) -> None:
    """The others get their copies meanwhile; healed, it catches up without a command."""
    _show_progress(lab, wanted, lambda site: site != DEAD)
    say(f"everybody but {DEAD} has them: edgesync status")
    edgesync(lab, "status")
    say(f"{DEAD} comes back, and nobody tells edgesync")
    faults.heal_site(lab, DEAD)
    _show_progress(lab, wanted, lambda site: site == DEAD)


def _copies_are_damaged(lab: Lab, wanted: list[Expected]) -> None:
    """A snapshot is protected again, a lost copy made again, without a command."""
    unprotected, lost = (image for image in wanted if DAMAGED in image.sites)
    say(f"behind everybody's back at {DAMAGED}: {unprotected.name} loses its protection, {lost.name} its RBD image")
    tamper.unprotect_snap(lab, DAMAGED, unprotected.id)
    tamper.remove_image(lab, DAMAGED, lost.id)
    deadline = time.monotonic() + MENDING
    while time.monotonic() < deadline:
        time.sleep(0.5)
        # Newest first.
        events = _ask(lab, "/v1/history", store=DAMAGED)["events"]
        told = [(event["kind"], event["image"]) for event in events]
        mended = [
            told.index(("copy-repaired", of.id)) for of in (unprotected, lost) if ("copy-repaired", of.id) in told
        ]
        if len(mended) == 2 and told.index(("copy-done", lost.id)) < mended[1]:
            say("both are mended")
            return


def _ask(lab: Lab, path: str, **params: str) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(f"{_api(lab)}{path}", params=params, timeout=ANSWER).json()
    return answer


def _show_progress(lab: Lab, wanted: list[Expected], meant: Callable[[str], bool]) -> None:
    """Until every wanted copy at these sites is there, has failed, or time is up; if it is right is proved in the end.

    A copy that waits is not shown.
    """
    deadline = time.monotonic() + COPIES
    with meter() as shown:
        while time.monotonic() < deadline:
            rows = {row["id"]: row for row in _ask(lab, "/v1/images", all="true")["images"]}
            copies = [
                (f"{image.name} -> {site}", rows[image.id]["size"], rows[image.id]["copies"][site])
                for image in wanted
                for site in sorted(image.sites - {HUB})
                if image.id in rows and meant(site)
            ]
            shown.show([_transfer(*copy) for copy in copies if copy[2]["state"] in {"copying", "present", "failed"}])
            if copies and all(copy[2]["state"] in {"present", "failed"} for copy in copies):
                return
            time.sleep(0.5)


def _transfer(label: str, size: int, copy: dict[str, Any]) -> Transfer:
    outcome = {"present": "copied", "failed": f"failed: {copy['reason']}"}.get(copy["state"], "")
    return Transfer(
        label=label,
        done=copy["bytes_done"] or 0,
        total=size,
        rate=copy["rate"] or 0.0,
        eta=copy["eta"],
        since=datetime.fromisoformat(copy["since"]) if copy["since"] else None,
        outcome=outcome,
        succeeded=outcome == "copied",
    )


def _prove(lab: Lab, wanted: list[Expected]) -> bool:
    """Read every image back from every site's Ceph, and hold it against Glance's hash."""
    say("what Ceph says, read back with the rbd binding, against Glance's hash")
    hashes = {image.id: _hash(lab, image.id) for image in wanted}
    places = [(image, site.name) for image in wanted for site in lab.sites]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda place: readback(lab, place[1], place[0].id), places))
    table = Table("Image", "Site", "Size", "Snapshot", "sha512 against Glance", "Verdict", box=None)
    good = True
    for (image, site), copy in zip(places, found, strict=True):
        right = _right(copy, hashes[image.id]) if site in image.sites else not copy.exists
        good = good and right
        table.add_row(image.name, site, *_cells(copy, hashes[image.id]), "ok" if right else "WRONG")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    say("every copy is where it belongs, and right" if good else "SOMETHING IS WRONG: see the table")
    return good


def _right(copy: Readback, glance_hash: str) -> bool:
    return copy.bootable and copy.sha512 == glance_hash


def _cells(copy: Readback, glance_hash: str) -> tuple[str, str, str]:
    if not copy.exists:
        return ("-", "-", "not here")
    snapshot = "protected" if copy.bootable else "unprotected" if copy.snapshot else "none"
    verdict = "equal" if copy.sha512 == glance_hash else "DIFFERENT"
    return (f"{copy.size / 2**20:.0f} MiB", snapshot, f"{copy.sha512[:16]}... {verdict}")


def _hash(lab: Lab, image: str) -> str:
    """The hash that Glance took when the image was uploaded."""
    with api.login(lab, "admin", ANSWER) as session:
        return str(session.get(f"{lab.glance_url}/v2/images/{image}").json()["os_hash_value"])


def edgesync(lab: Lab, *arguments: str) -> None:
    sys.stdout.flush()
    subprocess.run([*EDGESYNC, "--config", str(lab.edgesync_file), *arguments], check=False, timeout=STOP)


def _invite(lab: Lab) -> None:
    config = _short(lab.edgesync_file)
    lines = [
        "",
        "The lab and the daemon keep running. To play with them:",
        f"  export EDGESYNC_CONFIG={config}",
        "  .venv/bin/edgesync status --watch",
        "  .venv/bin/edgesync copy team-secret --all-stores --wait",
        "  .venv/bin/edgesync history",
        f"  curl {_api(lab)}/v1/stores; curl {_api(lab)}/metrics",
        f"  (. {_short(lab.openrc_file)}; .lab/openstack-venv/bin/glance image-list --include-stores)",
        f"  .venv/bin/python -m deploy.lab break dcn0 --how pause-osd --name {NAME}; ... heal dcn0 --name {NAME}",
        f"Log of the daemon: {_short(lab.folder / 'edgesync.log')}",
        f"To end it all: make lab-down NAME={NAME}",
    ]
    click.echo("\n".join(lines))


def _api(lab: Lab) -> str:
    return f"http://127.0.0.1:{lab.api_port}"


def _short(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    main()
