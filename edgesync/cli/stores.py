"""`stores`: how each site is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from edgesync.cli.context import Context, pass_context
from edgesync.cli.output import console, emit, fitted, format_option, local_time, problem_lines
from edgesync.domain.site import BreakerState
from edgesync.expose.figures import in_words, size

COLUMNS = (
    "Store",
    "Role",
    "Type",
    "Health",
    "Pool",
    "Window",
    "Copies",
    "Lag",
    "Waiting",
    "Imports",
    "Findings",
    "Audited",
)
# Left out where a terminal is too narrow for all, in this order.
SPARE = ("Type", "Audited", "Window", "Imports", "Role", "Findings")
_HEALTH = {BreakerState.CLOSED: "up", BreakerState.OPEN: "down", BreakerState.HALF_OPEN: "trying"}


@click.command()
@format_option
@pass_context
def stores(context: Context, form: str) -> None:
    """Show the stores: what is wrong, health, room, windows, copies by state, lag, what waits and runs.

    \b
    Example: edgesync stores
    """
    rows = asyncio.run(context.ask("/v1/stores"))["stores"]
    emit(rows, _screen(rows), [(row["id"], row["role"], row["running"]) for row in rows], form)


def _screen(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What is wrong first, then the table, then what the audits found."""
    wrong = sorted((problem for row in rows for problem in row["problems"]), key=lambda problem: not problem["bad"])
    parts: list[RenderableType] = [*problem_lines(wrong)]
    parts.append(fitted(COLUMNS, [_row(row) for row in rows], spare=SPARE, on=console()))
    for row in rows:
        parts.extend(Text(_finding(finding), style="yellow") for finding in row["found"])
        if (more := sum(row["findings"].values()) - len(row["found"])) > 0:
            parts.append(Text(f"... and {more} more at {row['id']}", style="yellow"))
    return Group(*parts)


def _row(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        row["id"],
        row["role"],
        row["type"],
        _health(row),
        _pool(row["capacity"]),
        _window(row["window"]),
        _counts(row["copies"]),
        _lag(row["lags"]),
        row["queue"],
        f"{row['running']} of {row['max_concurrent']}",
        _counts(row["findings"]),
        local_time(row["audited_at"]) if row["audited_at"] else "-",
    )


def _health(row: Mapping[str, Any]) -> Text:
    state = BreakerState(row["health"]["state"])
    text = _HEALTH[state] + (", not watched" if row["refusal"] else "") + (", paused" if row["paused"] else "")
    so_so = row["refusal"] or row["paused"]
    style = "bold red" if state is not BreakerState.CLOSED else "yellow" if so_so else "green"
    return Text(text, style=style)


def _pool(capacity: Mapping[str, Any] | None) -> str:
    if capacity is None:
        return "-"
    return f"{capacity['fill']:.0%} of {size(capacity['total'])} (limit {capacity['max_fill']:.0%})"


def _window(window: Mapping[str, Any] | None) -> str:
    if window is None:
        return "always"
    text = "open" if window["open"] else "closed"
    return f"{text} until {local_time(window['next_change'])}" if window["next_change"] else text


def _lag(lags: Sequence[Mapping[str, Any]]) -> Text:
    """For how long a copy has been missing, and how long its policy allows that."""
    parts = []
    for lag in lags:
        allowed = f" (allows {in_words(lag['objective'])})" if lag["objective"] is not None else ""
        parts.append(f"{in_words(lag['seconds'])} {lag['policy']}{allowed}")
    return Text(", ".join(parts) or "none", style="bold red" if any(lag["late"] for lag in lags) else "")


def _finding(finding: Mapping[str, Any]) -> str:
    return f"{finding['image']} at {finding['store']}: {finding['defect']}: {finding['detail']}; {finding['next']}"


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in numbers.items()) or "none"
