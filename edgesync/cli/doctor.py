"""`doctor`: what is wrong with the cloud, the sites and the settings, and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgesync.cli.context import FAILED, Context, pass_context
from edgesync.cli.logs import set_up_logs
from edgesync.cli.output import emit, format_option
from edgesync.daemon.doctor import examine
from edgesync.plan.diagnosis import Diagnosis, Grade

_STYLES = {Grade.PROBLEM: "bold red", Grade.WARNING: "yellow", Grade.UNKNOWN: "magenta", Grade.OK: "green"}


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Show also what is well, and every name of each list.")
@format_option
@pass_context
def doctor(context: Context, verbose: bool, form: str) -> int:
    """Look for what makes replication fail: log-in, Glance, sites, settings, images, locks, leftovers.

    Works with and without a running daemon, and changes nothing. Each finding comes with a remedy, problems first.
    Exit code 1 when there is a problem; warnings, and what could not be looked at, leave it 0.

    \b
    Example: edgesync doctor
             edgesync doctor -v
             edgesync doctor -f json
    """
    settings = context.settings()
    # What would be logged is found and shown.
    set_up_logs(level=context.overrides.get("log.level", "critical"), form=settings.log.format)
    api, way = context.way()
    diagnoses = asyncio.run(examine(settings, api=api, way=way))
    emit(
        [{**asdict(entry), "grade": str(entry.grade), "details": list(entry.details)} for entry in diagnoses],
        _screen(diagnoses, verbose=verbose),
        [(entry.grade, entry.check, entry.subject or "-", entry.found) for entry in diagnoses],
        form,
    )
    return FAILED if any(diagnosis.grade is Grade.PROBLEM for diagnosis in diagnoses) else 0


def _screen(diagnoses: Sequence[Diagnosis], *, verbose: bool) -> RenderableType:
    """A table of what needs somebody, then one line for all that is well."""
    well = [diagnosis for diagnosis in diagnoses if diagnosis.grade is Grade.OK]
    shown = diagnoses if verbose else diagnoses[: len(diagnoses) - len(well)]
    parts: list[RenderableType] = []
    if shown:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for diagnosis in shown:
            table.add_row(
                Text(diagnosis.grade, style=_STYLES[diagnosis.grade]),
                Text(diagnosis.title),
                _sentences(diagnosis, verbose=verbose),
            )
        parts.append(table)
    if well and not verbose:
        checks = ", ".join(dict.fromkeys(diagnosis.check for diagnosis in well))
        parts.append(Text(f"ok: {len(well)} checks ({checks}); -v shows them", style=_STYLES[Grade.OK]))
    parts.append(Text(_summary(diagnoses)))
    return Group(*parts)


def _sentences(diagnosis: Diagnosis, *, verbose: bool) -> Text:
    text = Text(diagnosis.found)
    if diagnosis.remedy:
        text.append(f"\n-> {diagnosis.remedy}", style="bold" if diagnosis.grade is Grade.PROBLEM else "")
    for detail in diagnosis.details if verbose else ():
        text.append(f"\n   {detail}", style="dim")
    return text


def _summary(diagnoses: Sequence[Diagnosis]) -> str:
    """One line that says how bad it is."""
    numbers = {grade: sum(diagnosis.grade is grade for diagnosis in diagnoses) for grade in Grade}
    words = {
        Grade.PROBLEM: ("problem", "problems"),
        Grade.WARNING: ("warning", "warnings"),
        Grade.UNKNOWN: ("not known", "not known"),
    }
    parts = [f"{numbers[grade]} {one if numbers[grade] == 1 else many}" for grade, (one, many) in words.items()]
    return ", ".join(part for part, grade in zip(parts, words, strict=True) if numbers[grade]) or "all is well"
