"""`run`, `once` and `plan`: the commands that talk to Glance themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click

from edgesync.cli.context import FAILED, INTERRUPTED, Context, pass_context
from edgesync.cli.output import complain, emit, format_option, size, table_of
from edgesync.cli.progress import Transfer, meter
from edgesync.daemon import service
from edgesync.daemon.compose import Daemon
from edgesync.daemon.service import Ending, Outcome
from edgesync.domain.copy import Progress
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.expose.matrix import copy_view
from edgesync.expose.picture import Picture

# Seconds between two looks at the progress.
REFRESH = 0.5


@click.command()
@pass_context
def run(context: Context) -> None:
    """Be the daemon: keep every image where its policies want it, until SIGTERM.

    \b
    Example: edgesync --config /etc/edgesync/edgesync.yaml run
    """
    asyncio.run(service.run(context.settings_for_work()))


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
    rows = list(_plan_rows(picture))
    emit(
        [asdict(row) for row in rows],
        table_of(
            ("Action", "Image", "Id", "Stores", "Bytes", "Why"),
            [(row.action, row.name, row.image, ", ".join(row.stores), size(row.bytes), row.why) for row in rows],
        ),
        [(row.action, row.image, ",".join(row.stores), row.bytes) for row in rows],
        form,
    )
    if form == "table":
        click.echo(_summary(rows))


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRow:
    """One line of a plan."""

    action: str
    image: ImageId
    name: str
    stores: tuple[StoreId, ...]
    # Bytes to be copied, over all stores.
    bytes: int
    why: str


def _plan_rows(picture: Picture) -> Iterator[PlanRow]:
    for action in picture.plan.starts:
        yield _row(picture, "copy", action.image, action.stores, action.why)
    for attempt in picture.ledger.attempts:
        yield _row(picture, "running", attempt.image, attempt.stores, f"asked for by job {attempt.job}")
    for waiting in picture.plan.waiting:
        yield _row(picture, "wait", waiting.image, tuple(sorted(waiting.stores)), f"{waiting.reason}: {waiting.why}")


def _row(picture: Picture, action: str, image_id: ImageId, stores: tuple[StoreId, ...], why: str) -> PlanRow:
    image = picture.world.images.get(image_id)
    return PlanRow(
        action=action,
        image=image_id,
        name=image.name if image else "",
        stores=stores,
        bytes=(image.size or 0) * len(stores) if image else 0,
        why=why,
    )


def _summary(rows: list[PlanRow]) -> str:
    parts = []
    for action, words in (("copy", "to make now"), ("running", "being made"), ("wait", "waiting")):
        copies = sum(len(row.stores) for row in rows if row.action == action)
        if copies:
            total = sum(row.bytes for row in rows if row.action == action)
            parts.append(f"{copies} copies {words} ({size(total)})")
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
    if outcome.left_running:
        click.echo(
            f"left running in Glance: {outcome.left_running}; the next `edgesync once` or `run` follows", err=True
        )
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
