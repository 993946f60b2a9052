"""What an image's copies are compared with: the digests of data that hash to what Glance wrote down.

They are read from the hub's snapshot once, and kept. Reading goes on for one image at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests
from edgesync.domain.image import Image, ImageId
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import PermanentError
from edgesync.execute.rbd.original import Original, promise_of
from edgesync.execute.rbd.resources import Resources

# Images of which it is remembered when their data were last read whole.
MOST_READ = 10_000


class Reference:
    """The digests of all images."""

    def __init__(self, hub: StoreId, blocks: Mapping[StoreId, Blocks], journal: Journal, resources: Resources) -> None:
        self._hub = hub
        self._blocks = blocks
        self._journal = journal
        self._resources = resources
        self._reading = asyncio.Lock()
        self._read_at: dict[ImageId, datetime] = {}

    async def digests(self, image: Image, *, since: datetime | None = None) -> Digests:
        """Those in the journal if they are of these very data, else read; with `since`, read unless they were since.

        Raises SourceDamagedError when the hub's data are not what was uploaded, else what reading raises.
        """
        if self._fresh(image, since) and (known := await self.known(image)) is not None:
            return known
        async with self._reading:
            # Somebody else may have waited for the same.
            if self._fresh(image, since) and (known := await self.known(image)) is not None:
                return known
            return await self._read(image)

    async def known(self, image: Image) -> Digests | None:
        """Those in the journal, if they are of data with the hash that Glance tells today."""
        return promise_of(image).kept_by(await self._journal.digests(image.id))

    def _fresh(self, image: Image, since: datetime | None) -> bool:
        read_at = self._read_at.get(image.id)
        return since is None or (read_at is not None and read_at >= since)

    async def _read(self, image: Image) -> Digests:
        if self._hub not in self._blocks:
            raise PermanentError(
                f"Ceph is not configured for {self._hub}, so that there is nothing to compare with",
                remedy=f"Give stores.{self._hub}.ceph in the configuration.",
            )
        began = self._resources.clock.now()
        digests = await Original(self._blocks[self._hub], self._journal, self._resources).read(image)
        if len(self._read_at) >= MOST_READ:
            self._read_at.clear()
        self._read_at[image.id] = began
        return digests
