"""A real systemd, booted in namespaces over a throw-away layer on this host's own files; gone when the tests are."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

# Seconds to boot, for one command, and to be switched off.
BOOT, ANSWER, OFF = 60, 60, 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    # Of its systemd, as this host numbers it.
    pid: int

    def run(self, *command: str, check: bool = True) -> str:
        """What a command prints there, as root."""
        entered = ["nsenter", "--all", "--target", str(self.pid), *command]
        done = subprocess.run(entered, check=False, capture_output=True, text=True, timeout=ANSWER)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def shown(self, unit: str) -> dict[str, str]:
        """What systemd knows of a unit."""
        lines = self.run("systemctl", "show", unit).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


@contextmanager
def machine(binds: Mapping[Path, str]) -> Iterator[Machine]:
    """With a network of its own, and files of this host bound to places of its own, to be read only.

    Needs root, and Debian's systemd-container.
    """
    if shutil.which("systemd-nspawn") is None:
        raise RuntimeError(
            "The service's tests need systemd-nspawn: apt-get install systemd-container (make test does)."
        )
    folder = Path(tempfile.mkdtemp(prefix="edgesync-machine-"))
    root = folder / "root"
    root.mkdir()
    # Read only, so that nobody who clears up after a killed test run harms the host.
    subprocess.run(["mount", "-o", "bind,ro", "/", root], check=True)
    try:
        with _booted(folder, root, binds) as booted:
            yield booted
    finally:
        subprocess.run(["umount", root], check=True)
        shutil.rmtree(folder)


@contextmanager
def _booted(folder: Path, root: Path, binds: Mapping[Path, str]) -> Iterator[Machine]:
    command: list[str | Path] = [
        *("systemd-nspawn", "--quiet", "--directory", root, "--volatile=overlay", "--boot"),
        *("--register=no", "--keep-unit", "--private-network", "--console=pipe"),
        *(f"--bind-ro={source}:{target}" for source, target in binds.items()),
        *("--", "systemd.unit=basic.target"),
    ]
    log = folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as nspawn,
    ):
        try:
            booted = Machine(pid=_leader(nspawn, log))
            _wait(booted, log)
            yield booted
        finally:
            # nspawn's word for switching the machine off, at once.
            for process in psutil.Process(nspawn.pid).children():
                process.kill()
            nspawn.wait(OFF)


def _leader(nspawn: subprocess.Popen[bytes], log: Path) -> int:
    """Of the first process in there, once it is its systemd."""
    deadline = time.monotonic() + BOOT
    while time.monotonic() < deadline and nspawn.poll() is None:
        for process in psutil.Process(nspawn.pid).children():
            if process.name() == "systemd":
                return process.pid
        time.sleep(0.1)
    raise RuntimeError(f"systemd does not boot here:\n{log.read_text()}")


def _wait(booted: Machine, log: Path) -> None:
    deadline = time.monotonic() + BOOT
    while booted.run("systemctl", "is-system-running", check=False).strip() not in {"running", "degraded"}:
        if time.monotonic() > deadline or not psutil.pid_exists(booted.pid):
            raise RuntimeError(f"systemd did not come up:\n{log.read_text()}")
        time.sleep(0.2)
