"""A lab comes up, stays as it is when asked again, and goes away without a trace, even from the middle."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.lab import cluster, lifecycle, links, ports, processes, status
from deploy.lab.layout import HOME, ROOT, Lab
from tests.lab import conftest

OTHER = f"test-other{conftest.WORKER}"

Run = Callable[..., subprocess.CompletedProcess[str]]


def pids(lab: Lab) -> dict[str, int | None]:
    return {service.name: service.pid for service in status.status(lab)}


def traces(name: str, base_port: int | None) -> list[str]:
    """What is left of a lab."""
    folder = HOME / name
    left = [f"process {process.pid}" for process in processes.marked(folder)]
    left += [str(folder)] if folder.exists() else []
    left += [name for names in links.left(folder) for name in names]
    if base_port is not None:
        left += [f"port {port}" for port in ports.block(base_port) if not listens_nobody(port)]
    return left


def listens_nobody(port: int) -> bool:
    listening = "0A"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return not any(row[1].endswith(f":{port:04X}") and row[3] == listening for row in rows)


@pytest.fixture
def other() -> Iterator[str]:
    lifecycle.down(OTHER)
    yield OTHER
    lifecycle.down(OTHER)


def test_every_service_is_healthy(lab: Lab) -> None:
    services = status.status(lab)
    assert [service.name for service in services if not service.healthy] == []
    assert len(services) == 3 + 3 * 3 + (2 if conftest.LINKED else 1)  # its two links, or that there are none


def test_status_command_shows_each_service(lab: Lab, run: Run) -> None:
    shown = run("status", "--name", lab.name)
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in ("keystone", "glance", "central mon", "dcn0 osd", "dcn1 mgr"))


def test_second_up_leaves_everything_running(lab: Lab) -> None:
    before = pids(lab)
    assert lifecycle.up(lab.name) == lab
    assert pids(lab) == before


def test_up_restarts_what_died(breakable: Lab) -> None:
    before = pids(breakable)
    for kind in cluster.DAEMONS:
        daemon = cluster.daemon(breakable.site("dcn1"), kind)
        assert daemon is not None
        daemon.kill()
    assert not status.healthy(breakable)
    lifecycle.up(breakable.name)
    after = pids(breakable)
    assert status.healthy(breakable)
    assert {name for name in before if before[name] != after[name]} == {"dcn1 mon", "dcn1 osd", "dcn1 mgr"}


def test_another_number_of_edges_is_refused(lab: Lab, run: Run) -> None:
    refused = run("up", "--name", lab.name, "--sites", "1")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: lab '{lab.name}' has 2 edges, not 1; take it down first")


def test_another_glance_is_refused(lab: Lab, run: Run) -> None:
    refused = run("up", "--name", lab.name, "--glance", "distro")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        f"error: lab '{lab.name}' runs the pinned Glance, not the distro one; take it down first"
    )


def test_missing_lab_is_named(run: Run) -> None:
    refused = run("status", "--name", "nowhere")
    assert refused.returncode == 1
    assert refused.stderr == "error: there is no lab 'nowhere'; start it: python -m deploy.lab up --name nowhere\n"
    assert not (HOME / "nowhere").exists()


def test_two_labs_side_by_side(lab: Lab, other: str) -> None:
    second = lifecycle.up(other, edges=1)
    assert not set(ports.block(lab.base_port)) & set(ports.block(second.base_port))
    assert status.healthy(lab)
    assert status.healthy(second)
    lifecycle.down(other)
    assert traces(other, second.base_port) == []
    assert status.healthy(lab)


@pytest.mark.parametrize("after", [0.3, 1.5, 3.0, 5.0])
def test_killed_up_is_cleaned_by_down(other: str, after: float, run: Run) -> None:
    killed_up(other, after)
    base_port = Lab.load(other).base_port
    assert run("down", "--name", other).returncode == 0
    assert traces(other, base_port) == []


def test_down_finds_what_a_deleted_folder_was_of(other: str, run: Run) -> None:
    killed_up(other, 3.0)
    base_port = Lab.load(other).base_port
    while (HOME / other).exists():
        with contextlib.suppress(OSError):  # what runs in it goes on writing
            shutil.rmtree(HOME / other)
    assert traces(other, base_port) != []
    assert run("down", "--name", other).returncode == 0
    assert traces(other, base_port) == []


@pytest.mark.parametrize("after", [2.0, 3.0, 3.5, 4.0])
def test_killed_up_is_finished_by_up(other: str, after: float) -> None:
    killed_up(other, after)
    assert status.healthy(lifecycle.up(other))


def killed_up(name: str, after: float) -> None:
    argv = [sys.executable, "-m", "deploy.lab", "up", "--name", name, "--sites", "1"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True) as up:
        while not (HOME / name / "state.json").exists():
            time.sleep(0.02)
        time.sleep(after)
        up.send_signal(signal.SIGKILL)
    assert up.returncode == -signal.SIGKILL
