"""The repair of a damaged copy: one attempt, from the last look to its recorded end."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, CopyResult, StoreResult, Verdict
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, PermanentError, UnreachableError
from edgesync.execute.rbd.comparison import note_sound
from edgesync.execute.rbd.reference import Reference
from edgesync.execute.rbd.renewal import Renewal, Renewed
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.repair import RepairEngine
from edgesync.execute.wording import NOTHING_TO_MEND, told
from edgesync.execute.workbench import Workbench
from edgesync.plan.budget import some_of

log = structlog.get_logger(__name__)


class RenewalEngine:
    """Makes one copy good again. Where its blocks can't be reached, it is taken off the list and copied anew."""

    def __init__(
        self,
        bench: Workbench,
        blocks: Mapping[StoreId, Blocks],
        reference: Reference,
        resources: Resources,
        repairs: RepairEngine,
    ) -> None:
        self._bench = bench
        self._blocks = blocks
        self._reference = reference
        self._resources = resources
        self._repairs = repairs

    async def begin(self, attempt: Attempt) -> None:
        (store,) = attempt.stores
        if store not in self._blocks or self._bench.hub not in self._blocks:
            await self._repairs.begin(attempt)
            return
        try:
            finding = await self._bench.sites.re_examine(attempt.image, store)
        except UnreachableError as trouble:
            await self._bench.recorder.never_sent(attempt, trouble.message)
            return
        except PermanentError as refusal:
            await self._end(attempt, CopyResult.FAILED, told(refusal))
            return
        if finding is None or finding.defect is not Defect.DAMAGED:
            seen = f": {finding.detail}" if finding is not None else ""
            await self._end(attempt, CopyResult.REPAIRED, f"{NOTHING_TO_MEND}{seen}")
        elif finding.obstacle:
            await self._end(attempt, CopyResult.FAILED, f"{finding.detail}, but {finding.obstacle}")
        else:
            await self._renew(attempt)

    async def follow(self, attempt: Attempt) -> None:
        """Go on with what was broken off: the copy may be without its name just now."""
        (store,) = attempt.stores
        if store not in self._blocks or self._bench.hub not in self._blocks:
            await self._repairs.follow(attempt)
        else:
            await self._renew(attempt)

    async def _renew(self, attempt: Attempt) -> None:
        (store,) = attempt.stores
        try:
            image = await self._bench.look(attempt.image)
        except NotFoundError:
            await self._bench.gone(attempt)
            return
        if store not in image.stores:
            await self._end(attempt, CopyResult.FAILED, "Glance lists no copy there any more")
            return
        try:
            renewed = await self._renewal(image, store)
        except (ConflictError, PermanentError) as refusal:
            await self._end(attempt, CopyResult.FAILED, told(refusal))
            return
        await note_sound(self._bench, image.id, store)
        await self._end(attempt, CopyResult.REPAIRED, self._told(renewed))

    async def _renewal(self, image: Image, store: StoreId) -> Renewed:
        return await Renewal(
            store,
            image.id,
            await self._reference.digests(image),
            hub=self._blocks[self._bench.hub],
            site=self._blocks[store],
            cluster=self._bench.clusters[store],
            resources=self._resources,
            clock=self._bench.clock,
            trash_delay=self._bench.tuning.trash_delay,
        ).run()

    def _told(self, renewed: Renewed) -> str:
        done = f"made good again: {renewed.sent / 1024:g} KiB came from {self._bench.hub}"
        if not renewed.kept:
            return f"{done}, the damaged RBD image is in the trash"
        return (
            f"{done}; the damaged RBD image is kept as {renewed.kept}, for what was cloned from it and may show the "
            f"damage: {some_of(renewed.clones)}"
        )

    async def _end(self, attempt: Attempt, result: CopyResult, reason: str) -> None:
        (store,) = attempt.stores
        await self._bench.recorder.finished(
            attempt, Verdict(results=(StoreResult(store=store, result=result, reason=reason),))
        )
        if result is CopyResult.REPAIRED:
            self._bench.sites.mended(attempt.image, store)
