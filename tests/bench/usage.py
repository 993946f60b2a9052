"""What processes take of the machine: seconds of CPU, and memory at its peak."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

KIB = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Of some processes together."""

    # Seconds.
    cpu: float
    # Bytes: each process's own most, added up.
    peak: int


class Meter:
    """Of processes that run before and after what is measured."""

    def __init__(self, processes: Iterable[psutil.Process]) -> None:
        self._processes = list(processes)
        for process in self._processes:
            # The peak is that from here on (proc(5)).
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        self._before = self._cpu()

    def read(self) -> Usage:
        return Usage(cpu=self._cpu() - self._before, peak=sum(_peak(process) for process in self._processes))

    def _cpu(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return sum(entry.user + entry.system for entry in times)


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def ended(processes: Iterable[subprocess.Popen[bytes]]) -> Usage:
    """Wait for commands to end; RuntimeError when one of them fails."""
    cpu, peak = 0.0, 0
    for process in processes:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        cpu += used.ru_utime + used.ru_stime
        peak += used.ru_maxrss * KIB
    return Usage(cpu=cpu, peak=peak)


def _peak(process: psutil.Process) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * KIB
