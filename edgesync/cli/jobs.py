"""Jobs as a person sees them: watched while they run, listed, and judged in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from edgesync.cli.context import FAILED
from edgesync.cli.output import complain, emit, local_time, table_of
from edgesync.cli.progress import Transfer, meter
from edgesync.clients.daemon_api import DaemonApi
from edgesync.domain.job import CopyResult, JobState, Work
from edgesync.errors import EdgesyncError, TransientError, UnreachableError
from edgesync.expose.figures import size

Job = dict[str, Any]
# Seconds between two looks.
REFRESH = 1.0
# Seconds that a daemon may be away while somebody waits for a job.
RESTART = 60.0
COLUMNS = ("Job", "Image", "Store", "Result", "Reason")

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=7200.0,
    show_default=True,
    help="With --wait: stop waiting after so many seconds.",
)


async def each(items: Sequence[str], act: Callable[[str], Awaitable[Job]], what: str) -> tuple[list[Job], int]:
    """Do it for every item; what was done, and how many failed, each of which has been told.

    Without a daemon the rest is not tried.
    """
    done: list[Job] = []
    failed = 0
    for item in items:
        try:
            done.append(await act(item))
        except EdgesyncError as error:
            failed += 1
            complain(error.message, error.remedy)
            if isinstance(error, UnreachableError):
                failed = len(items) - len(done)
                break
    if failed and len(items) > 1:
        complain(f"{failed} of {len(items)} {what} failed")
    return done, failed


async def follow(daemon: DaemonApi, jobs: Sequence[Job], *, limit: float) -> list[Job]:
    """Show how they come on until all have ended, or time is up."""
    deadline = time.monotonic() + limit
    now = list(jobs)
    try:
        with meter() as shown:
            while True:
                shown.show([transfer for job in now for transfer in _transfers(job)])
                if all(_ended(job) for job in now) or time.monotonic() > deadline:
                    return now
                await asyncio.sleep(REFRESH)
                now = [job if _ended(job) else await _look(daemon, job["id"]) for job in now]
    except asyncio.CancelledError:
        for job in now:
            if not _ended(job):
                complain(
                    f"job {job['id']} goes on in the daemon",
                    f"edgesync jobs {job['id']} shows it, edgesync cancel {job['id']} stops what can be stopped",
                )
        raise


def show_jobs(jobs: Sequence[Job], data: object, form: str) -> None:
    """One line for each store of each job; `data` is what JSON and YAML show."""
    rows = [
        (job["id"], job["image_name"] or job["image"], row["store"], row["result"], _remark(row))
        for job in jobs
        for row in job["stores"]
    ]
    emit(data, table_of(COLUMNS, rows), [(job["id"],) for job in jobs], form)


def tell_notes(jobs: Iterable[Job]) -> None:
    """What the daemon added or wants known, each once."""
    for note in dict.fromkeys(note for job in jobs for note in job["notes"]):
        click.echo(f"note: {note}", err=True)


def verdict(jobs: Sequence[Job], *, awaited: bool) -> int:
    """Say what failed or did not end in time; the exit code."""
    for job in jobs:
        if not job["stores"]:
            name = job["image_name"] or job["image"]
            click.echo(f"nothing to copy: every store has {name} already", err=True)
    code = 0
    rows = [(job, row) for job in jobs for row in job["stores"]]
    failed = [job["image"] for job, row in rows if CopyResult(row["result"]).bad]
    if failed:
        told = f"edgesync history {failed[0]} --failed" if len(set(failed)) == 1 else "edgesync history --failed"
        complain(f"{len(failed)} of {len(rows)} {_things(jobs)} failed", told)
        code = FAILED
    if awaited and (cancelled := sum(row["result"] == CopyResult.CANCELLED for _, row in rows)):
        complain(f"{cancelled} of {len(rows)} {_things(jobs)} were cancelled", "edgesync history tells by whom")
        code = FAILED
    going_on = [job["id"] for job in jobs if not _ended(job)]
    if awaited and going_on:
        going = f"job {going_on[0]} goes" if len(going_on) == 1 else f"{len(going_on)} jobs go"
        told = f"edgesync jobs {going_on[0]} shows it" if len(going_on) == 1 else "edgesync jobs shows them"
        complain(f"time is up; {going} on in the daemon", told)
        code = FAILED
    return code


async def _look(daemon: DaemonApi, job: str) -> Job:
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


def _ended(job: Mapping[str, Any]) -> bool:
    return JobState(job["state"]).ended


def _things(jobs: Sequence[Job]) -> str:
    if any(job["work"] == Work.VERIFY for job in jobs):
        return "verifications"
    return "copies" if all(Work(job["work"]).brings for job in jobs) else "removals"


def _transfers(job: Job) -> list[Transfer]:
    name = job["image_name"] or job["image"]
    arrow = "->" if Work(job["work"]).brings else "at"
    return [_transfer(f"{name} {arrow} {row['store']}", row) for row in job["stores"]]


def _transfer(label: str, row: Mapping[str, Any]) -> Transfer:
    ended = row["result"] != CopyResult.PENDING
    begun = row["since"] or row["stalled"]
    return Transfer(
        label=label,
        done=row["bytes_done"] or 0,
        total=row["bytes_total"] or 0,
        rate=row["rate"] or 0.0,
        eta=row["eta"],
        since=datetime.fromisoformat(row["since"]) if row["since"] else None,
        waiting="" if ended or begun else row["waiting"] or "it starts next",
        stalled="" if ended else row["stalled"],
        outcome=row["result"] if ended else "",
        succeeded=CopyResult(row["result"]).good,
    )


def _remark(row: Mapping[str, Any]) -> str:
    """Why a store's result is what it is; of a dry run, what would happen."""
    if row["reason"] or CopyResult(row["result"]) is not CopyResult.PENDING:
        return str(row["reason"])
    until = f", until {local_time(row['until'])}" if row["until"] else ""
    return str(row["stalled"] or f"{row['waiting']}{until}")


def would_be(row: Mapping[str, Any]) -> tuple[str, str]:
    """Of a dry run: how large the copy is, and when it would be made and how."""
    until = f", until {local_time(row['until'])}" if row["until"] else ""
    start = f"would start now; {row['way']}" if row["way"] else "would start now"
    return size(row["bytes_total"]), f"would wait: {row['waiting']}{until}" if row["waiting"] else start
