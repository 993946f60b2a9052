"""The daemon and its commands as processes, the way an operator runs them."""

from __future__ import annotations

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

import requests

from deploy.lab import api
from deploy.lab.layout import Lab

EDGESYNC = Path(sys.executable).with_name("edgesync")
# Seconds: for one answer, for the daemon to start or stop, for copies of a large image.
ANSWER, START, COPY = 30, 30, 180


@dataclass(kw_only=True)
class DaemonProcess:
    """One configuration, and the daemon that runs on it, if it does."""

    lab: Lab
    config: Path
    url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(EDGESYNC), "--config", str(self.config), "run"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
            )
        self.until(self._ready, "the daemon is ready", seconds=START)

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

    def command(self, *arguments: str, timeout: float = COPY) -> subprocess.CompletedProcess[str]:
        """Run `edgesync ...` with this configuration."""
        return subprocess.run(
            [str(EDGESYNC), "--config", str(self.config), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**os.environ, **self.environment},
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

    def copies(self, image: str) -> dict[str, Any]:
        """The image's row of the matrix: store -> copy."""
        (row,) = self.get("/v1/images", image=image, all="true")["images"]
        copies: dict[str, Any] = row["copies"]
        return copies

    def until(self, holds: Callable[[], bool], what: str, *, seconds: float = COPY) -> None:
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

    def tail(self) -> str:
        return self.log.read_text()[-4000:]

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=ANSWER).ok
        except requests.ConnectionError:
            return False


@contextmanager
def daemon_of(lab: Lab, folder: Path, policies: str = "[]", more: str = "") -> Iterator[DaemonProcess]:
    """A configuration in a folder of its own, not yet started; whatever runs in the end is stopped."""
    config = folder / "edgesync.yaml"
    config.write_text(
        f"""\
cloud: edgesync
clouds_file: {lab.clouds_file}
hub: central
policies: {policies}
journal: {{url: "sqlite+aiosqlite:///{folder}/journal.db"}}
api: {{listen: "127.0.0.1:{lab.api_port}"}}
polling: {{active: 300ms, idle: 2s}}
{more}"""
    )
    daemon = DaemonProcess(lab=lab, config=config, url=f"http://127.0.0.1:{lab.api_port}", log=folder / "edgesync.log")
    try:
        yield daemon
    finally:
        daemon.stop()


def show(lab: Lab, image: str) -> dict[str, Any]:
    """The image as Glance shows it to an admin."""
    with api.login(lab) as session:
        shown: dict[str, Any] = session.get(f"{lab.glance_url}/v2/images/{image}").json()
    return shown


def tasks(lab: Lab, image: str) -> list[dict[str, Any]]:
    """Every import that Glance was asked for."""
    with api.login(lab) as session:
        found: list[dict[str, Any]] = session.get(f"{lab.glance_url}/v2/images/{image}/tasks").json()["tasks"]
    return found
