"""What `status` says first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console, Group
from rich.text import Text

from edgesync.cli.output import emit
from edgesync.cli.status import _screen
from edgesync.cli.stores import _screen as stores_screen
from edgesync.domain.copy import CopyState
from edgesync.expose.lag import Lags
from edgesync.expose.lateness import waits_of
from edgesync.expose.stores import store_views
from edgesync.expose.views import CopyView
from tests.builders import NOW, image, policy, situation
from tests.unit.expose.pictures import picture_of
from tests.unit.expose.test_problems import sick

WELL: dict[str, Any] = {"problems": []}


def copy(state: str, **more: Any) -> dict[str, Any]:
    return {**CopyView(state=CopyState(state)).model_dump(mode="json"), **more}


def screen(*rows: dict[str, dict[str, Any]], health: dict[str, Any] = WELL, marker: str | None = None) -> list[str]:
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
        health={"problems": [{"bad": True, "what": "dcn0 is down", "remedy": "look at it"}]},
    )
    assert lines[:3] == ["dcn0 is down -> look at it", "1 copy failed", "1 copy copying"]
    assert "→ copying 50 %" in "\n".join(lines)
    assert lines[-1].startswith("img0 at dcn0: it broke; attempt 3 at ")
    assert lines[-1].endswith(" -> mend it")


def test_copies_of_one_store_that_wait_for_the_same_are_told_once() -> None:
    down = copy("waiting", reason="store-down: dcn0 is down", until="2026-03-01T12:00:00+00:00")
    lines = screen(*({"central": copy("present"), "dcn0": down} for _ in range(3)))
    assert lines[0] == "3 copies waiting"
    (told,) = [line for line in lines if "store-down" in line]
    assert told.startswith("3 images at dcn0: store-down: dcn0 is down; until 2026-03-01 ")


def test_the_worst_is_told_first_with_what_happens_next() -> None:
    stalled = copy("stalled", reason="nothing grows", next="retried at noon", since="2026-03-01T12:00:00+00:00")
    lines = screen(
        {"central": copy("present"), "dcn0": copy("waiting", reason="budget: full")},
        {"central": copy("present"), "dcn0": stalled},
        {"central": copy("broken", reason="no snapshot", next="it is mended next"), "dcn0": copy("unwanted")},
        {"central": copy("present"), "dcn0": copy("orphan", reason="a leftover", next="left alone: too young")},
    )
    assert lines[:4] == ["1 copy broken", "1 copy stalled", "1 copy orphan", "1 copy waiting"]
    assert lines[-4] == "img2 at central: no snapshot; it is mended next"
    assert lines[-3].startswith("img1 at dcn0: nothing grows; it last got on at ")
    assert lines[-3].endswith("; retried at noon")
    assert lines[-2:] == ["img3 at dcn0: a leftover; left alone: too young", "img0 at dcn0: budget: full"]


def test_a_paused_site_is_no_trouble_but_told() -> None:
    paused = {"bad": False, "what": "store dcn0 is paused", "remedy": "edgesync resume --store dcn0"}
    lines = screen({"central": copy("present"), "dcn0": copy("present")}, health={"problems": [paused]})
    assert lines[:2] == ["store dcn0 is paused -> edgesync resume --store dcn0", "all wanted copies are there"]


def test_stores_show_what_is_wrong_then_each_site_then_the_findings() -> None:
    rows = [view.model_dump(mode="json") for view in store_views(sick())]
    console = Console(width=220, color_system=None)
    with console.capture() as captured:
        console.print(stores_screen(rows))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert [line.split(" ")[0] for line in lines[:3]] == ["the", "1", "1"]
    header = next(index for index, line in enumerate(lines) if line.startswith("Store"))
    central, dcn0, dcn1 = (" ".join(line.split()) for line in lines[header + 1 : header + 4])
    assert central == "central hub rbd up, paused 90% of 100.0 GiB (limit 85%) always 1 present none 0 0 of 100 none -"
    assert "1 broken" in dcn0
    assert "1 unprotected, 1 orphan" in dcn0
    assert dcn1.startswith("dcn1 edge rbd down, paused - always 1 stalled none 0 1 of 100 none -")
    assert lines[header + 4].startswith("id-img at dcn0: unprotected: it is unprotected; ")


def test_an_empty_matrix_says_why() -> None:
    assert screen()[0].startswith("no policy matches any image")


def test_more_than_fits_is_said() -> None:
    lines = screen({"central": copy("present"), "dcn0": copy("present")}, marker="x")
    assert lines[0] == "all wanted copies are there for these images"
    assert lines[-1].startswith("... and more")


def test_a_sentence_is_not_broken_in_the_middle_of_the_command_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = f"{'a long story ' * 20}-> edgesync resume --store dcn0"
    emit({}, Group(Text(sentence), Text("short")), [], "table")
    assert capsys.readouterr().out.splitlines() == [sentence, "short"]


def test_stores_say_how_long_each_policy_has_been_missing_a_copy_there() -> None:
    case = situation(image(), policies=[policy(lag_objective=timedelta(hours=4))])
    lags = Lags()
    lags.update(picture_of(case))
    later = picture_of(replace(case, world=replace(case.world, at=NOW + timedelta(hours=5))))
    rows = [view.model_dump(mode="json") for view in store_views(later, waits_of(later, lags))]
    console = Console(width=220, color_system=None)
    with console.capture() as captured:
        console.print(stores_screen(rows))
    central, dcn0, _ = captured.get().splitlines()[-3:]
    assert " none " in central
    assert " 5 h golden (allows 4 h) " in dcn0


def test_what_is_moving_tells_its_pace_the_slowest_first() -> None:
    paces = [copy("copying", bytes_done=1 << 29, bytes_total=1 << 30, rate=float(1 << 20), eta=eta) for eta in (9, 512)]
    lines = screen(*({"central": copy("present"), "dcn0": pace} for pace in paces))
    assert lines[-2:] == [
        "img1 at dcn0: 512.0 MiB of 1.0 GiB, 1.0 MiB/s, 8:32 to go",
        "img0 at dcn0: 512.0 MiB of 1.0 GiB, 1.0 MiB/s, 0:09 to go",
    ]


def test_of_many_that_move_some_are_told() -> None:
    pace = copy("copying", bytes_done=1, bytes_total=2, rate=1.0)
    lines = screen(*({"central": copy("present"), "dcn0": pace} for _ in range(25)))
    assert lines[-1] == "... and 15 more copies on their way"
