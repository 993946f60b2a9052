"""`copy`: a person's request for copies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import click

from edgesync.cli.completing import IMAGE, STORES
from edgesync.cli.context import FAILED, Context, caller, names, pass_context
from edgesync.cli.jobs import Job, each, follow, show_jobs, tell_notes, timeout_option, verdict, would_be
from edgesync.cli.output import complain, emit, format_option, table_of
from edgesync.domain.job import EngineChoice


@click.command()
@click.argument("images", type=IMAGE, metavar="[IMAGE]...", nargs=-1)
@click.option("--policy", help="Instead of images: each one that this policy matches and that misses a copy.")
@click.option(
    "--stores",
    "named",
    type=STORES,
    help="Store ids, separated by commas. One that has the image makes the request fail.",
)
@click.option("--all-stores", is_flag=True, help="Every writable store that does not have the image yet.")
@click.option("--no-allow-failure", is_flag=True, help="All of the stores, or none of them.")
@click.option(
    "--engine",
    type=click.Choice([choice.value for choice in EngineChoice]),
    help="Who moves the data: edgesync itself (rbd), or Glance (copy-image). Default: as the policy says, or auto.",
)
@click.option("--urgent", is_flag=True, help="Before everything else, other persons' jobs included.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done, and why something would wait.")
@click.option("--wait", is_flag=True, help="Show the progress, and end when the copies have.")
@timeout_option
@format_option
@pass_context
def copy(
    context: Context,
    images: Sequence[str],
    policy: str | None,
    named: str | None,
    all_stores: bool,
    no_allow_failure: bool,
    engine: str | None,
    urgent: bool,
    dry_run: bool,
    wait: bool,
    timeout: float,
    form: str,
) -> int:
    """Copy each IMAGE (id or name) to other stores.

    \b
    Example: edgesync copy rhel-9.4 --all-stores --wait
             edgesync copy rhel-9.4 ubuntu-24.04 --stores dcn0,dcn1
             edgesync copy --policy golden --urgent --dry-run
             edgesync copy rhel-9.4 --stores dcn0 --engine copy-image
    """
    stores = names(named)
    if bool(images) == (policy is not None):
        raise click.UsageError("give either one or more images or --policy NAME")
    if policy is not None and (stores or all_stores):
        raise click.UsageError("a policy says itself which stores it means: leave --stores and --all-stores out")
    if images and bool(stores) == all_stores:
        raise click.UsageError("give either --stores A,B or --all-stores")
    body = {
        "stores": stores,
        "all_stores": all_stores,
        "allow_failure": not no_allow_failure,
        "urgent": urgent,
        "engine": engine,
        "dry_run": dry_run,
        "requested_by": caller(),
    }
    limit = timeout if wait and not dry_run else None
    jobs, failed = asyncio.run(_copy(context, images, policy, body, limit))
    tell_notes(jobs)
    single = len(images) == 1 and len(jobs) == 1
    if dry_run:
        _show_would_be(jobs, jobs[0] if single else jobs, form)
    elif jobs or not failed:
        show_jobs(jobs, jobs[0] if single else jobs, form)
    return max(verdict(jobs, awaited=limit is not None), FAILED if failed else 0)


async def _copy(
    context: Context, images: Sequence[str], policy: str | None, body: Mapping[str, Any], limit: float | None
) -> tuple[list[Job], int]:
    """The jobs, followed to their end if there is a limit of time, and how many requests were refused."""
    async with context.daemon() as daemon:
        if policy is not None:
            jobs, failed = _told(policy, await daemon.post("/v1/jobs", {**body, "policy": policy}))
        else:
            jobs, failed = await each(
                images, lambda image: daemon.post("/v1/jobs", {**body, "image": image}), "requests"
            )
        return (await follow(daemon, jobs, limit=limit) if limit is not None and jobs else jobs), failed


def _told(policy: str, answer: Mapping[str, Any]) -> tuple[list[Job], int]:
    """What a policy's images have come to."""
    jobs, refused = list(answer["jobs"]), answer["refused"]
    for entry in refused:
        complain(f"{entry['image_name'] or entry['image']}: {entry['detail']}", entry["remedy"])
    if refused:
        complain(f"{len(refused)} of {len(refused) + len(jobs)} requests failed")
    elif not jobs:
        click.echo(f"nothing to copy: what policy {policy} wants is there, or asked for already", err=True)
    if answer["left"]:
        click.echo(f"{answer['left']} more images miss copies: ask again when these are done", err=True)
    return jobs, len(refused)


def _show_would_be(jobs: Sequence[Job], data: object, form: str) -> None:
    rows = [
        (job["image_name"] or job["image"], job["image"], row["store"], *would_be(row))
        for job in jobs
        for row in job["stores"]
    ]
    values = [(job["image"], row["store"], row["bytes_total"]) for job in jobs for row in job["stores"]]
    emit(data, table_of(("Image", "Id", "Store", "Bytes", "What"), rows), values, form)
