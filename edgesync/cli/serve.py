"""`run`, `once` and `plan`: the commands that talk to Glance themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict

import click

from edgesync.cli.context import FAILED, INTERRUPTED, Context, pass_context
from edgesync.cli.output import complain, emit, format_option, local_time, table_of
from edgesync.cli.progress import Transfer, meter
from edgesync.daemon import service
from edgesync.daemon.compose import Daemon
from edgesync.daemon.service import Ending, Outcome
from edgesync.domain.copy import Progress
from edgesync.domain.image import ImageId
from edgesync.domain.job import Work
from edgesync.domain.store import StoreId
from edgesync.expose.figures import size
from edgesync.expose.matrix import copy_view
from edgesync.expose.picture import Picture
from edgesync.expose.planned import PlanRow, plan_rows

# Seconds between two looks at the progress.
REFRESH = 0.5


@click.command()
@pass_context
def run(context: Context) -> None:
    """Be the daemon: keep every image where its policies want it, until SIGTERM.

    \b
    Example: edgesync --config /etc/edgesync/edgesync.yaml run
    """
    asyncio.run(service.run(context.settings_for_work(), context.settings))


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=7200.0,
    show_default=True,
    help="Give up after so many seconds.",
)
@pass_context
def once(context: Context, timeout: float) -> int:
    """Make every copy that is wanted and can be made now, then end.

    Each copy gets one try, also one that failed lately. Exit code 1 when a wanted copy is still missing.

    \b
    Example: edgesync once --timeout 3600
    """
    settings = context.settings_for_work(quiet=True)
    outcome = asyncio.run(service.once(settings, deadline=timeout, watch=_watch))
    return _report(outcome)


@click.command()
@format_option
@pass_context
def plan(context: Context, form: str) -> None:
    """Show what would be done now, and why everything else waits. Changes nothing.

    \b
    Example: edgesync plan -f json
    """
    picture = asyncio.run(service.plan(context.settings_for_work(quiet=True)))
    rows = list(plan_rows(picture))
    emit(
        [asdict(row) for row in rows],
        table_of(
            ("Action", "Image", "Id", "Stores", "Engine", "Bytes", "Why"),
            [
                (row.action, row.name, row.image, ", ".join(row.stores), row.engine, size(row.bytes), _why(row))
                for row in rows
            ],
        ),
        [(row.action, row.image, ",".join(row.stores), row.bytes) for row in rows],
        form,
    )
    if form == "table":
        click.echo(_summary(rows))


def _why(row: PlanRow) -> str:
    told = f"{row.why}; {row.way}" if row.way else row.why
    return f"{told}; until {local_time(row.until)}" if row.until else told


def _summary(rows: list[PlanRow]) -> str:
    parts = []
    for words, actions in (
        ("to make now", {Work.COPY, Work.IMPORT}),
        ("to delete now", {Work.REMOVE}),
        ("to mend now", {work for work in Work if work.repairs}),
        ("to verify now", {Work.VERIFY}),
        ("under way", {"running"}),
        ("waiting", {"wait"}),
    ):
        chosen = [row for row in rows if row.action in actions]
        copies = sum(len(row.stores) for row in chosen)
        if copies:
            total = sum(row.bytes for row in chosen)
            parts.append(f"{copies} copies {words}" + (f" ({size(total)})" if total else ""))
    return "; ".join(parts) or "nothing to do: every wanted copy is there"


async def _watch(daemon: Daemon) -> None:
    """Show the copies of this process until cancelled."""
    seen: dict[tuple[ImageId, StoreId], Progress] = {}
    with meter() as shown:
        while True:
            running = daemon.board.entries
            ended = [entry for key, entry in seen.items() if key not in running]
            shown.show([_transfer(daemon, entry, ended=False) for entry in running.values()])
            shown.show([_transfer(daemon, entry, ended=True) for entry in ended])
            seen = dict(running)
            await asyncio.sleep(REFRESH)


def _transfer(daemon: Daemon, entry: Progress, *, ended: bool) -> Transfer:
    picture = daemon.showcase.picture
    image = picture.world.images.get(entry.image) if picture else None
    there = image is not None and entry.store in image.stores
    return Transfer(
        label=f"{image.name if image else entry.image} -> {entry.store}",
        done=entry.bytes_total if there else entry.bytes_done,
        total=entry.bytes_total,
        rate=entry.rate,
        eta=entry.eta,
        since=entry.since,
        outcome=("copied" if there else "failed") if ended or there else "",
        succeeded=there,
    )


def _report(outcome: Outcome) -> int:
    """Say what is there and what is missing; the exit code."""
    if outcome.left.sentence:
        click.echo(f"left: {outcome.left.sentence}", err=True)
    if outcome.ending is Ending.INTERRUPTED:
        complain("interrupted")
        return INTERRUPTED
    picture = outcome.picture
    if picture is None:
        complain("Glance could not be seen in time", "edgesync --log-level debug once tells more")
        return FAILED
    missing = list(_missing(picture))
    wanted = sum(len(want.stores) for want in picture.wants.images.values())
    for name, store, reason in missing:
        click.echo(f"missing: {name} at {store}: {reason}", err=True)
    click.echo(f"{wanted - len(missing)} of {wanted} wanted copies are there ({outcome.ending.value})")
    return FAILED if missing else 0


def _missing(picture: Picture) -> Iterator[tuple[str, StoreId, str]]:
    for image_id, want in picture.wants.gaps.items():
        image = picture.world.images.get(image_id)
        if image is None:
            continue  # deleted since the last turn
        for store in sorted(want.missing - image.stores):
            copy = copy_view(picture, image, store)
            yield image.name or image.id, store, f"{copy.state}: {copy.reason}"
