"""The daemon and its commands as processes, the way an operator runs them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
import yaml
from keystoneauth1.session import Session

from deploy.lab import api, tamper
from deploy.lab.images import random_image
from deploy.lab.layout import ROOT, Lab
from deploy.lab.readback import readback
from deploy.lab.render import ceph_settings
from deploy.lab.upload import upload

# The checkout that these tests are part of, wherever else edgesync is installed.
EDGESYNC = (sys.executable, "-m", "edgesync")
# Seconds: for one answer, for the daemon to start or stop, for copies of a large image.
ANSWER, START, COPY = 30, 30, 120
MIB = 2**20
EDGES = ("dcn0", "dcn1")
SITES = ("central", *EDGES)

# Everything that takes its time in the field, as short as the configuration allows: a test waits for all of it.
QUICK: dict[str, Any] = {
    "polling": {"active": "200ms", "idle": "1s", "full_pass": "5s"},
    "probes": {"every": "1s", "deadline": "2s"},
    "breaker": {"first": "1s", "ceiling": "2s"},
    "stall": {"after": "5s"},
    "audit": {"every": "3s", "grace": "10s", "trash_delay": "1h"},
    "retry": {"first": "500ms", "ceiling": "2s", "attempts": 1000, "per_store": 10_000},
}


@dataclass(kw_only=True)
class DaemonProcess:
    """One configuration, the daemon that runs on it, if it does, and the images that it is about."""

    lab: Lab
    config: Path
    url: str
    log: Path
    # An admin's log-in to Glance.
    admin: Session
    # Of images that the policy means.
    tag: str
    # Ids of all images of this test.
    images: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    # --- the process

    def start(self) -> None:
        self.launch()
        self.until(self.ready, "the daemon is ready", seconds=START)

    def launch(self) -> None:
        """Start it, and don't wait until it is ready."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*EDGESYNC, "--config", str(self.config), "run"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(ANSWER)
        self.process = None

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(START)
        self.process = None
        return code

    def hang_up(self) -> None:
        """Have it read its configuration again."""
        self.signal(signal.SIGHUP)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def configure(self, **changes: Any) -> None:
        """Write other values into the configuration; who runs on it hears of it by `hang_up`."""
        settings = yaml.safe_load(self.config.read_text())
        self.config.write_text(yaml.safe_dump({**settings, **changes}, sort_keys=False))

    def setting(self, key: str) -> Any:
        return yaml.safe_load(self.config.read_text())[key]

    # --- what it says

    def command(self, *arguments: str, timeout: float = COPY) -> subprocess.CompletedProcess[str]:
        """Run `edgesync ...` with this configuration."""
        return subprocess.run(
            [*EDGESYNC, "--config", str(self.config), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "500"},
        )

    def json(self, *arguments: str) -> Any:
        """What a command prints as JSON; it has to succeed."""
        done = self.command(*arguments, "-f", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def get(self, path: str, **params: str) -> Any:
        answer = requests.get(f"{self.url}{path}", params=params, timeout=ANSWER)
        assert answer.ok, answer.text
        return answer.json()

    def ask(self, image: str, *stores: str, **more: Any) -> str:
        """A job for copies of an image; its id."""
        body = {"image": image, "stores": list(stores), **more}
        answer = requests.post(f"{self.url}/v1/jobs", json=body, headers=self.credential, timeout=ANSWER)
        assert answer.ok, answer.text
        return str(answer.json()["id"])

    @property
    def credential(self) -> dict[str, str]:
        """The header that commands on this host send."""
        return {"Authorization": f"Bearer {(self.config.parent / 'local-token').read_text().strip()}"}

    def copies(self, image: str) -> dict[str, Any]:
        """The image's row of the matrix: store -> copy."""
        self.until(lambda: requests.get(f"{self.url}/v1/images/{image}", timeout=ANSWER).ok, f"{image} is seen")
        row = self.get(f"/v1/images/{image}")
        copies: dict[str, Any] = row["copies"]
        return copies

    def states(self, image: str) -> list[str]:
        """The states of its copies, central first."""
        copies = self.copies(image)
        return [copies[site]["state"] for site in SITES]

    def store(self, store: str) -> Any:
        (row,) = [row for row in self.get("/v1/stores")["stores"] if row["id"] == store]
        return row

    def job(self, job: str) -> Any:
        return self.get(f"/v1/jobs/{job}")

    def events(self, image: str = "", *kinds: str, **params: str) -> list[dict[str, Any]]:
        """History, oldest first: of an image, of some kinds."""
        about = {"image": image} if image else {}
        found = self.get("/v1/history", limit="1000", **about, **params)["events"]
        return [event for event in reversed(found) if not kinds or event["kind"] in kinds]

    def kinds(self, image: str = "") -> list[str]:
        return [event["kind"] for event in self.events(image)]

    def tail(self) -> str:
        return self.log.read_text()[-6000:]

    # --- until it is so

    def until(self, holds: Callable[[], object], what: str, *, seconds: float = COPY) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the daemon ended while waiting: {what}\n{self.tail()}")
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.tail()}"
            time.sleep(0.1)

    def until_at(self, image: str, *stores: str) -> None:
        """Wait until the daemon shows these copies as being there."""
        self.until(
            lambda: all(self.copies(image)[store]["state"] in {"present", "unwanted"} for store in stores),
            f"{image} at {stores}",
        )

    def until_state(self, image: str, store: str, state: str, reason: str = "", *, seconds: float = COPY) -> Any:
        """Wait until a copy is in that state, for a reason with these words; the copy as it is shown then."""
        found: dict[str, Any] = {}

        def shown() -> bool:
            found.update(self.copies(image)[store])
            return found["state"] == state and reason in found["reason"]

        self.until(shown, f"{image} at {store} is {state} {reason}", seconds=seconds)
        return found

    def until_over(self, job: str) -> Any:
        self.until(lambda: self.job(job)["state"] in {"done", "failed", "cancelled"}, f"job {job} ends")
        return self.job(job)

    def until_told(self, image: str, kind: str, *, seconds: float = COPY) -> str:
        """Wait for an event; the newest one's message."""
        self.until(lambda: kind in self.kinds(image), f"history tells {kind} of {image}", seconds=seconds)
        return str(self.events(image, kind)[-1]["message"])

    def until_importing(self, image: str) -> None:
        self.until(lambda: self.show(image).get("os_glance_import_task"), "an import is under way")

    # --- what Glance and Ceph say

    def until_idle(self, image: str) -> None:
        self.until(lambda: not self.show(image).get("os_glance_import_task"), f"no import of {image} is under way")

    def put(self, size: int = 16 * MIB, *, golden: bool = True, visibility: str = "public") -> str:
        """Upload an image of random bytes to central; its id."""
        file = random_image(size, seed=size % 97)
        tags = [self.tag] if golden else []
        image = upload(self.lab, file, name=f"img-{uuid4().hex[:6]}", tags=tags, visibility=visibility)
        self.images.append(image)
        return image

    def put_file(self, file: Path, *, name: str, golden: bool = True) -> str:
        """Upload an image of that name to central; its id."""
        image = upload(self.lab, file, name=name, tags=[self.tag] if golden else [])
        self.images.append(image)
        return image

    def mark(self, image: str, *, golden: bool) -> None:
        """Give it the tag that the policy goes by, or take that away."""
        act = self.admin.put if golden else self.admin.delete
        act(f"{self.lab.glance_url}/v2/images/{image}/tags/{self.tag}")

    def show(self, image: str) -> dict[str, Any]:
        """The image as Glance shows it to an admin."""
        shown: dict[str, Any] = self.admin.get(f"{self.lab.glance_url}/v2/images/{image}").json()
        return shown

    def status_of(self, image: str) -> str:
        """Glance's word for how far it is; empty when there is no such image."""
        answer = self.admin.get(f"{self.lab.glance_url}/v2/images/{image}", raise_exc=False)
        return str(answer.json()["status"]) if answer.ok else ""

    def stores_of(self, image: str) -> list[str]:
        return sorted(filter(None, self.show(image).get("stores", "").split(",")))

    def tasks(self, image: str) -> list[dict[str, Any]]:
        """Every import that Glance was asked for."""
        url = f"{self.lab.glance_url}/v2/images/{image}/tasks"
        found: list[dict[str, Any]] = self.admin.get(url).json()["tasks"]
        return found

    def imported(self, image: str) -> list[str]:
        """The stores of all imports that Glance was asked for, one that was asked for twice twice."""
        return sorted(store for task in self.tasks(image) for store in task["input"]["backend"])

    def sent(self, image: str) -> list[tuple[str, list[str]]]:
        """Method and stores of every import that Glance was asked for, first to last.

        Glance tells the times in whole seconds: within one, the order is that of edgesync's history.
        """
        begun = [event["message"].rpartition("to ")[2] for event in self.events(image, "copy-started")]

        def order(task: dict[str, Any]) -> tuple[str, int]:
            return task["created_at"], begun.index(", ".join(task["input"]["backend"]))

        asked = [task["input"] for task in sorted(self.tasks(image), key=order)]
        return [(given["import_req"]["method"]["name"], given["backend"]) for given in asked]

    def good(self, image: str, *sites: str, size: int) -> None:
        """The copies are there, whole and bootable, and nowhere else."""
        expected = hashlib.sha512(random_image(size, seed=size % 97).read_bytes()).hexdigest()
        assert self.stores_of(image) == sorted(sites)
        for site in SITES:
            found = readback(self.lab, site, image)
            assert found.exists == (site in sites), f"{site}: {found}"
            if found.exists:
                assert (found.size, found.sha512, found.bootable) == (size, expected, True), f"{site}: {found}"

    def forget_images(self) -> None:
        """Delete the images of this test, and whatever is left of them at any site."""
        for image in self.images:
            url = f"{self.lab.glance_url}/v2/images/{image}"
            self.admin.delete(url, raise_exc=False)
            for site in SITES:
                tamper.remove_image(self.lab, site, image)
        for site in SITES:
            tamper.empty_trash(self.lab, site)

    def ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=ANSWER).ok
        except requests.ConnectionError:
            return False


@contextmanager
def daemon_of(
    lab: Lab, folder: Path, *, ceph: bool = True, rbd: bool = False, quick: bool = True
) -> Iterator[DaemonProcess]:
    """A configuration in a folder of its own, not yet started, whose policy means only the images of this test.

    Copies are Glance's to make, unless `rbd` is given. It looks and tries again more often than it does as delivered.
    Whatever runs in the end is stopped.
    """
    tag = f"t{uuid4().hex[:8]}"
    config = folder / "edgesync.yaml"
    settings: dict[str, Any] = {
        "cloud": "edgesync",
        "clouds_file": str(lab.clouds_file),
        "hub": "central",
        "stores": {site.name: {"ceph": ceph_settings(site)} for site in lab.sites} if ceph else {},
        "policies": [{"name": "golden", "match": {"tags": [tag], "visibility": "public"}, "stores": "all"}],
        "journal": {"url": f"sqlite+aiosqlite:///{folder}/journal.db"},
        "api": {"listen": f"127.0.0.1:{lab.api_port}"},
        "rbd": {"enabled": rbd, "deadline": "10s"},
        **(QUICK if quick else {}),
    }
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    with api.login(lab) as admin:
        daemon = DaemonProcess(
            lab=lab,
            config=config,
            url=f"http://127.0.0.1:{lab.api_port}",
            log=folder / "edgesync.log",
            admin=admin,
            tag=tag,
        )
        try:
            yield daemon
        finally:
            daemon.stop()
