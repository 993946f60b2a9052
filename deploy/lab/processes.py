"""Start, recognise and end the lab's own processes, and never anybody else's.

A pid alone may belong to somebody else by the time it is read back, so a process is its pid and its start time. And
since `up` may be killed between starting a process and recording it, each carries its lab's folder in its environment,
where a look through /proc finds it.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.layout import write

MARK = "EDGESYNC_LAB"
_STATE, _SESSION, _STARTED = 0, 3, 19  # fields of /proc/PID/stat, counted after the command's name


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of this boot."""

    pid: int
    started: int  # clock ticks since boot

    def state(self) -> str | None:
        """The kernel's letter for what it does; none when it is gone, a zombie, or another has its pid now."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        fields = _stat(self.pid)
        if fields is None or int(fields[_STARTED]) != self.started or fields[_STATE] in "ZX":
            return None
        return fields[_STATE]

    def alive(self) -> bool:
        return self.state() is not None

    def session(self) -> int | None:
        """The pid of the service's leader, which is what started it."""
        fields = _stat(self.pid)
        return int(fields[_SESSION]) if fields else None

    def paused(self) -> bool:
        return self.state() == "T"

    def signal(self, number: signal.Signals) -> None:
        """To the process and its workers: each service leads a group of its own."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def stop(self, patience: float) -> None:
        """Ask it to end; after `patience` seconds, end it."""
        self.signal(signal.SIGTERM)
        wait_gone([self], patience)
        self.kill()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if not wait_gone([self], 10):
            raise LabError(
                f"process {self.pid} does not end on SIGKILL; look at what it waits for: cat /proc/{self.pid}/stack"
            )


def spawn(argv: list[str], *, record: Path, log: Path, mark: Path, env: Mapping[str, str] | None = None) -> Process:
    """Start a daemon in a session of its own, its output appended to `log`, and record it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(
        argv[0],
        argv,
        environment(mark, env),
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    process = identify(pid)
    if process is None:
        raise LabError(f"{argv[0]} ended at once; see {log}")
    record.parent.mkdir(parents=True, exist_ok=True)
    write(record, json.dumps(asdict(process)))
    return process


def environment(mark: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    # Gunicorn sets its title through setproctitle, which by default writes over the environment that `marked` reads.
    return {**os.environ, **(env or {}), MARK: str(mark), "SPT_NOENV": "1"}


def recorded(record: Path) -> Process | None:
    """The live process of this record, if there is one."""
    try:
        process = Process(**json.loads(record.read_text()))
    except FileNotFoundError:
        return None
    return process if process.alive() else None


def identify(pid: int) -> Process | None:
    fields = _stat(pid)
    return None if fields is None else Process(pid=pid, started=int(fields[_STARTED]))


def marked(mark: Path) -> Iterator[Process]:
    """Every live process that was started for the lab in that folder."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # Processes come and go while we look.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                process = identify(int(entry.name))
                if process is not None and process.alive():
                    yield process


def kill_marked(mark: Path, keep: Collection[int] = ()) -> int:
    """End every process of that lab but the services whose leaders are to be kept, until none is left.

    More than one look is needed: a process may just be starting another.
    """
    ended = 0
    for _ in range(20):
        found = [process for process in marked(mark) if process.session() not in keep]
        if not found:
            return ended
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        wait_gone(found, 10)
        ended += len(found)
    raise LabError(f"processes of {mark} keep coming; find who starts them: grep -l {mark} /proc/*/environ")


def wait_gone(processes: Sequence[Process], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while any(process.alive() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
