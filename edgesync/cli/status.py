"""`status`: what is wrong, and what is where."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from edgesync.cli.completing import IMAGE
from edgesync.cli.context import Context, pass_context
from edgesync.cli.matrix import matrix, on_one_screen
from edgesync.cli.output import console, emit, format_option, local_time, problem_lines
from edgesync.clients.daemon_api import DaemonApi
from edgesync.domain.copy import CopyState
from edgesync.expose.figures import seconds, size

# Seconds between two looks.
REFRESH = 1.0
# Lines that go around the matrix: its head, the line of what is left out, the next prompt.
AROUND = 3
# Copies whose pace is told.
MOVING = 10
# Rows that one screen asks for.
ROWS = 200
# States that are counted above the matrix, and told about below it; the worst first.
TOLD = (
    CopyState.BROKEN,
    CopyState.FAILED,
    CopyState.STALLED,
    CopyState.ORPHAN,
    CopyState.WAITING,
    CopyState.COPYING,
)


@click.command()
@click.argument("image", type=IMAGE, required=False)
@click.option("--all", "everything", is_flag=True, help="All images, not only those that policies or jobs concern.")
@click.option("--watch", is_flag=True, help="Refresh until interrupted.")
@format_option
@pass_context
def status(context: Context, image: str | None, everything: bool, watch: bool, form: str) -> None:
    """Show what is wrong, and which image is where: the image x store matrix.

    \b
    Example: edgesync status --watch
             edgesync status rhel-9.4 -f json
    """
    asyncio.run(_status(context, image, everything, watch, form))


async def _status(context: Context, image: str | None, everything: bool, watch: bool, form: str) -> None:
    async with context.daemon() as daemon:
        answer, health = await _matrix(daemon, image, everything)
        if not watch:
            emit(answer["images"], _screen(answer, health, named=image is not None), _values(answer), form)
        elif form == "table" and sys.stdout.isatty():
            with Live(_screen(answer, health, named=image is not None), console=console(), auto_refresh=False) as live:
                while True:
                    await asyncio.sleep(REFRESH)
                    answer, health = await _matrix(daemon, image, everything)
                    live.update(_screen(answer, health, named=image is not None), refresh=True)
        else:
            while True:
                emit(answer["images"], _screen(answer, health, named=image is not None), _values(answer), form)
                await asyncio.sleep(REFRESH)
                answer, health = await _matrix(daemon, image, everything)


async def _matrix(daemon: DaemonApi, image: str | None, everything: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    params = {"limit": str(ROWS), "all": str(everything).lower()} | ({"image": image} if image else {})
    return await daemon.get("/v1/images", params), await daemon.get("/v1/health")


def _screen(answer: Mapping[str, Any], health: Mapping[str, Any], *, named: bool = False) -> RenderableType:
    """What is wrong first, then the matrix, then what is moving, then why copies are not there and what they need."""
    above = [
        *problem_lines(health["problems"]),
        *(Text(line, style=style) for line, style in _counts(answer, health)),
    ]
    below = [Text(line, style="cyan") for line in _moving(answer)]
    below.extend(Text(line, style="yellow") for line in _reasons(answer))
    if named:
        below.extend(Text(line) for line in _verified(answer))
    on = console()
    rows, left = on_one_screen(answer["images"], lines=len(above) + len(below) + AROUND, on=on)
    if answer.get("next_marker"):
        below.insert(0, Text(f"... and more than {len(rows)} images; name one, or use -f json with the API's marker"))
    elif left:
        below.insert(0, Text(f"... and {left} more images; name one, or use -f json"))
    return Group(*above, matrix(rows, answer["stores"], on), *below)


def _moving(answer: Mapping[str, Any]) -> list[str]:
    """How fast copies come on, and when they will be there, as far as that is known; the last to be there first."""
    moving = [
        (row["name"] or row["id"], store, copy_of)
        for row in answer["images"]
        for store, copy_of in row["copies"].items()
        if copy_of["state"] == CopyState.COPYING and copy_of["rate"]
    ]
    moving.sort(key=lambda entry: entry[2]["eta"] or 0, reverse=True)
    lines = [f"{name} at {store}: {_pace(copy_of)}" for name, store, copy_of in moving[:MOVING]]
    return [*lines, f"... and {len(moving) - MOVING} more copies on their way"] if len(moving) > MOVING else lines


def _pace(copy_of: Mapping[str, Any]) -> str:
    come = f"{size(copy_of['bytes_done'])} of {size(copy_of['bytes_total'])}, {size(copy_of['rate'])}/s"
    return come if copy_of["eta"] is None else f"{come}, {seconds(copy_of['eta'])} to go"


def _verified(answer: Mapping[str, Any]) -> Iterator[str]:
    """When the copies of the image that somebody asked for were last found sound."""
    for row in answer["images"]:
        for store, copy_of in row["copies"].items():
            if copy_of["verified_at"]:
                yield f"{row['name'] or row['id']} at {store}: verified {local_time(copy_of['verified_at'])}"


def _counts(answer: Mapping[str, Any], health: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    states = [CopyState(copy["state"]) for row in answer["images"] for copy in row["copies"].values()]
    for state in TOLD:
        if number := states.count(state):
            copies = "copy" if number == 1 else "copies"
            lines.append((f"{number} {copies} {state}", "bold red" if state.alarming else "yellow"))
    if not answer["images"]:
        lines.append(("no policy matches any image, and nobody has asked for a copy; --all shows all images", "yellow"))
    if lines or any(problem["bad"] for problem in health["problems"]):
        return lines
    scope = " for these images" if answer.get("next_marker") else ""
    return [(f"all wanted copies are there{scope}", "green")]


def _reasons(answer: Mapping[str, Any]) -> list[str]:
    """A line for what is the matter with a copy; one for all the copies at a store that have the same."""
    told: dict[tuple[CopyState, str, str], list[str]] = {}
    for row in answer["images"]:
        for store, copy_of in row["copies"].items():
            state = CopyState(copy_of["state"])
            if copy_of["reason"] and state in TOLD:
                told.setdefault((state, store, _reason(copy_of)), []).append(row["name"] or row["id"])
    return [
        f"{names[0] if len(names) == 1 else f'{len(names)} images'} at {store}: {reason}"
        for state in TOLD
        for (of, store, reason), names in told.items()
        if of is state
    ]


def _reason(copy_of: Mapping[str, Any]) -> str:
    return "; ".join(_clauses(copy_of)) + (f" -> {copy_of['remedy']}" if copy_of["remedy"] else "")


def _clauses(copy_of: Mapping[str, Any]) -> Iterator[str]:
    """What is the matter, since when or until when, and what happens next."""
    yield copy_of["reason"]
    if copy_of["state"] == CopyState.STALLED and copy_of["since"]:
        yield f"it last got on at {local_time(copy_of['since'])}"
    if copy_of["until"]:
        yield f"until {local_time(copy_of['until'])}"
    if copy_of["next"]:
        yield copy_of["next"]
    if copy_of["next_try"]:
        yield f"attempt {copy_of['attempts'] + 1} at {local_time(copy_of['next_try'])}"


def _values(answer: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [
        (row["id"], *(f"{store}={row['copies'][store]['state']}" for store in answer["stores"]))
        for row in answer["images"]
    ]
