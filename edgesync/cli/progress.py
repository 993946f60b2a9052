"""Progress on stderr: bars with bytes, rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from edgesync.expose.figures import seconds, size

# A plain line is worth printing each time a copy has come so much further, in percent.
STEP = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """One copy, as it stands."""

    label: str
    done: int = 0
    total: int = 0
    # Bytes per second; 0 while unknown (Glance tells the bytes of a copy once a minute).
    rate: float = 0.0
    # Seconds to go.
    eta: float | None = None
    # When Glance was asked for it; None before, and after the end.
    since: datetime | None = None
    # Why it has not begun; empty once it has.
    waiting: str = ""
    # Why it does not get on, though it has begun.
    stalled: str = ""
    # What to say once it is over; empty while it runs.
    outcome: str = ""
    succeeded: bool = False


class Meter(Protocol):
    """Shows transfers; called again and again with all of them."""

    def show(self, transfers: Iterable[Transfer]) -> None: ...


@contextmanager
def meter() -> Iterator[Meter]:
    """Bars on a terminal, lines elsewhere, and where CI=true says that nobody is looking."""
    if os.environ.get("CI") == "true" or not sys.stderr.isatty():
        yield _Lines()
        return
    # Names are shown as they are: rich would take [/x] in one for markup, and fail on it.
    label, said = "{task.description}", "{task.fields[figures]}"
    columns = (TextColumn(label, markup=False), BarColumn(), TextColumn(said, markup=False))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bars(progress)


@dataclass(slots=True)
class Course:
    """What was seen of one transfer so far: its end is told without its beginning."""

    total: int = 0
    since: datetime | None = None
    elapsed: float = 0.0

    def see(self, transfer: Transfer, now: datetime) -> None:
        self.total = transfer.total or self.total
        self.since = transfer.since or self.since
        if self.since is not None and (transfer.since is not None or not transfer.outcome):
            self.elapsed = (now - self.since).total_seconds()


def figures(transfer: Transfer, course: Course) -> str:
    """What a person wants to know of it, in a few words."""
    if transfer.outcome:
        if not transfer.succeeded or course.elapsed <= 0:
            return transfer.outcome
        average = f", {size(course.total / course.elapsed)}/s" if course.total else ""
        return f"{transfer.outcome} in {seconds(course.elapsed)}{average}"
    if transfer.waiting:
        return f"waiting ({transfer.waiting})"
    if transfer.stalled:
        return f"stalled ({transfer.stalled})"
    of_how_much = f"of {size(transfer.total)}" if transfer.total else "so far"
    text = f"{size(transfer.done)} {of_how_much}, {seconds(course.elapsed)}"
    if transfer.rate > 0:
        to_go = f", {seconds(transfer.eta)} to go" if transfer.total else ""
        text += f", {size(transfer.rate)}/s{to_go}"
    return text


@dataclass(slots=True)
class _Bars:
    progress: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)
    courses: dict[str, Course] = field(default_factory=dict)

    def show(self, transfers: Iterable[Transfer]) -> None:
        for transfer in transfers:
            label = transfer.label
            course = self.courses.setdefault(label, Course())
            course.see(transfer, datetime.now(UTC))
            if label not in self.tasks:
                self.tasks[label] = self.progress.add_task(label, figures="")
            self.progress.update(
                self.tasks[label],
                completed=course.total if transfer.succeeded else transfer.done,
                total=course.total or None,
                figures=figures(transfer, course),
            )


@dataclass(slots=True)
class _Lines:
    told: dict[str, str] = field(default_factory=dict)
    courses: dict[str, Course] = field(default_factory=dict)

    def show(self, transfers: Iterable[Transfer]) -> None:
        for transfer in transfers:
            course = self.courses.setdefault(transfer.label, Course())
            course.see(transfer, datetime.now(UTC))
            percent = 100 * transfer.done // transfer.total if transfer.total else 0
            mark = transfer.outcome or transfer.waiting or transfer.stalled or str(percent // STEP)
            if self.told.get(transfer.label) != mark:
                self.told[transfer.label] = mark
                click.echo(f"{transfer.label}: {figures(transfer, course)}", err=True)
