"""Terminals, names and users as they are met in the field."""

from __future__ import annotations

import getpass
import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from edgesync.cli import progress
from edgesync.cli.context import caller
from edgesync.cli.progress import Transfer, meter


def test_a_name_that_looks_like_markup_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Console(record=True, force_terminal=True, width=100, file=io.StringIO())
    monkeypatch.setattr(progress, "Console", lambda **_: shown)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    with meter() as bars:
        bars.show([Transfer(label="[/b] [bold]rhel -> dcn0", waiting="[/x]")])
    assert "[/b] [bold]rhel -> dcn0" in shown.export_text()


TABLE = """\
from edgesync.cli import main
from edgesync.cli.output import emit, table_of

def command() -> int:
    emit([], table_of(["Copy"], [["✓ größe"]]), [], "table")
    return 0

main._exit_code = command
main.main()
"""


def test_a_stream_that_knows_only_ascii_gets_question_marks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TABLE],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "? gr??e" in done.stdout


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert caller() == f"uid {os.getuid()}"


def test_a_time_before_all_times_is_wrong_usage() -> None:
    arguments = [sys.executable, "-m", "edgesync", "history", "--since", "0001-01-01T00:00+14:00"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "expected a time like" in done.stderr
