"""The image x store matrix on a terminal of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgesync.cli.output import copy_cell, table_of, width_of
from edgesync.domain.copy import CopyState
from edgesync.expose.figures import size

# Images that are shown on the smallest terminal.
FEW = 5

Row = Mapping[str, Any]


def matrix(rows: Sequence[Row], stores: Sequence[str], on: Console) -> Table:
    """A column for each store; where that many don't fit, a line for each, or of several images the copies by state."""
    heads = [(row["name"], row["id"], size(row["size"])) for row in rows]
    cells = [[copy_cell(row["copies"][store]) for store in stores] for row in rows]
    whole = table_of(
        ("Image", "Id", "Size", *stores), [(*head, *line) for head, line in zip(heads, cells, strict=True)]
    )
    if width_of(whole, on) <= on.width:
        return whole
    if len(rows) == 1:
        return table_of(("Store", rows[0]["name"] or rows[0]["id"]), list(zip(stores, cells[0], strict=True)))
    counts = [(*head, _counts(row)) for head, row in zip(heads, rows, strict=True)]
    return table_of(("Image", "Id", "Size", "Copies"), counts)


def on_one_screen(rows: Sequence[Row], *, lines: int, on: Console) -> tuple[Sequence[Row], int]:
    """What a terminal has room for beside so many other lines, and how many rows that leaves out.

    Those with something the matter are left out last.
    """
    room = max(on.height - lines, FEW)
    if not on.is_terminal or len(rows) <= room:
        return rows, 0
    return sorted(rows, key=_well)[:room], len(rows) - room


def _well(row: Row) -> bool:
    quiet = {CopyState.PRESENT, CopyState.ABSENT, CopyState.UNWANTED}
    return all(CopyState(copy["state"]) in quiet for copy in row["copies"].values())


def _counts(row: Row) -> Text:
    """By state, the most first."""
    counts = Counter(CopyState(copy["state"]) for copy in row["copies"].values())
    return Text(", ".join(f"{number} {state.sign} {state}" for state, number in counts.most_common()))
