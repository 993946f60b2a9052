"""All images of a store's pool, each looked at within a deadline of its own, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from edgesync.clients.ceph_calls import Calls
from edgesync.domain.layers import Layer
from edgesync.errors import NotFoundError, PermanentError

if TYPE_CHECKING:
    from edgesync.clients.rbd_blocks import RbdBlocks

# Of the store's threads: copies under way need the others.
AT_ONCE = 6
# Disks that are looked at: thousands of instances may have been booted from one image.
MOST_DISKS = 300


async def layers_of(calls: Calls[RbdBlocks], *, measured: bool) -> tuple[Layer, ...]:
    """Those in the pool, then the disks. What goes meanwhile is left out."""
    names = await calls.run("list the RBD images", lambda half: [f"{half.pool}/{name}" for name in half.names()])
    images = await _each(calls, names, measured=measured)
    here = {layer.spec for layer in images}
    disks = sorted({clone for layer in images for clone in layer.clones or () if clone not in here})
    found = [*images, *await _each(calls, disks[:MOST_DISKS], measured=measured)]
    return tuple(sorted(found, key=lambda layer: layer.spec))


async def _each(calls: Calls[RbdBlocks], specs: Iterable[str], *, measured: bool) -> list[Layer]:
    queue = iter(specs)
    found: list[Layer] = []

    async def work() -> None:
        for spec in queue:
            with suppress(NotFoundError):
                found.append(await _look(calls, spec, measured=measured))

    workers = [asyncio.create_task(work()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return found


async def _look(calls: Calls[RbdBlocks], spec: str, *, measured: bool) -> Layer:
    what = f"look at RBD image {spec}"
    try:
        return await calls.run(what, lambda half: half.layer(spec, clones=True, measured=measured))
    except NotFoundError:
        raise
    except PermanentError:
        return await calls.run(what, lambda half: half.layer(spec, clones=False, measured=measured))
