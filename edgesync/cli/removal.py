"""`delete-copy`: take a copy away from a store."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import click

from edgesync.cli.completing import IMAGE, STORE
from edgesync.cli.context import Context, caller, pass_context
from edgesync.cli.jobs import Job, follow, show_jobs, tell_notes, timeout_option, verdict
from edgesync.cli.output import format_option


@click.command("delete-copy")
@click.argument("image", type=IMAGE)
@click.option("--store", type=STORE, required=True, help="The store whose copy is deleted.")
@click.option("--pause", is_flag=True, help="Keep policies from bringing it back, until you resume it.")
@click.option("--wait", is_flag=True, help="End when the copy is gone.")
@timeout_option
@format_option
@pass_context
def delete_copy(context: Context, image: str, store: str, pause: bool, wait: bool, timeout: float, form: str) -> int:
    """Delete the copy of IMAGE (id or name) in one store.

    Never the hub's, the last one, or one with clones on it.

    \b
    Example: edgesync delete-copy rhel-9.2 --store dcn1 --wait
    """
    job = asyncio.run(_delete(context, image, store, pause=pause, limit=timeout if wait else None))
    tell_notes([job])
    show_jobs([job], job, form)
    return verdict([job], awaited=wait)


async def _delete(context: Context, image: str, store: str, *, pause: bool, limit: float | None) -> Job:
    path = f"/v1/images/{quote(image, safe='')}/copies/{quote(store, safe='')}"
    async with context.daemon() as daemon:
        job = await daemon.delete(path, {"pause": str(pause).lower(), "requested_by": caller()})
        if limit is None:
            return job
        # What was told at the start is not told again.
        return {**(await follow(daemon, [job], limit=limit))[0], "notes": job["notes"]}
