"""A real PostgreSQL server from Debian's package, in a folder of its own, gone when the tests are."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 30
# Nothing here has to survive a power cut.
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresServer:
    port: int

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="edgesync-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        _run([programs / "initdb", "--pgdata", folder / "data", "--auth=trust", "--username=postgres", "--no-sync"])
        port = _free_port()
        with _running(programs, folder, port):
            yield PostgresServer(port=port)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(programs: Path, folder: Path, port: int) -> Iterator[None]:
    settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", *_FAST]
    command: list[str | Path] = [
        programs / "postgres",
        "-D",
        folder / "data",
        *(word for each in settings for word in ("-c", each)),
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(_as_postgres(command), stdout=log, stderr=log) as server:
        try:
            _wait(programs, folder, port, server)
            yield
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: sessions are ended, not waited for
            server.wait(_START_SECONDS)


def _wait(programs: Path, folder: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    ready: list[str | Path] = [programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.run(ready, check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.05)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError(
            "The journal's tests need a PostgreSQL server: apt-get install postgresql (make test does it)."
        )
    return found[-1].parent


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(_as_postgres(command), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _as_postgres(command: Sequence[str | Path]) -> list[str]:
    """PostgreSQL refuses to run as root. The server ends with us, even when we are killed."""
    words = [str(word) for word in command]
    user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig=INT", *words]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
