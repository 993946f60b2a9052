"""`jobs`: what was asked for, and how it stands."""

from __future__ import annotations

import asyncio
from collections import Counter
from urllib.parse import quote

import click

from edgesync.cli.completing import IMAGE, JOB
from edgesync.cli.context import Context, pass_context
from edgesync.cli.jobs import Job, show_jobs, tell_notes
from edgesync.cli.output import emit, format_option, local_time, table_of
from edgesync.domain.job import JobState

COLUMNS = ("Job", "Work", "Image", "State", "Stores", "By", "Since", "Waiting")


@click.command()
@click.argument("job", type=JOB, required=False)
@click.option("--image", type=IMAGE, help="Only of this image (id or name).")
@click.option("--state", type=click.Choice([state.value for state in JobState]), help="Only those.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many jobs.")
@format_option
@pass_context
def jobs(context: Context, job: str | None, image: str | None, state: str | None, limit: int, form: str) -> None:
    """Show what was asked for and how it stands, newest first; or one JOB, store by store.

    \b
    Example: edgesync jobs --state running
             edgesync jobs 4f2a90c1d7be
    """
    if job is not None:
        if image or state:
            raise click.UsageError("give either a job, or --image and --state")
        found = asyncio.run(context.ask(f"/v1/jobs/{quote(job, safe='')}"))
        tell_notes([found])
        show_jobs([found], found, form)
        return
    params = {"limit": str(limit)}
    if image:
        params["image"] = asyncio.run(context.image_id(image))
    if state:
        params["state"] = state
    found_jobs = asyncio.run(context.ask("/v1/jobs", params))["jobs"]
    rows = [_row(entry) for entry in found_jobs]
    emit(found_jobs, table_of(COLUMNS, rows), [(entry["id"], entry["state"]) for entry in found_jobs], form)


def _row(job: Job) -> tuple[object, ...]:
    results = Counter(row["result"] for row in job["stores"])
    return (
        job["id"],
        job["work"],
        job["image_name"] or job["image"],
        job["state"],
        ", ".join(f"{number} {result}" for result, number in results.items()),
        job["requested_by"],
        local_time(job["created_at"]),
        job["waiting"],
    )
