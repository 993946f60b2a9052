"""Compares one copy with its image, three ways: what Glance says, what RBD has, and the data by their digests.

It only reads, so it waits for nothing and nothing waits for it. What changes under its eyes, it does not judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests, Extent, Verification
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import CopyResult, StoreResult
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.execute.rbd.reference import Reference
from edgesync.execute.rbd.source import SourceDamagedError
from edgesync.execute.wording import told
from edgesync.execute.workbench import Workbench

log = structlog.get_logger(__name__)

# Damaged ranges that are named before they are only counted.
NAMED = 10
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
    # Bytes of the image.
    size: int = 0


class Comparison:
    """Compares copies, and records how they were found."""

    def __init__(
        self, bench: Workbench, blocks: Mapping[StoreId, Blocks], reference: Reference, on_compared: OnCompared
    ) -> None:
        self._bench = bench
        self._blocks = blocks
        self._reference = reference
        self._on_compared = on_compared

    async def look(self, image_id: ImageId, store: StoreId, *, since: datetime | None = None) -> Found:
        """Compare a copy; with `since`, with data at the hub that were read and hashed since then.

        What keeps it from being compared is the result. Raises what the journal raises.
        """
        try:
            found = await self._compared(image_id, store, since)
        except EdgesyncError as trouble:
            found = Found(result=_unseen(store, told(trouble)))
        self._on_compared(store, found.result.result)
        log.info("copy verified", image=image_id, store=store, result=found.result.result, reason=found.result.reason)
        return found

    async def _compared(self, image_id: ImageId, store: StoreId, since: datetime | None) -> Found:
        image = await self._bench.look(image_id)
        if store not in image.stores:
            return Found(result=_unseen(store, "Glance lists no copy there"))
        cluster = self._bench.clusters.get(store)
        if cluster is None or store not in self._blocks:
            return Found(result=_unseen(store, f"Ceph is not configured for {store}"))
        finding = await self._bench.sites.re_examine(image_id, store)
        if finding is not None and finding.defect not in COMPARABLE:
            return Found(result=_result(store, CopyResult.DAMAGED, finding.detail), finding=finding)
        rbd = await cluster.inspect(image_id)
        damage = await self._damage(image, store, since)
        if damage and await self._changed(image, store, rbd.id):
            return Found(result=_unseen(store, "somebody changed the copy meanwhile"))
        now = self._bench.clock.now()
        verification = Verification(at=now, sound=not damage, damage=damage, rbd_id=rbd.id)
        await self._bench.sites.verified(image_id, store, verification)
        finding = await self._bench.sites.re_examine(image_id, store)
        if damage:
            result = _result(store, CopyResult.DAMAGED, damage)
        else:
            result = _result(store, CopyResult.SOUND, await self._how(image, store, since))
        return Found(result=result, finding=finding, size=rbd.size)

    async def _damage(self, image: Image, store: StoreId, since: datetime | None) -> str:
        """What is wrong with the data, for people; empty: nothing."""
        try:
            want = await self._reference.digests(image, since=since)
        except SourceDamagedError as damaged:
            if store == self._bench.hub:
                return await self._at_hub(image, damaged)
            await self._spoilt(image, damaged)
            raise
        return await self._against(want, image, store)

    async def _against(self, want: Digests, image: Image, store: StoreId) -> str:
        have = await self._blocks[store].digests(image.id, want.block, snapshot=True)
        return "" if have == want else _told(want, have)

    async def _at_hub(self, image: Image, damaged: SourceDamagedError) -> str:
        """The ranges, where the digests of the good data are still known; else only that it is so."""
        known = await self._reference.known(image)
        named = await self._against(known, image, self._bench.hub) if known is not None else ""
        return named or damaged.message.rstrip(".")

    async def _spoilt(self, image: Image, damaged: SourceDamagedError) -> None:
        """What was to be compared with is damaged itself: that is a finding at the hub."""
        hub = self._bench.hub
        rbd = await self._bench.clusters[hub].inspect(image.id)
        damage = await self._at_hub(image, damaged)
        verification = Verification(at=self._bench.clock.now(), sound=False, damage=damage, rbd_id=rbd.id)
        await self._bench.sites.verified(image.id, hub, verification)
        await self._bench.sites.re_examine(image.id, hub)

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


async def note_sound(bench: Workbench, image: ImageId, store: StoreId) -> None:
    """A copy was compared when it was made; a site that doesn't answer now leaves it to the next verification."""
    try:
        rbd = await bench.clusters[store].inspect(image)
        verification = Verification(at=bench.clock.now(), sound=True, rbd_id=rbd.id)
        await bench.sites.verified(image, store, verification)
    except EdgesyncError as trouble:
        log.warning("verification not recorded", image=image, store=store, why=trouble.message)


def ranges(extents: Sequence[Extent]) -> str:
    """Damaged pieces by name, offset-end in bytes, and how much that is."""
    named = ", ".join(f"{extent.offset}-{extent.end - 1}" for extent in extents[:NAMED])
    more = f" and {len(extents) - NAMED} more" if len(extents) > NAMED else ""
    kib = sum(extent.length for extent in extents) / 1024
    return f"{len(extents)} damaged range{'s' if len(extents) > 1 else ''} ({kib:g} KiB): bytes {named}{more}"


def _told(want: Digests, have: Digests) -> str:
    if have.size != want.size:
        return f"its snapshot has {have.size} bytes instead of {want.size}"
    return ranges(list(want.differing(have)))


def _result(store: StoreId, result: CopyResult, reason: str) -> StoreResult:
    return StoreResult(store=store, result=result, reason=reason)


def _unseen(store: StoreId, why: str) -> StoreResult:
    return StoreResult(store=store, result=CopyResult.FAILED, reason=f"not compared: {why}")
