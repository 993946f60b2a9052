"""`copy`: a person's request for copies of one image."""

from __future__ import annotations

import asyncio
import getpass
import os
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
from rich.console import Group
from rich.text import Text

from edgesync.cli.context import FAILED, Context, pass_context
from edgesync.cli.output import complain, emit, format_option, table_of
from edgesync.cli.progress import Transfer, meter
from edgesync.clients.daemon_api import DaemonApi
from edgesync.domain.job import CopyResult, JobState
from edgesync.errors import TransientError

# Seconds between two looks.
REFRESH = 1.0
# Seconds that a daemon may be away while somebody waits for a job.
RESTART = 60.0


@click.command()
@click.argument("image")
@click.option(
    "--stores", "named", help="Store ids, separated by commas. One that has the image makes the request fail."
)
@click.option("--all-stores", is_flag=True, help="Every store that does not have the image yet.")
@click.option("--no-allow-failure", is_flag=True, help="All of the stores, or none of them.")
@click.option("--wait", is_flag=True, help="Show the progress, and end when the copies have.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=7200.0,
    show_default=True,
    help="With --wait: stop waiting after so many seconds.",
)
@format_option
@pass_context
def copy(
    context: Context,
    image: str,
    named: str | None,
    all_stores: bool,
    no_allow_failure: bool,
    wait: bool,
    timeout: float,
    form: str,
) -> int:
    """Copy IMAGE (id or name) to other stores.

    \b
    Example: edgesync copy rhel-9.4 --all-stores --wait
             edgesync copy 2bd882e7-1da0-4078-97fe-f1bb81f61b00 --stores dcn0,dcn1
    """
    chosen = [store.strip() for store in (named or "").split(",") if store.strip()]
    if bool(chosen) == all_stores:
        raise click.UsageError("give either --stores A,B or --all-stores")
    body = {
        "image": image,
        "stores": chosen,
        "all_stores": all_stores,
        "allow_failure": not no_allow_failure,
        "requested_by": _caller(),
    }
    job = asyncio.run(_copy(context, body, wait=wait, limit=timeout))
    rows = job["stores"]
    title = Text(f"job {job['id']}: {job['image_name'] or job['image']}, {job['state']}")
    shown = [(row["store"], row["result"], row["reason"]) for row in rows]
    emit(job, Group(title, table_of(("Store", "Result", "Reason"), shown)), [(job["id"],)], form)
    return _verdict(job, awaited=wait)


def _caller() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container, the user may have no name.
        return f"uid {os.getuid()}"


async def _copy(context: Context, body: Mapping[str, Any], *, wait: bool, limit: float) -> dict[str, Any]:
    async with context.daemon() as daemon:
        job = await daemon.post("/v1/jobs", body)
        if not wait:
            return job
        deadline = time.monotonic() + limit
        try:
            with meter() as shown:
                while True:
                    shown.show(_transfers(job))
                    if JobState(job["state"]).ended or time.monotonic() > deadline:
                        return job
                    await asyncio.sleep(REFRESH)
                    job = await _look(daemon, job["id"])
        except asyncio.CancelledError:
            complain(f"job {job['id']} goes on in the daemon", "edgesync status shows it")
            raise


async def _look(daemon: DaemonApi, job: str) -> dict[str, Any]:
    """The job as it stands; a daemon that is being restarted is waited for."""
    away = time.monotonic() + RESTART
    while True:
        try:
            return await daemon.get(f"/v1/jobs/{job}")
        except TransientError as trouble:
            if time.monotonic() > away:
                remedy = f"job {job} is in its journal and goes on when it runs again; {trouble.remedy}"
                raise TransientError(trouble.message, remedy=remedy) from trouble
            await asyncio.sleep(REFRESH)


def _transfers(job: Mapping[str, Any]) -> list[Transfer]:
    name = job["image_name"] or job["image"]
    return [_transfer(f"{name} -> {row['store']}", row, job["waiting"]) for row in job["stores"]]


def _transfer(label: str, row: Mapping[str, Any], waiting: str) -> Transfer:
    ended = row["result"] != CopyResult.PENDING
    return Transfer(
        label=label,
        done=row["bytes_done"] or 0,
        total=row["bytes_total"] or 0,
        rate=row["rate"] or 0.0,
        eta=row["eta"],
        since=datetime.fromisoformat(row["since"]) if row["since"] else None,
        waiting="" if ended or row["since"] else waiting or "it starts next",
        outcome=row["result"] if ended else "",
        succeeded=row["result"] == CopyResult.COPIED,
    )


def _verdict(job: Mapping[str, Any], *, awaited: bool) -> int:
    """Say what failed or did not end in time; the exit code."""
    if not job["stores"]:
        click.echo("nothing to copy: every store has the image already", err=True)
    failed = [row for row in job["stores"] if row["result"] in {CopyResult.FAILED, CopyResult.REVERTED}]
    if failed:
        complain(f"{len(failed)} of {len(job['stores'])} copies failed", f"edgesync history {job['image']} --failed")
        return FAILED
    if awaited and not JobState(job["state"]).ended:
        complain(f"time is up; job {job['id']} goes on in the daemon", "edgesync status shows it")
        return FAILED
    return 0
