"""Debian's Prometheus and promtool, which `make test` unpacks into `.lab`: nothing is installed, no service runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

UNPACKED = Path(".lab/prometheus/usr/bin")


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
