"""All images of a store's pool, each looked at within a deadline of its own, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesync.clients.ceph_calls import Calls
from edgesync.clients.few_at_once import for_each
from edgesync.domain.layers import Layer, PoolLayers
from edgesync.errors import EdgesyncError, ForbiddenError, NotFoundError, UnreachableError

if TYPE_CHECKING:
    from edgesync.clients.rbd_blocks import RbdBlocks

# Of the store's threads: copies under way need the others.
AT_ONCE = 6
# Disks that are looked at: thousands of instances may have been booted from one image.
MOST_DISKS = 300
# Images without an answer before it is the site that does not answer.
MOST_SILENT = 3


async def layers_of(calls: Calls[RbdBlocks], *, measured: bool) -> PoolLayers:
    """Those in the pool, then the disks. What goes meanwhile is left out."""
    looking = _Looking(calls, measured=measured)
    await for_each(await _names(calls), looking.look, at_once=AT_ONCE)
    if looking.gone:
        # The list has them still: they can't be opened.
        looking.unseen |= {spec: looking.gone[spec] for spec in await _names(calls) if spec in looking.gone}
    here = {layer.spec for layer in looking.found} | looking.unseen.keys()
    disks = sorted({clone for layer in looking.found for clone in layer.clones or () if clone not in here})
    await for_each(disks[:MOST_DISKS], looking.look, at_once=AT_ONCE)
    return PoolLayers(
        layers=tuple(sorted(looking.found, key=lambda layer: layer.spec)),
        unseen=dict(sorted(looking.unseen.items())),
        left_out=max(0, len(disks) - MOST_DISKS),
    )


async def _names(calls: Calls[RbdBlocks]) -> list[str]:
    return await calls.run("list the RBD images", lambda half: [f"{half.pool}/{name}" for name in half.names()])


class _Looking:
    """One look at everything in the pool."""

    def __init__(self, calls: Calls[RbdBlocks], *, measured: bool) -> None:
        self._calls = calls
        self._measured = measured
        self._silent = 0
        self.found: list[Layer] = []
        # By pool/name, and why.
        self.gone: dict[str, str] = {}
        self.unseen: dict[str, str] = {}

    async def look(self, spec: str) -> None:
        """UnreachableError when the site answers for nothing; what is odd about a single image hides no other."""
        try:
            self.found.append(await self._layer(spec))
        except NotFoundError as error:
            self.gone[spec] = error.message
        except UnreachableError as error:
            self._silent += 1
            if self._silent > MOST_SILENT or not self.found:
                raise
            self.unseen[spec] = error.message
        except EdgesyncError as error:
            self.unseen[spec] = error.message

    async def _layer(self, spec: str) -> Layer:
        what = f"look at RBD image {spec}"
        try:
            return await self._calls.run(what, lambda half: half.layer(spec, clones=True, measured=self._measured))
        except ForbiddenError:
            return await self._calls.run(what, lambda half: half.layer(spec, clones=False, measured=self._measured))
