"""`locations`: where the copies of one image are."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import click

from edgesync.cli.completing import IMAGE
from edgesync.cli.context import Context, pass_context
from edgesync.cli.output import copy_cell, emit, format_option, local_time, table_of

COLUMNS = ("Store", "State", "Verified", "Location")


@click.command()
@click.argument("image", type=IMAGE)
@format_option
@pass_context
def locations(context: Context, image: str, form: str) -> None:
    """Show where the copies of IMAGE (id or name) are: RBD's image and snapshot at each store that Glance lists.

    A location is not known where Glance tells only administrators of the site's Ceph.

    \b
    Example: edgesync locations rhel-9.4
    """
    detail = asyncio.run(context.ask(f"/v1/images/{quote(image, safe='')}"))
    known, copies = detail["locations"], detail["copies"]
    checked = {found["store"]: found["at"] for found in detail["verifications"] if found["sound"]}
    rows = [
        {"store": store, "state": copies[store]["state"], "verified_at": checked.get(store), "location": place or None}
        for store, place in known.items()
    ]
    shown = [
        (
            row["store"],
            copy_cell(copies[row["store"]]),
            local_time(row["verified_at"]) if row["verified_at"] else "-",
            row["location"] or "not known",
        )
        for row in rows
    ]
    emit(rows, table_of(COLUMNS, shown), [(row["store"], row["location"]) for row in rows], form)
