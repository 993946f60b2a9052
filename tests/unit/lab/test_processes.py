"""The lab ends its own processes, all of them, and no other."""

import dataclasses
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab import processes
from deploy.lab.processes import Process


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.kill_marked(tmp_path)


def sleeper(mark: Path, name: str = "sleeper", script: str = "exec sleep 60") -> Process:
    return processes.spawn(["sh", "-c", script], record=mark / f"{name}.pid", log=mark / f"{name}.log", mark=mark)


def test_recorded_process_is_found_again(mark: Path) -> None:
    process = sleeper(mark)
    assert processes.recorded(mark / "sleeper.pid") == process
    assert process.alive()
    assert os.getsid(process.pid) == process.pid


def test_killed_process_is_gone(mark: Path) -> None:
    process = sleeper(mark)
    process.kill()
    assert not process.alive()
    assert processes.recorded(mark / "sleeper.pid") is None


def test_another_process_with_the_same_pid_is_not_ours(mark: Path) -> None:
    process = sleeper(mark)
    earlier = dataclasses.replace(process, started=process.started - 1)
    (mark / "sleeper.pid").write_text(json.dumps(dataclasses.asdict(earlier)))
    assert processes.recorded(mark / "sleeper.pid") is None
    earlier.kill()
    assert process.alive()


def test_missing_record_is_no_process(tmp_path: Path) -> None:
    assert processes.recorded(tmp_path / "none.pid") is None


def test_stop_asks_first(mark: Path) -> None:
    process = sleeper(mark, script="trap 'echo ended; exit' TERM; while :; do sleep 0.05; done")
    time.sleep(0.2)
    process.stop(patience=5)
    assert (mark / "sleeper.log").read_text().endswith("ended\n")


def test_stop_insists(mark: Path) -> None:
    process = sleeper(mark, script="trap '' TERM; while :; do sleep 0.05; done")
    time.sleep(0.2)
    process.stop(patience=0.2)
    assert not process.alive()


def test_paused_process_is_seen_and_can_be_killed(mark: Path) -> None:
    process = sleeper(mark)
    process.signal(signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while not process.paused():
        assert time.monotonic() < deadline
    process.kill()


def test_unrecorded_processes_and_their_children_are_ended(
    mark: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other_mark = tmp_path_factory.mktemp("other")
    other = sleeper(other_mark)
    sleeper(mark, script="sleep 60 & sleep 60 & wait")
    time.sleep(0.2)
    (mark / "sleeper.pid").unlink()
    assert processes.kill_marked(mark) == 3
    assert list(processes.marked(mark)) == []
    assert other.alive()
    processes.kill_marked(other_mark)


def test_kept_service_keeps_its_workers(mark: Path) -> None:
    kept = sleeper(mark, "kept", script="sleep 60 & wait")
    stray = sleeper(mark, "stray")
    time.sleep(0.2)
    assert processes.kill_marked(mark, keep={kept.pid}) == 1
    assert kept.alive()
    assert not stray.alive()
    assert len(list(processes.marked(mark))) == 2
