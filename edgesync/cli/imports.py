"""`import`: bring a new image in, from a URI or a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edgesync.cli.completing import STORE, STORES
from edgesync.cli.context import Context, caller, names, pass_context
from edgesync.cli.jobs import Job, follow, show_jobs, tell_notes, timeout_option, verdict
from edgesync.cli.output import complain, format_option
from edgesync.cli.progress import Transfer, meter
from edgesync.clients.daemon_api import DaemonApi
from edgesync.daemon.formats import START, guessed_format
from edgesync.domain.image import Visibility
from edgesync.errors import EdgesyncError, UnreachableError

# Bytes read at a time, and seconds between two words about them.
PIECE = 1 << 20
REFRESH = 0.5


@click.command("import")
@click.argument("uri", required=False)
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="Instead of a URI: a file on this machine.",
)
@click.option("--name", required=True, help="The image's name.")
@click.option(
    "--store",
    type=STORE,
    help="One store; to an edge by way of the hub, unless edge_origin is off.  [default: the hub]",
)
@click.option("--stores", "named", type=STORES, help="Store ids, separated by commas; the hub is always one of them.")
@click.option("--all-stores", is_flag=True, help="Every writable store.")
@click.option("--no-allow-failure", is_flag=True, help="All of the stores, or none of them.")
@click.option("--urgent", is_flag=True, help="Before everything else, other persons' jobs included.")
@click.option("--wait", is_flag=True, help="Show the progress, and end when the image is everywhere.")
@timeout_option
@click.option("--hidden", is_flag=True, help="Leave the image out of lists.")
@click.option("--min-disk", type=click.IntRange(min=0), default=0, help="GiB of disk that a VM needs at least.")
@click.option("--min-ram", type=click.IntRange(min=0), default=0, help="MiB of memory that a VM needs at least.")
@click.option("--property", "properties", multiple=True, metavar="KEY=VALUE", help="A property; any number of them.")
@click.option("--tag", "tags", multiple=True, help="A tag; any number of them.")
@click.option(
    "--visibility",
    type=click.Choice([word.value for word in Visibility]),
    default=Visibility.PRIVATE.value,
    show_default=True,
    help="Who may use it.",
)
@click.option("--disk-format", help="raw, qcow2, iso, ...  [default: by the file's first bytes, or its name]")
@click.option(
    "--container-format", default="bare", show_default=True, help="Glance's word for what is around the disk."
)
@format_option
@pass_context
def import_(
    context: Context,
    /,
    uri: str | None,
    path: Path | None,
    name: str,
    store: str | None,
    named: str | None,
    all_stores: bool,
    no_allow_failure: bool,
    wait: bool,
    timeout: float,
    properties: Sequence[str],
    tags: Sequence[str],
    disk_format: str | None,
    form: str,
    **image: Any,
) -> int:
    """Import a new image from URI, which Glance fetches, or from a file that is sent to it.

    \b
    Example: edgesync import https://images.example/rhel-9.4.raw --name rhel-9.4 --all-stores --wait
             edgesync import --file rhel-9.4.raw --name rhel-9.4 --tag golden --visibility public
    """
    if bool(uri) == (path is not None):
        raise click.UsageError("give either a URI or --file PATH")
    if sum((store is not None, named is not None, all_stores)) > 1:
        raise click.UsageError("give only one of --store, --stores and --all-stores")
    if path is not None and disk_format is None:
        disk_format = _guessed(path)
    body = {
        "uri": uri,
        "file": path is not None,
        "name": name,
        "stores": [store] if store is not None else names(named),
        "all_stores": all_stores,
        "allow_failure": not no_allow_failure,
        "properties": _properties(properties),
        "tags": list(tags),
        "disk_format": disk_format,
        "requested_by": caller(),
        **image,
    }
    job = asyncio.run(_import(context, body, path, timeout if wait else None))
    show_jobs([job], job, form)
    return verdict([job], awaited=wait)


async def _import(context: Context, body: dict[str, Any], path: Path | None, limit: float | None) -> Job:
    async with context.daemon() as daemon:
        job = await daemon.post("/v1/imports", body)
        tell_notes([job])
        if path is not None:
            job = await _send(daemon, job, path)
        return job if limit is None else (await follow(daemon, [job], limit=limit))[0]


async def _send(daemon: DaemonApi, job: Job, path: Path) -> Job:
    """Send the file; a job whose data doesn't arrive is cancelled."""
    try:
        return await daemon.send(f"/v1/jobs/{job['id']}/data", _pieces(path, f"{path.name} -> staging"))
    except (EdgesyncError, asyncio.CancelledError, OSError):
        await _give_up(daemon, job)
        raise


async def _give_up(daemon: DaemonApi, job: Job) -> None:
    """Cancel the job, and say what is left of it."""
    left = "is over, and its image is deleted again"
    try:
        await daemon.post(f"/v1/jobs/{job['id']}/cancel", {"requested_by": caller()})
    except UnreachableError:
        left = "and its image are cleared away when the daemon runs again"
    except EdgesyncError:
        # It has seen the connection end, and was faster.
        pass
    complain(f"the file was not sent whole; job {job['id']} {left}", f"edgesync history {job['image']}")


async def _pieces(path: Path, label: str) -> AsyncIterator[bytes]:
    """The file, with a bar that tells how far it is."""
    total = (await asyncio.to_thread(path.stat)).st_size
    began, started, told = datetime.now(UTC), time.monotonic(), 0.0
    done = 0
    with meter() as shown, path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
            done += len(piece)
            now = time.monotonic()
            if now - told >= REFRESH:
                told, rate = now, done / max(now - started, 1e-3)
                eta = max(0, total - done) / rate
                shown.show([Transfer(label=label, done=done, total=total, rate=rate, eta=eta, since=began)])
        shown.show([Transfer(label=label, done=done, total=total, since=began, outcome="sent", succeeded=True)])


def _guessed(path: Path) -> str:
    if not path.is_file():
        # What is read of a pipe to guess would be missing in the image.
        raise click.UsageError(f"{path} is no regular file and can be read only once; say its --disk-format")
    with path.open("rb") as file:
        disk_format, notes = guessed_format(path.name, file.read(START))
    for note in notes:
        click.echo(f"note: {note}", err=True)
    return disk_format


def _properties(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for entry in given:
        key, sign, value = entry.partition("=")
        if not key or not sign:
            raise click.BadParameter(f"expected KEY=VALUE, found {entry!r}", param_hint="--property")
        found[key] = value
    return found
