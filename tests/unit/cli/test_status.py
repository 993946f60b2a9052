"""What `status` says first."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from edgesync.cli.status import _screen

WELL = {"trouble": "", "remedy": ""}


def copy(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "reason": "", "remedy": "", "bytes_done": None, "bytes_total": None, **more}


def screen(*rows: dict[str, dict[str, Any]], health: dict[str, str] = WELL, marker: str | None = None) -> list[str]:
    images = [
        {"id": f"{number:036}", "name": f"img{number}", "size": 1 << 30, "copies": row}
        for number, row in enumerate(rows)
    ]
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        console.print(_screen({"images": images, "stores": ["central", "dcn0"], "next_marker": marker}, health))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_healthy_system_says_so_in_one_line() -> None:
    lines = screen({"central": copy("present"), "dcn0": copy("present")})
    assert lines[0] == "all wanted copies are there"
    assert len(lines) == 3


def test_what_is_wrong_comes_first_and_its_remedy_last() -> None:
    failed = copy("failed", reason="it broke", remedy="mend it", attempts=2, next_try="2026-03-01T12:00:00+00:00")
    lines = screen(
        {"central": copy("present"), "dcn0": failed},
        {"central": copy("present"), "dcn0": copy("copying", bytes_done=1 << 29, bytes_total=1 << 30)},
        health={"trouble": "Glance is away", "remedy": "look at it"},
    )
    assert lines[:3] == ["trouble: Glance is away -> look at it", "1 copy failed", "1 copy copying"]
    assert "→ copying 50 %" in "\n".join(lines)
    assert lines[-1].startswith("img0 at dcn0: it broke; attempt 3 at ")
    assert lines[-1].endswith(" -> mend it")


def test_an_empty_matrix_says_why() -> None:
    assert screen()[0].startswith("no policy matches any image")


def test_more_than_fits_is_said() -> None:
    lines = screen({"central": copy("present"), "dcn0": copy("present")}, marker="x")
    assert lines[0] == "all wanted copies are there for these images"
    assert lines[-1].startswith("... and more")
