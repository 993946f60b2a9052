"""The repair of a damaged copy: one attempt, from the last look to its recorded end."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from functools import partial

from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, CopyResult, StoreResult, Verdict
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.domain.words import some_of
from edgesync.errors import ConflictError, NotFoundError, PermanentError, UnreachableError
from edgesync.execute.rbd.noting import note_sound, note_spoilt
from edgesync.execute.rbd.reference import Reference
from edgesync.execute.rbd.renewal import Renewal, Renewed
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import SourceDamagedError
from edgesync.execute.repair import RepairEngine
from edgesync.execute.wording import NOTHING_TO_MEND, told
from edgesync.execute.workbench import Workbench

# Why a repair ends in the middle.
NOT_LISTED = "Glance lists no copy there any more"


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
            await self._nothing(attempt, finding)
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

    async def _nothing(self, attempt: Attempt, finding: Finding | None) -> None:
        """It is not damaged: another defect is left to its own repair, and a copy that is gone is not called mended."""
        (store,) = attempt.stores
        if finding is None and await self._withdrawn(attempt, self._renewal(attempt.image, store)):
            return
        seen = f": {finding.detail}" if finding is not None else ""
        await self._end(attempt, CopyResult.REPAIRED, f"{NOTHING_TO_MEND}{seen}", settled=finding is None)

    async def _renew(self, attempt: Attempt) -> None:
        (store,) = attempt.stores
        renewal = self._renewal(attempt.image, store)
        try:
            image = await self._listed(attempt.image, store)
            # What these find spoilt, they note themselves.
            want = await self._reference.digests(image)
            renewed = await self._noting(attempt.image, renewal.run(want))
        except NotFoundError as missing:
            if not await self._withdrawn(attempt, renewal):
                await self._end(attempt, CopyResult.FAILED, told(missing))
        except (ConflictError, PermanentError) as refusal:
            await self._end(attempt, CopyResult.FAILED, told(refusal))
        else:
            await note_sound(self._bench, image.id, store)
            await self._end(attempt, CopyResult.REPAIRED, self._told(renewed))

    async def _noting(self, image: ImageId, running: Awaitable[Renewed]) -> Renewed:
        try:
            return await running
        except SourceDamagedError as damaged:
            await note_spoilt(self._bench, image, damaged)
            raise

    def _renewal(self, image: ImageId, store: StoreId) -> Renewal:
        return Renewal(
            store,
            image,
            hub=self._blocks[self._bench.hub],
            site=self._blocks[store],
            cluster=self._bench.clusters[store],
            resources=self._resources,
            trash_delay=self._bench.tuning.trash_delay,
            obstacle=partial(self._obstacle, image, store),
        )

    async def _listed(self, image_id: ImageId, store: StoreId) -> Image:
        """The image as Glance shows it now; NotFoundError when it has no copy there, or is gone."""
        image = await self._bench.look(image_id)
        if store not in image.stores:
            raise NotFoundError(NOT_LISTED)
        return image

    async def _obstacle(self, image_id: ImageId, store: StoreId) -> str:
        """Why the copy must not be replaced just now; empty: go ahead. Raises as `_listed`."""
        image = await self._listed(image_id, store)
        if not image.active:
            return f"the image became {image.status} in the middle of it"
        return "somebody else's import holds the image" if await self._bench.locked(image) else ""

    async def _withdrawn(self, attempt: Attempt, renewal: Renewal) -> bool:
        """Whether there is no such copy any more: then what was made for it goes, and the attempt ends."""
        (store,) = attempt.stores
        try:
            image = await self._bench.look(attempt.image)
        except NotFoundError:
            await renewal.withdraw()
            await self._bench.gone(attempt)
            return True
        if store in image.stores:
            return False
        await renewal.withdraw()
        await self._end(attempt, CopyResult.FAILED, NOT_LISTED)
        return True

    def _told(self, renewed: Renewed) -> str:
        done = f"made good again: {renewed.sent / 1024:g} KiB came from {self._bench.hub}"
        if not renewed.kept:
            return f"{done}, the damaged RBD image is in the trash"
        return (
            f"{done}; the damaged RBD image is kept as {renewed.kept}, for what was cloned from it and may show the "
            f"damage: {some_of(renewed.clones)}"
        )

    async def _end(self, attempt: Attempt, result: CopyResult, reason: str, *, settled: bool = True) -> None:
        (store,) = attempt.stores
        await self._bench.recorder.finished(
            attempt, Verdict(results=(StoreResult(store=store, result=result, reason=reason),))
        )
        if result is CopyResult.REPAIRED and settled:
            self._bench.sites.mended(attempt.image, store)
