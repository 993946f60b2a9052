"""Say what is being done, and wait for things with a deadline."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from deploy.lab.errors import LabError
from deploy.lab.processes import Process

Value = TypeVar("Value")
POLL = 0.1

_began = time.monotonic()


def say(text: str) -> None:
    """One line, with the seconds since the command began; sites start side by side, so write it whole."""
    sys.stdout.write(f"[{time.monotonic() - _began:6.1f}s] {text}\n")
    sys.stdout.flush()


def until(answer: Callable[[], Value | None], what: str, *, seconds: float, process: Process, log: Path) -> Value:
    """Ask again until there is an answer; when the process dies or time is up, show the end of its log."""
    deadline = time.monotonic() + seconds
    while True:
        value = answer()
        if value:
            return value
        if not process.alive():
            raise LabError(f"{what}: the process died. The end of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise LabError(f"{what}: no answer in {seconds:.0f} s. The end of {log}:\n{tail(log)}")
        time.sleep(POLL)


def tail(log: Path, lines: int = 15) -> str:
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
