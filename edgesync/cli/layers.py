"""`layers`, `clone`, `flatten`: copy-on-write at a site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click
from rich.console import Group, RenderableType
from rich.text import Text

from edgesync.cli.completing import IMAGE, STORE
from edgesync.cli.context import FAILED, Context, caller, pass_context
from edgesync.cli.jobs import timeout_option
from edgesync.cli.output import complain, emit, format_option, table_of
from edgesync.cli.progress import Transfer, meter
from edgesync.clients.daemon_api import DaemonApi
from edgesync.expose.figures import size

COLUMNS = ("Image", "Name", "Depth", "Size", "Own", "Shared", "Remark")
# Seconds between two looks.
REFRESH = 1.0
_REMARKS = {"image": "", "disk": "disk", "trash": "in RBD's trash: what is on top needs it still"}

Node = Mapping[str, Any]


@click.command()
@click.option("--store", type=STORE, help="Only this site.")
@format_option
@pass_context
def layers(context: Context, store: str | None, form: str) -> None:
    """Show what lies on what at each site: images, copies layered on them, disks cloned from them.

    Own is what an image stores itself, shared what it shows of the one that it is indented under.

    \b
    Example: edgesync layers --store dcn0
    """
    sites = asyncio.run(context.ask("/v1/layers", {"store": store} if store else None))["sites"]
    nodes = [(site["store"], node) for site in sites for node in _walk(site["layers"])]
    emit(sites, _screen(sites), [(name, f"{node['pool']}/{node['name']}", node["depth"]) for name, node in nodes], form)


@click.command()
@click.argument("image", type=IMAGE)
@click.option("--store", type=STORE, required=True, help="The site.")
@click.option("--pool", required=True, help="Where the disk is made: vms, volumes.")
@click.option("--name", required=True, help="Of the disk.")
@format_option
@pass_context
def clone(context: Context, image: str, store: str, pool: str, name: str, form: str) -> None:
    """Make a disk on top of the copy of IMAGE (id or name) at a site: at once, and without copying data.

    Refused where the copy is not whole, or the name taken. Objects are as large as those of Nova's disks, also
    on top of a layered copy, whose own are small.

    \b
    Example: edgesync clone rhel-9.2 --store dcn0 --pool vms --name rescue_disk
    """
    order = {"pool": pool, "name": name, "requested_by": caller()}
    made = asyncio.run(_post(context, f"{_copy(image, store)}/clones", order))
    emit(made, Text(f"{made['disk']} at {store} is a clone of the copy of {image}"), [(made["disk"],)], form)


@click.command()
@click.argument("image", type=IMAGE)
@click.option("--store", type=STORE, required=True, help="The site.")
@click.option("--wait", is_flag=True, help="End when the copy depends on no other.")
@timeout_option
@format_option
@pass_context
def flatten(context: Context, image: str, store: str, wait: bool, timeout: float, form: str) -> int:
    """Make the copy of IMAGE (id or name) at a site independent of the one that it is layered on.

    The site's own manager does it, and nothing crosses the line. It takes as much room as a full copy.

    \b
    Example: edgesync flatten rhel-9.2 --store dcn0 --wait
    """
    found = asyncio.run(_flatten(context, image, store, limit=timeout if wait else None))
    emit(found, Text(_sentence(found)), [(found["image"], found["store"], found["done"])], form)
    if wait and not found["done"]:
        complain("time is up, or nobody flattens it any more", f"edgesync layers --store {store} shows how far it is")
        return FAILED
    return 0


def _screen(sites: Sequence[Node]) -> RenderableType:
    parts: list[RenderableType] = []
    for site in sites:
        parts.append(Text(site["store"], style="bold"))
        if site["trouble"]:
            told = f"{site['trouble']} -> {site['remedy']}" if site["remedy"] else site["trouble"]
            parts.append(Text(told, style="yellow"))
        parts.append(table_of(COLUMNS, [_row(node) for node in _walk(site["layers"])]))
    return Group(*parts)


def _walk(nodes: Sequence[Node]) -> Iterator[Node]:
    """Each before what is on top of it."""
    for node in nodes:
        yield node
        yield from _walk(node["layers"])


def _row(node: Node) -> tuple[object, ...]:
    label = node["name"] if node["kind"] != "disk" else f"{node['pool']}/{node['name']}"
    sizes = (size(node[key]) for key in ("size", "own", "shared"))
    return ("  " * node["depth"] + label, node["image_name"], node["depth"], *sizes, _remark(node))


def _remark(node: Node) -> str:
    remarks = [_REMARKS[node["kind"]]]
    if task := node["flattening"]:
        remarks.append(f"being flattened: {_state(task)}")
    if not node["complete"]:
        remarks.append("more may be on top of it, in pools that edgesync may not look into")
    return "; ".join(filter(None, remarks))


def _state(task: Node) -> str:
    state = f"{task['progress']:.0%}" if task["running"] else "it waits for its turn"
    return f"{state} ({task['trouble']})" if task["trouble"] else state


def _sentence(found: Node) -> str:
    where = f"the copy of {found['image']} at {found['store']}"
    if found["done"]:
        return f"{where} depends on no other"
    doing = _state(found["flattening"]) if found["flattening"] else found["trouble"] or "nobody flattens it just now"
    return f"{where} is still on top of {found['parent']}: {doing}"


async def _flatten(context: Context, image: str, store: str, *, limit: float | None) -> Node:
    path = f"{_copy(image, store)}/flatten"
    async with context.daemon() as daemon:
        found = await daemon.post(path, {"requested_by": caller()})
        return found if limit is None else await _follow(daemon, path, found, limit=limit)


async def _follow(daemon: DaemonApi, path: str, found: Node, *, limit: float) -> Node:
    """Show how it comes on until it is done, time is up, or nobody does it any more."""
    deadline = time.monotonic() + limit
    with meter() as shown:
        while True:
            shown.show([_transfer(found)])
            idle = found["flattening"] is None and not found["trouble"]
            if found["done"] or idle or time.monotonic() > deadline:
                return found
            await asyncio.sleep(REFRESH)
            found = await daemon.get(path)


def _transfer(found: Node) -> Transfer:
    task = found["flattening"]
    return Transfer(
        label=f"{found['image']} at {found['store']}",
        # The manager tells a share.
        done=round(found["size"] * task["progress"]) if task else 0,
        total=found["size"],
        waiting="" if found["done"] or (task and task["running"]) else "the manager has others to flatten first",
        outcome="flattened" if found["done"] else "",
        succeeded=found["done"],
    )


async def _post(context: Context, path: str, order: Mapping[str, Any]) -> dict[str, Any]:
    async with context.daemon() as daemon:
        return await daemon.post(path, order)


def _copy(image: str, store: str) -> str:
    return f"/v1/images/{quote(image, safe='')}/copies/{quote(store, safe='')}"
