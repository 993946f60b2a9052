"""`pause` and `resume`: leave something alone for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import click

from edgesync.cli.completing import IMAGE, STORE
from edgesync.cli.context import Context, caller, pass_context
from edgesync.cli.output import emit, format_option, local_time, table_of

COLUMNS = ("scope", "image_name", "by", "since", "reason")


def scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a pause covers."""
    for option in (
        click.option("--all", "everything", is_flag=True, help="Everything."),
        click.option("--image", type=IMAGE, help="An image, by id or name; with --store just that copy."),
        click.option("--store", type=STORE, help="A store."),
    ):
        command = option(command)
    return command


@click.command()
@scope_options
@click.option("--reason", default="", help="For those who wonder why.")
@format_option
@pass_context
def pause(context: Context, store: str | None, image: str | None, everything: bool, reason: str, form: str) -> None:
    """Start nothing new for a store, an image, one copy, or at all. What runs goes on to its end.

    Pauses survive restarts; `edgesync status` shows them.

    \b
    Example: edgesync pause --store dcn1 --reason "new switches until Friday"
             edgesync pause --image rhel-9.2 --store dcn0
    """
    scope = _scope(store, image, everything)
    _show(asyncio.run(_pause(context, {**scope, "reason": reason, "requested_by": caller()})), form)


@click.command()
@scope_options
@format_option
@pass_context
def resume(context: Context, store: str | None, image: str | None, everything: bool, form: str) -> None:
    """Lift the pause with exactly this scope.

    \b
    Example: edgesync resume --store dcn1
    """
    scope = _scope(store, image, everything)
    params = {key: "true" if value is True else str(value) for key, value in scope.items()}
    _show(asyncio.run(_resume(context, {**params, "requested_by": caller()})), form)


def _scope(store: str | None, image: str | None, everything: bool) -> dict[str, Any]:
    if everything == bool(store or image):
        raise click.UsageError("name --store S, --image I, or both; or say --all")
    given = {"store": store, "image": image, "all": everything}
    return {key: value for key, value in given.items() if value}


async def _pause(context: Context, body: dict[str, Any]) -> dict[str, Any]:
    async with context.daemon() as daemon:
        return await daemon.post("/v1/pauses", body)


async def _resume(context: Context, params: dict[str, str]) -> dict[str, Any]:
    async with context.daemon() as daemon:
        return await daemon.delete("/v1/pauses", params)


def _show(row: dict[str, Any], form: str) -> None:
    shown = tuple(local_time(row[key]) if key == "since" else row[key] for key in COLUMNS)
    table = table_of([column.replace("_name", "").capitalize() for column in COLUMNS], [shown])
    emit(row, table, [(row["image"] or "-", row["store"] or "-")], form)
