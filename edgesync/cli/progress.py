"""Progress on stderr: bars with bytes, rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from edgesync.cli.output import seconds, size

# A plain line is worth printing each time a copy has come so much further, in percent.
STEP = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """One copy on its way."""

    label: str
    done: int
    total: int
    rate: float
    eta: float | None
    # What to say once it is over; empty while it runs.
    outcome: str = ""


class Meter(Protocol):
    """Shows transfers; called again and again with all of them."""

    def show(self, transfers: Iterable[Transfer]) -> None: ...


@contextmanager
def meter() -> Iterator[Meter]:
    """Bars on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bars(progress)


def figures(transfer: Transfer) -> str:
    if transfer.outcome:
        return transfer.outcome
    text = f"{size(transfer.done)} of {size(transfer.total)}"
    if transfer.rate > 0:
        text += f", {size(transfer.rate)}/s, {seconds(transfer.eta)} to go"
    return text


@dataclass(slots=True)
class _Bars:
    progress: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def show(self, transfers: Iterable[Transfer]) -> None:
        for transfer in transfers:
            if transfer.label not in self.tasks:
                self.tasks[transfer.label] = self.progress.add_task(transfer.label, figures="")
            self.progress.update(
                self.tasks[transfer.label],
                completed=transfer.done,
                total=transfer.total or None,
                figures=figures(transfer),
            )


@dataclass(slots=True)
class _Lines:
    told: dict[str, str] = field(default_factory=dict)

    def show(self, transfers: Iterable[Transfer]) -> None:
        for transfer in transfers:
            percent = 100 * transfer.done // transfer.total if transfer.total else 0
            mark = transfer.outcome or str(percent // STEP)
            if self.told.get(transfer.label) != mark:
                self.told[transfer.label] = mark
                click.echo(f"{transfer.label}: {figures(transfer)}", err=True)
