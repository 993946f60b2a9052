"""Tables on terminals that are too small for all of them."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from edgesync.cli import status, stores
from edgesync.domain.copy import CopyState
from edgesync.expose.stores import store_views
from edgesync.expose.views import CopyView
from tests.unit.expose.test_problems import sick

MANY = [f"dcn{number:02}" for number in range(40)]
WELL: dict[str, Any] = {"problems": []}


def row(number: int, **states: str) -> dict[str, Any]:
    copies = {store: CopyView(state=CopyState(states.get(store, "present"))) for store in MANY}
    return {
        "id": f"{number:036}",
        "name": f"img{number}",
        "size": 1 << 30,
        "copies": {store: copy.model_dump(mode="json") for store, copy in copies.items()},
    }


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """80 x 24."""
    small = Console(width=80, height=24, color_system=None, force_terminal=True)
    monkeypatch.setattr(status, "console", lambda: small)
    monkeypatch.setattr(stores, "console", lambda: small)
    return small


def lines(on: Console, shown: Any) -> list[str]:
    with on.capture() as captured:
        on.print(shown)
    return [line.rstrip() for line in captured.get().splitlines()]


def screen(on: Console, *rows: dict[str, Any], over: list[str] = MANY) -> list[str]:
    return lines(on, status._screen({"images": rows, "stores": over, "next_marker": None}, WELL))


def test_where_not_every_store_fits_copies_are_counted_by_state(terminal: Console) -> None:
    shown = screen(terminal, row(1), row(2, dcn07="failed"))
    assert shown[1].split() == ["Image", "Id", "Size", "Copies"]
    assert shown[2].endswith("40 ✓ present")
    assert " ".join(shown[3:]).count("✗") == 1
    assert all(len(line) <= 80 for line in shown)


def test_of_one_image_each_store_has_a_line(terminal: Console) -> None:
    shown = screen(terminal, row(1, dcn07="failed"))
    assert shown[1].split() == ["Store", "img1"]
    assert [line.split()[2] for line in shown[2:42]] == ["present"] * 7 + ["failed"] + ["present"] * 32


def test_a_healthy_system_is_one_screen(terminal: Console) -> None:
    shown = screen(terminal, *(row(number) for number in range(200)), over=MANY[:1])
    assert len(shown) < 24
    assert shown[0] == "all wanted copies are there"
    assert shown[-1] == f"... and {200 - (len(shown) - 3)} more images; name one, or use -f json"


def test_images_with_something_the_matter_are_not_left_out(terminal: Console) -> None:
    shown = screen(terminal, *(row(number) for number in range(199)), row(199, dcn00="failed"), over=MANY[:1])
    assert shown[0] == "1 copy failed"
    assert shown[2].startswith("img199 ")


def test_off_a_terminal_nothing_is_left_out() -> None:
    wide = Console(width=200, color_system=None)
    shown = screen(wide, *(row(number) for number in range(150)), over=MANY[:1])
    assert len(shown) == 152


def test_of_the_stores_what_matters_most_is_kept(terminal: Console) -> None:
    rows = [view.model_dump(mode="json") for view in store_views(sick())]
    shown = lines(terminal, stores._screen(rows))
    head = next(line for line in shown if line.startswith("Store"))
    assert {"Store", "Health", "Pool", "Copies", "Lag"} <= set(head.split())
    assert "Type" not in head
