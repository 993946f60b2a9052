"""What an image's copies are compared with: the digests of data that hash to what Glance wrote down.

They are read from the hub's snapshot once, and kept. Whoever wants those of an image that is being read waits for that
reading; of data that were found spoilt nobody reads a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests
from edgesync.domain.image import Image, ImageId
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import PermanentError
from edgesync.execute.rbd.noting import note_spoilt
from edgesync.execute.rbd.original import Original, known_of
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import SourceDamagedError
from edgesync.execute.workbench import Workbench

T = TypeVar("T")

# Images of which it is remembered when their data were last read whole, and of which that they are spoilt.
MOST_READ = 10_000
# For so long data are taken for spoilt, unless another RBD image has come to the hub: its OSDs may have been mended.
SPOILT_FOR = timedelta(days=1)
# Waits until so many more bytes may be read.
Pace = Callable[[int], Awaitable[None]]


@dataclass(kw_only=True, slots=True)
class _Turn:
    """Whoever reads an image at the hub, and whoever waits for that."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    there: int = 0
    # Those of them who don't want to wait longer than it takes.
    hurried: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spoilt:
    """What was read once, and of which RBD image."""

    at: datetime
    rbd_id: str
    message: str
    remedy: str


class Reference:
    """The digests of all images."""

    def __init__(
        self, bench: Workbench, blocks: Mapping[StoreId, Blocks], journal: Journal, resources: Resources
    ) -> None:
        self._bench = bench
        self._blocks = blocks
        self._journal = journal
        self._resources = resources
        self._turns: dict[ImageId, _Turn] = {}
        # Who reads at a pace holds memory for long: one at a time.
        self._ambling = asyncio.Lock()
        self._read_at: dict[ImageId, datetime] = {}
        self._spoilt: dict[ImageId, _Spoilt] = {}

    async def digests(self, image: Image, *, since: datetime | None = None, pace: Pace | None = None) -> Digests:
        """Those in the journal if they are of these very data, else read; with `since`, read unless they were since.

        What is read is read at that pace, as long as nobody else wants it sooner. Raises SourceDamagedError when the
        hub's data are not what was uploaded, and notes that; else what reading raises.
        """
        if (known := await self._fresh(image, since)) is not None:
            return known
        async with self._turn(image.id, pace) as turn:
            # Somebody else may have waited for the same.
            if (known := await self._fresh(image, since)) is not None:
                return known
            return await self._read(image, since, turn, pace)

    async def known(self, image: Image) -> Digests | None:
        """Those in the journal, if they are of data with the hash that Glance tells today."""
        return await known_of(image, self._journal)

    async def _fresh(self, image: Image, since: datetime | None) -> Digests | None:
        read_at = self._read_at.get(image.id)
        if since is not None and (read_at is None or read_at < since):
            return None
        return await self.known(image)

    @asynccontextmanager
    async def _turn(self, image: ImageId, pace: Pace | None) -> AsyncIterator[_Turn]:
        turn = self._turns.setdefault(image, _Turn())
        turn.there += 1
        turn.hurried += pace is None
        try:
            async with AsyncExitStack() as waiting:
                if pace is not None:
                    await waiting.enter_async_context(self._ambling)
                await waiting.enter_async_context(turn.lock)
                yield turn
        finally:
            turn.there -= 1
            turn.hurried -= pace is None
            if not turn.there:
                del self._turns[image]

    async def _read(self, image: Image, since: datetime | None, turn: _Turn, pace: Pace | None) -> Digests:
        hub = self._bench.hub
        if hub not in self._blocks:
            raise PermanentError(
                f"Ceph is not configured for {hub}, so that there is nothing to compare with",
                remedy=f"Give stores.{hub}.ceph in the configuration.",
            )
        began = self._bench.clock.now()
        rbd_id = (await self._bench.clusters[hub].inspect(image.id)).id
        self._refuse_spoilt(image.id, rbd_id, since)

        async def leisurely(size: int) -> None:
            if pace is not None and not turn.hurried:
                await pace(size)

        try:
            digests = await Original(self._blocks[hub], self._journal, self._resources).read(image, leisurely)
        except SourceDamagedError as damaged:
            spoilt = _Spoilt(at=began, rbd_id=rbd_id, message=damaged.message, remedy=damaged.remedy)
            _remember(self._spoilt, image.id, spoilt)
            await note_spoilt(self._bench, image.id, damaged)
            raise
        self._spoilt.pop(image.id, None)
        _remember(self._read_at, image.id, began)
        return digests

    def _refuse_spoilt(self, image: ImageId, rbd_id: str, since: datetime | None) -> None:
        """SourceDamagedError when nothing better is to be expected."""
        spoilt = self._spoilt.get(image)
        if spoilt is None or spoilt.rbd_id != rbd_id:
            return
        if spoilt.at >= max(self._bench.clock.now() - SPOILT_FOR, since or spoilt.at):
            raise SourceDamagedError(spoilt.message, remedy=spoilt.remedy)


def _remember(memory: dict[ImageId, T], image: ImageId, what: T) -> None:
    if len(memory) >= MOST_READ:
        memory.clear()
    memory[image] = what
