"""Compares one copy with its image, three ways: what Glance says, what RBD has, and the data by their digests.

It only reads, so copies and repairs don't wait for it nor it for them: only one comparison goes on at each site at a
time. What changes under its eyes, it does not judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests, Verification
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import CopyResult, StoreResult
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.execute.rbd.reference import Pace, Reference
from edgesync.execute.rbd.source import SourceDamagedError
from edgesync.execute.wording import ranges, told
from edgesync.execute.workbench import Workbench

log = structlog.get_logger(__name__)

# What does not keep the data from being compared.
COMPARABLE = {Defect.DAMAGED, Defect.UNPROTECTED}
# Told of each comparison's result.
OnCompared = Callable[[StoreId, CopyResult], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What came of one comparison."""

    result: StoreResult
    # As the site has it now; None: nothing is wrong, or nobody could look.
    finding: Finding | None = None
    # Bytes of the image whose data were looked at.
    size: int = 0
    # That was remembered: the data were compared, or their source was found damaged.
    recorded: bool = False


class Comparison:
    """Compares copies, and records how they were found."""

    def __init__(
        self, bench: Workbench, blocks: Mapping[StoreId, Blocks], reference: Reference, on_compared: OnCompared
    ) -> None:
        self._bench = bench
        self._blocks = blocks
        self._reference = reference
        self._on_compared = on_compared
        self._turns: dict[StoreId, asyncio.Lock] = {}

    async def look(
        self, image_id: ImageId, store: StoreId, *, since: datetime | None = None, pace: Pace | None = None
    ) -> Found:
        """Compare a copy when it is its turn at the site; what has to be read at the hub first is read at that pace.

        With `since`, compare it with data at the hub that were read and hashed since then. What keeps it from being
        compared is the result. Raises nothing of its own.
        """
        try:
            found = await self._compared(image_id, store, since, pace)
        except EdgesyncError as trouble:
            found = Found(result=_unseen(store, told(trouble)))
        self._on_compared(store, found.result.result)
        log.info("copy verified", image=image_id, store=store, result=found.result.result, reason=found.result.reason)
        return found

    async def _compared(self, image_id: ImageId, store: StoreId, since: datetime | None, pace: Pace | None) -> Found:
        image = await self._bench.look(image_id)
        if store not in image.stores:
            return Found(result=_unseen(store, "Glance lists no copy there"))
        if store not in self._blocks:
            why = f"Ceph is not configured for {store}; give stores.{store}.ceph in the configuration"
            return Found(result=_unseen(store, why))
        finding = await self._bench.sites.re_examine(image_id, store)
        if finding is not None and finding.defect not in COMPARABLE:
            return Found(result=_result(store, CopyResult.DAMAGED, finding.detail), finding=finding)
        known, damage = await self._wanted(image, store, since, pace)
        async with self._turns.setdefault(store, asyncio.Lock()):
            return await self._at_site(image, store, known, damage, since)

    async def _wanted(
        self, image: Image, store: StoreId, since: datetime | None, pace: Pace | None
    ) -> tuple[Digests | None, str]:
        """What the copy is compared with, if that is known; and what is wrong with it in any case.

        SourceDamagedError for the copies of an image that has no good data at the hub: nothing can be said of them.
        """
        try:
            return await self._reference.digests(image, since=since, pace=pace), ""
        except SourceDamagedError as damaged:
            if store != self._bench.hub:
                raise
            # The ranges can be told, where the digests of the good data are still known.
            return await self._reference.known(image), damaged.message.rstrip(".")

    async def _at_site(
        self, image: Image, store: StoreId, known: Digests | None, damage: str, since: datetime | None
    ) -> Found:
        rbd = await self._bench.clusters[store].inspect(image.id)
        if known is not None:
            have = await self._blocks[store].digests(image.id, known.block, snapshot=True)
            damage = damage if have == known else _told(known, have)
        if damage and await self._changed(image, store, rbd.id):
            return Found(result=_unseen(store, "somebody changed the copy meanwhile"))
        now = self._bench.clock.now()
        verification = Verification(at=now, sound=not damage, damage=damage, rbd_id=rbd.id)
        await self._bench.sites.verified(image.id, store, verification)
        finding = await self._bench.sites.re_examine(image.id, store)
        if damage:
            result = _result(store, CopyResult.DAMAGED, damage)
        else:
            result = _result(store, CopyResult.SOUND, await self._how(image, store, since))
        return Found(result=result, finding=finding, size=rbd.size, recorded=True)

    async def _changed(self, image: Image, store: StoreId, rbd_id: str) -> bool:
        """Whether it is another copy by now, or none."""
        if store not in (await self._bench.look(image.id)).stores:
            return True
        try:
            return (await self._bench.clusters[store].inspect(image.id)).id != rbd_id
        except NotFoundError:
            return True

    async def _how(self, image: Image, store: StoreId, since: datetime | None) -> str:
        hub = self._bench.hub
        how = f"every block has the digest that it has at {hub}" if store != hub else "every block has its digest"
        if since is not None:
            how += f", whose data were read again and have Glance's {image.hash_algo or 'size (it has no hash)'}"
        parent = await self._blocks[store].parent(image.id)
        return f"{how}; layered on {parent}" if parent else how


def _told(want: Digests, have: Digests) -> str:
    if have.size != want.size:
        return f"its snapshot has {have.size} bytes instead of {want.size}"
    return ranges(list(want.differing(have)))


def _result(store: StoreId, result: CopyResult, reason: str) -> StoreResult:
    return StoreResult(store=store, result=result, reason=reason)


def _unseen(store: StoreId, why: str) -> StoreResult:
    return StoreResult(store=store, result=CopyResult.FAILED, reason=f"not compared: {why}")
