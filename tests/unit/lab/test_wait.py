"""A service that doesn't come up says why."""

from pathlib import Path

import pytest

from deploy.lab import processes, wait
from deploy.lab.errors import LabError


def spawned(folder: Path, script: str) -> processes.Process:
    argv = ["sh", "-c", script]
    return processes.spawn(argv, record=folder / "p.pid", log=folder / "p.log", mark=folder)


def test_dead_service_shows_the_end_of_its_log(tmp_path: Path) -> None:
    process = spawned(tmp_path, "echo no such setting; sleep 0.2")
    with pytest.raises(LabError, match=r"thing: the process died.*\n  no such setting$"):
        wait.until(lambda: None, "thing", seconds=5, process=process, log=tmp_path / "p.log")


def test_silent_service_has_a_deadline(tmp_path: Path) -> None:
    process = spawned(tmp_path, "exec sleep 60")
    try:
        with pytest.raises(LabError, match="no answer in 0 s"):
            wait.until(lambda: None, "thing", seconds=0.2, process=process, log=tmp_path / "p.log")
    finally:
        process.kill()


def test_answer_is_returned(tmp_path: Path) -> None:
    answers = iter([None, 0, 7])
    process = spawned(tmp_path, "exec sleep 60")
    try:
        got = wait.until(lambda: next(answers), "thing", seconds=5, process=process, log=tmp_path / "p.log")
    finally:
        process.kill()
    assert got == 7


def test_missing_log_is_no_error(tmp_path: Path) -> None:
    assert wait.tail(tmp_path / "none") == "  (no log)"
