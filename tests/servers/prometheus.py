"""Debian's Prometheus and promtool, which `make test` unpacks into `.lab`: nothing is installed, no service runs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

UNPACKED = Path(".lab/prometheus/usr/bin")
RULES = Path("deploy/prometheus/edgesync.rules.yaml")
# Seconds, for one answer; and to start or to stop.
ANSWER, START = 10, 60


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is."""
    found = shutil.which(name, path=f"{UNPACKED.resolve()}:{os.environ.get('PATH', '')}")
    if found is None:
        raise RuntimeError(f"There is no {name}: deploy/apt-unpack prometheus .lab/prometheus (make test does it).")
    return found


def promtool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end, with that text on its standard input."""
    return subprocess.run(
        [program("promtool"), *arguments], input=text, capture_output=True, text=True, timeout=120, check=False
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PrometheusServer:
    url: str

    def value(self, query: str) -> float | None:
        """The first series' of an instant query; None when there is none."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=ANSWER)
        found: list[Any] = answer.json()["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """By name: the labels and annotations of the alerts that fire."""
        answer = requests.get(f"{self.url}/api/v1/alerts", timeout=ANSWER)
        found: dict[str, list[dict[str, str]]] = {}
        for alert in answer.json()["data"]["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append({**alert["annotations"], **alert["labels"]})
        return found


@contextmanager
def prometheus_server(folder: Path, target: str) -> Iterator[PrometheusServer]:
    """One with the rules of deploy/prometheus that scrapes a daemon at that host and port each second."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES.resolve())],
        "scrape_configs": [{"job_name": "edgesync", "static_configs": [{"targets": [target]}]}],
    }
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{_free_port()}"
    # The server ends with us, even when we are killed.
    command = [
        *("setpriv", "--pdeathsig=TERM", program("prometheus"), f"--config.file={file}"),
        *(f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"),
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            _wait(f"http://{address}", server, folder)
            yield PrometheusServer(url=f"http://{address}")
        finally:
            server.terminate()
            server.wait(START)


def _wait(url: str, server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START
    while not _ready(url):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Prometheus did not start:\n{(folder / 'prometheus.log').read_text()}")
        time.sleep(0.1)


def _ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/-/ready", timeout=ANSWER).ok
    except requests.ConnectionError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
