"""Rows to stdout as a table, JSON, YAML or bare values."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import yaml
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from edgesync.domain.copy import CopyState

# No table is as wide.
UNBOUNDED = 100_000
FORMATS = ("table", "json", "yaml", "value")

format_option = click.option(
    "-f", "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print."
)

_STYLES = {
    CopyState.PRESENT: "green",
    CopyState.COPYING: "cyan",
    CopyState.WAITING: "yellow",
    CopyState.FAILED: "bold red",
    CopyState.STALLED: "bold red",
    CopyState.BROKEN: "bold red",
    CopyState.ORPHAN: "bold red",
    CopyState.UNWANTED: "magenta",
    CopyState.ABSENT: "dim",
}


def console() -> Console:
    """For tables on stdout; off a terminal wide enough that no id is cut."""
    return Console() if sys.stdout.isatty() else Console(width=200, color_system=None)


def emit(data: object, table: RenderableType, values: Sequence[Sequence[object]], form: str) -> None:
    """Print `data` whole as JSON or YAML, else the table, else the values a line a row."""
    match form:
        case "json":
            click.echo(json.dumps(data, indent=2, default=str))
        case "yaml":
            click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
        case "value":
            for row in values:
                click.echo(" ".join("" if value is None else str(value) for value in row))
        case _:
            parts = table.renderables if isinstance(table, Group) else [table]
            for part in parts:
                # Sentences end with commands to copy, and people grep for them: terminals fold lines by themselves.
                console().print(part, soft_wrap=isinstance(part, Text))


def table_of(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        # An id cut or folded can't be copied from the screen.
        table.add_column(column, overflow="fold", no_wrap=column == "Id", min_width=36 if column == "Id" else None)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text("" if cell is None else str(cell)) for cell in row))
    return table


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, spare: Sequence[str], on: Console
) -> RenderableType:
    """The table, on a narrow terminal without as many of the spare columns as it takes."""
    shown = list(columns)
    for left_out in spare:
        if width_of(table_of(shown, _chosen(columns, rows, shown)), on) <= on.width:
            break
        shown.remove(left_out)
    return table_of(shown, _chosen(columns, rows, shown))


def _chosen(columns: Sequence[str], rows: Sequence[Sequence[object]], shown: Sequence[str]) -> list[list[object]]:
    places = [columns.index(column) for column in shown]
    return [[row[place] for place in places] for row in rows]


def width_of(table: Table, on: Console) -> int:
    """In columns of the terminal, with nothing folded."""
    return Measurement.get(on, on.options.update(max_width=UNBOUNDED), table).maximum


def copy_cell(copy: Mapping[str, Any]) -> Text:
    """One cell of the matrix: sign, word, and how far a running copy is."""
    state = CopyState(copy["state"])
    text = f"{state.sign} {state}"
    if state is CopyState.COPYING and copy["bytes_total"] and copy["bytes_done"]:
        text += f" {100 * copy['bytes_done'] // copy['bytes_total']} %"
    return Text(text, style=_STYLES[state])


def local_time(text: str) -> str:
    """Local time, to the second."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def problem_lines(problems: Iterable[Mapping[str, Any]]) -> list[Text]:
    """What is wrong, each with what to do; what is so on purpose is less loud."""
    return [
        Text(
            f"{problem['what']} -> {problem['remedy']}" if problem["remedy"] else problem["what"],
            style="bold red" if problem["bad"] else "yellow",
        )
        for problem in problems
    ]


def complain(message: str, remedy: str = "") -> None:
    """An error for a person: what is wrong, then what to do."""
    click.echo(f"edgesync: {message}", err=True)
    if remedy:
        click.echo(f"  -> {remedy}", err=True)
