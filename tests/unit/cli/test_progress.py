"""What a person is told while copies run."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest

from edgesync.cli.progress import Course, Transfer, figures, meter

GIB = 1 << 30
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def told(*course_of: tuple[Transfer, float]) -> str:
    """The last word, after these looks at these seconds."""
    course = Course()
    for transfer, at in course_of:
        course.see(transfer, BEGAN + timedelta(seconds=at))
    return figures(course_of[-1][0], course)


def running(**more: object) -> Transfer:
    return Transfer(label="x", total=GIB, since=BEGAN, **more)  # type: ignore[arg-type]


def test_a_copy_whose_bytes_glance_has_not_told_shows_its_time() -> None:
    assert told((running(), 75)) == "0 B of 1.0 GiB, 1:15"


def test_bytes_rate_and_time_to_go() -> None:
    transfer = running(done=GIB // 2, rate=64 << 20, eta=8.0)
    assert told((transfer, 8)) == "512.0 MiB of 1.0 GiB, 0:08, 64.0 MiB/s, 0:08 to go"


def test_the_end_tells_the_average() -> None:
    ended = Transfer(label="x", outcome="copied", succeeded=True)
    assert told((running(), 4), (running(), 16), (ended, 99)) == "copied in 0:16, 64.0 MiB/s"


def test_what_is_of_unknown_size_is_told_without_it() -> None:
    fetched = Transfer(label="x", since=BEGAN, done=5 << 20, rate=1 << 20, eta=0.0)
    assert told((fetched, 5)) == "5.0 MiB so far, 0:05, 1.0 MiB/s"
    assert told((fetched, 5), (Transfer(label="x", outcome="copied", succeeded=True), 9)) == "copied in 0:05"


def test_an_end_without_a_beginning_is_just_an_end() -> None:
    assert told((Transfer(label="x", outcome="copied", succeeded=True), 5)) == "copied"
    assert told((running(), 4), (Transfer(label="x", outcome="failed"), 5)) == "failed"


def test_waiting_says_for_what() -> None:
    assert told((Transfer(label="x", waiting="lock: theirs"), 0)) == "waiting (lock: theirs)"


def test_off_a_terminal_a_line_is_printed_when_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    with meter() as shown:
        for done in (0, 1, GIB // 2, GIB // 2 + 1):
            shown.show([running(done=done)])
        shown.show([Transfer(label="x", outcome="failed")])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["x: 0 B of 1.0 GiB", "x: 512.0 MiB of 1.0 GiB", "x: failed"]


def test_where_nobody_looks_a_terminal_gets_lines_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("CI", "true")
    with meter() as shown:
        shown.show([Transfer(label="x", waiting="lock")])
    assert capsys.readouterr().err == "x: waiting (lock)\n"
