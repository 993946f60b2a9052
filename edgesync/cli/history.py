"""`history`: what happened."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import click

from edgesync.cli.completing import IMAGE, STORE
from edgesync.cli.context import Context, pass_context
from edgesync.cli.output import emit, format_option, local_time, table_of


@click.command()
@click.argument("image", type=IMAGE, required=False)
@click.option("--store", type=STORE, help="Only this store.")
@click.option("--since", help="Only what happened since: a time like 2026-01-31T12:00, or an age like 90m, 12h, 7d.")
@click.option("--failed", is_flag=True, help="Only failures.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many events.")
@format_option
@pass_context
def history(
    context: Context, image: str | None, store: str | None, since: str | None, failed: bool, limit: int, form: str
) -> None:
    """Show what happened, newest first.

    \b
    Example: edgesync history --failed --since 7d
    """
    params = {"limit": str(limit)}
    if image:
        params["image"] = asyncio.run(context.image_id(image))
    if store:
        params["store"] = store
    if since:
        params["since"] = _since(since).isoformat()
    if failed:
        params["failed"] = "true"
    rows = asyncio.run(context.ask("/v1/history", params))["events"]
    columns = ("at", "kind", "image", "store", "job", "message")
    shown = [tuple(local_time(row[key]) if key == "at" else row[key] for key in columns) for row in rows]
    table = table_of([column.capitalize() for column in columns], shown)
    emit(rows, table, [tuple(row[key] for key in columns) for row in rows], form)


def _since(text: str) -> datetime:
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], text[-1:]
    try:
        if unit in units and number.isdecimal():
            return datetime.now(UTC) - timedelta(**{units[unit]: int(number)})
        # A year at either end of the calendar may have no UTC time.
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            "expected a time like 2026-01-31T12:00 or an age like 12h", param_hint="--since"
        ) from error
