"""`verify`: compare copies with their image, without moving the data."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from edgesync.cli.completing import IMAGE, STORE
from edgesync.cli.context import Context, caller, pass_context
from edgesync.cli.jobs import Job, follow, show_jobs, timeout_option, verdict
from edgesync.cli.output import format_option


@click.command()
@click.argument("image", type=IMAGE, required=False)
@click.option("--all", "everything", is_flag=True, help="All images; those first that were verified longest ago.")
@click.option("--store", "stores", type=STORE, multiple=True, help="Only the copy in this store; may be given again.")
@click.option("--deep", is_flag=True, help="Also read the data at the hub again, and hash them: os_hash_value.")
@click.option("--repair", is_flag=True, help="Mend what is found broken; clones of a damaged copy are never broken.")
@click.option("--wait", is_flag=True, help="End when all were compared, and mended where asked for; exit 1 for damage.")
@timeout_option
@format_option
@pass_context
def verify(
    context: Context,
    image: str | None,
    everything: bool,
    stores: tuple[str, ...],
    deep: bool,
    repair: bool,
    wait: bool,
    timeout: float,
    form: str,
) -> int:
    """Compare the copies of IMAGE (id or name) with it: Glance's list, RBD's image, and the data.

    The data are compared by digests that the sites' OSDs compute, so that next to nothing crosses the lines.

    \b
    Example: edgesync verify rhel-9.4 --wait
             edgesync verify rhel-9.4 --store dcn0 --repair --wait
             edgesync verify --all --deep
    """
    if (image is not None) == everything:
        raise click.UsageError("give either an image or --all")
    body = {
        "image": image,
        "all": everything,
        "stores": stores,
        "deep": deep,
        "repair": repair,
        "requested_by": caller(),
    }
    jobs = asyncio.run(_verify(context, body, timeout if wait else None))
    show_jobs(jobs, jobs if everything else jobs[0], form)
    return verdict(jobs, awaited=wait)


async def _verify(context: Context, body: Mapping[str, Any], limit: float | None) -> list[Job]:
    """The jobs, followed to their end if there is a limit of time."""
    async with context.daemon() as daemon:
        answer = await daemon.post("/v1/verifications", body)
        jobs = list(answer["jobs"]) if body["all"] else [answer]
        if body["all"] and answer["left"]:
            click.echo(f"{answer['left']} more images have copies: ask again when these are done", err=True)
        return await follow(daemon, jobs, limit=limit) if limit is not None and jobs else jobs
