"""`cancel`: stop what has not begun, and what edgesync copies itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

import click

from edgesync.cli.completing import JOB
from edgesync.cli.context import FAILED, Context, caller, pass_context
from edgesync.cli.jobs import Job, each, show_jobs, tell_notes
from edgesync.cli.output import format_option


@click.command()
@click.argument("jobs", type=JOB, metavar="JOB...", nargs=-1, required=True)
@format_option
@pass_context
def cancel(context: Context, jobs: Sequence[str], form: str) -> int:
    """Cancel each JOB: what has not begun, and what edgesync copies itself. What Glance runs already can't be stopped.

    \b
    Example: edgesync cancel 4f2a90c1d7be
    """
    cancelled, failed = asyncio.run(_cancel(context, jobs))
    tell_notes(cancelled)
    if cancelled:
        show_jobs(cancelled, cancelled[0] if len(jobs) == 1 else cancelled, form)
    return FAILED if failed else 0


async def _cancel(context: Context, jobs: Sequence[str]) -> tuple[list[Job], int]:
    async with context.daemon() as daemon:
        body = {"requested_by": caller()}
        return await each(jobs, lambda job: daemon.post(f"/v1/jobs/{quote(job)}/cancel", body), "jobs")
