"""What there is of a copy at a site before anything is sent: each site is asked for itself, by few calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import Image
from edgesync.domain.job import Attempt
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.execute.rbd.target import Target
from edgesync.execute.workbench import NotWaitedForError, Workbench

log = structlog.get_logger(__name__)

# By so much Glance's clock may differ from ours.
SKEW = timedelta(minutes=1)


class Leftovers:
    """Of one attempt, whose image was last seen as `image`."""

    def __init__(self, bench: Workbench, blocks: Mapping[StoreId, Blocks], attempt: Attempt, image: Image) -> None:
        self._bench = bench
        self._blocks = blocks
        self._attempt = attempt
        self._image = image

    async def complete(self, target: Target, *, halted: Callable[[], bool]) -> bool:
        """Whether the copy is there, and Glance knows it. If it only lacks that, `target` is told that it has its name.

        An import that may still list it, or forget it, is waited for, unless it is `halted`: what Glance listed counts
        then. NotFoundError when the image is gone. What is wrong with the site shows again when the copy goes on.
        """
        listed = target.store in self._image.stores
        try:
            await target.tidy()
            there = await target.has_name()
            if listed and not there and await target.begun():
                # Glance lists a location without data, and ours is there to be given its name.
                return False
            if not listed and (not there or await self._shared(target)):
                return False
            # Last of all: an import may have come meanwhile.
            image = await self._bench.at_rest(target.image, halted=halted)
        except NotWaitedForError:
            return listed
        except NotFoundError:
            raise
        except EdgesyncError as trouble:
            log.warning("cannot look for a finished copy", store=target.store, why=trouble.message)
            return listed
        target.named = there and target.store not in image.stores
        return target.store in image.stores

    async def ours(self, store: StoreId) -> bool:
        """Whether this attempt made the copy there: not if somebody's import has named the store since it began."""
        try:
            tasks = await self._bench.glance.tasks(self._image.id)
        except EdgesyncError as trouble:
            log.warning("cannot see whose copy it is", store=store, why=trouble.message)
            return False
        since = self._attempt.started_at - SKEW
        return not any(store in task.stores and task.updated_at >= since for task in tasks)

    async def _shared(self, target: Target) -> bool:
        """Whether what lies there is another store's copy, because the settings lead both to one pool."""
        others = [self._blocks[store] for store in sorted(self._image.stores & self._blocks.keys())]
        here, *found = await asyncio.gather(target.location(), *(other.location(target.image) for other in others))
        return here in found
