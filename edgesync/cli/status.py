"""`status` and `stores`: what is where, and what is wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from edgesync.cli.context import Context, pass_context
from edgesync.cli.output import console, copy_cell, emit, format_option, local_time, size, table_of
from edgesync.clients.daemon_api import DaemonApi
from edgesync.domain.copy import CopyState

# Seconds between two looks.
REFRESH = 1.0
# Rows that one screen asks for.
ROWS = 200


@click.command()
@click.argument("image", required=False)
@click.option("--all", "everything", is_flag=True, help="All images, not only those that policies or jobs concern.")
@click.option("--watch", is_flag=True, help="Refresh until interrupted.")
@format_option
@pass_context
def status(context: Context, image: str | None, everything: bool, watch: bool, form: str) -> None:
    """Show which image is where: the image x store matrix.

    \b
    Example: edgesync status --watch
             edgesync status rhel-9.4 -f json
    """
    asyncio.run(_status(context, image, everything, watch, form))


@click.command()
@format_option
@pass_context
def stores(context: Context, form: str) -> None:
    """Show the stores: role, copies by state, imports running.

    \b
    Example: edgesync stores
    """
    rows = asyncio.run(context.ask("/v1/stores"))["stores"]
    shown = [
        (row["id"], row["role"], row["type"], _counts(row["copies"]), f"{row['running']} of {row['max_concurrent']}")
        for row in rows
    ]
    table = table_of(("Store", "Role", "Type", "Copies", "Imports"), shown)
    emit(rows, table, [(row["id"], row["role"], row["running"]) for row in rows], form)


async def _status(context: Context, image: str | None, everything: bool, watch: bool, form: str) -> None:
    async with context.daemon() as daemon:
        answer, health = await _matrix(daemon, image, everything)
        if not watch:
            emit(answer["images"], _screen(answer, health), _values(answer), form)
        elif form == "table" and sys.stdout.isatty():
            with Live(_screen(answer, health), console=console(), auto_refresh=False) as live:
                while True:
                    await asyncio.sleep(REFRESH)
                    live.update(_screen(*await _matrix(daemon, image, everything)), refresh=True)
        else:
            while True:
                emit(answer["images"], _screen(answer, health), _values(answer), form)
                await asyncio.sleep(REFRESH)
                answer, health = await _matrix(daemon, image, everything)


async def _matrix(daemon: DaemonApi, image: str | None, everything: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    params = {"limit": str(ROWS), "all": str(everything).lower()} | ({"image": image} if image else {})
    return await daemon.get("/v1/images", params), await daemon.get("/v1/health")


def _screen(answer: Mapping[str, Any], health: Mapping[str, Any]) -> RenderableType:
    """What is wrong first, then the matrix, then what the failed copies need."""
    store_ids = answer["stores"]
    rows = [
        (row["name"], row["id"], size(row["size"]), *(copy_cell(row["copies"][store]) for store in store_ids))
        for row in answer["images"]
    ]
    parts: list[RenderableType] = [Text(line, style=style) for line, style in _headlines(answer, health)]
    parts.append(table_of(("Image", "Id", "Size", *store_ids), rows))
    if answer.get("next_marker"):
        parts.append(Text(f"... and more than {len(rows)} images; name one, or use -f json with the API's marker"))
    parts.extend(Text(line, style="yellow") for line in _reasons(answer))
    return Group(*parts)


def _headlines(answer: Mapping[str, Any], health: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    if health["trouble"]:
        lines.append((f"trouble: {health['trouble']} -> {health['remedy']}", "bold red"))
    states = [CopyState(copy["state"]) for row in answer["images"] for copy in row["copies"].values()]
    for state in (CopyState.FAILED, CopyState.WAITING, CopyState.COPYING):
        if number := states.count(state):
            copies = "copy" if number == 1 else "copies"
            lines.append((f"{number} {copies} {state}", "bold red" if state is CopyState.FAILED else "yellow"))
    if not answer["images"]:
        lines.append(("no policy matches any image, and nobody has asked for a copy; --all shows all images", "yellow"))
    scope = " for these images" if answer.get("next_marker") else ""
    return lines or [(f"all wanted copies are there{scope}", "green")]


def _reasons(answer: Mapping[str, Any]) -> list[str]:
    lines = []
    for row in answer["images"]:
        for store, copy_of in row["copies"].items():
            if copy_of["reason"] and copy_of["state"] in {CopyState.FAILED, CopyState.WAITING}:
                line = f"{row['name'] or row['id']} at {store}: {copy_of['reason']}"
                if copy_of.get("next_try"):
                    line += f"; attempt {copy_of['attempts'] + 1} at {local_time(copy_of['next_try'])}"
                lines.append(f"{line} -> {copy_of['remedy']}" if copy_of["remedy"] else line)
    return lines


def _values(answer: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [
        (row["id"], *(f"{store}={row['copies'][store]['state']}" for store in answer["stores"]))
        for row in answer["images"]
    ]


def _counts(copies: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in copies.items()) or "none"
