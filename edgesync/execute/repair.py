"""Mends what an audit found: orphans into the trash, snapshots protected again, broken copies taken off the list.

The proof is made anew right before the deed: what an audit saw may be hours old. Whatever a crash leaves half done,
looking again tells what remains to do.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, CopyResult, Job, StoreResult, Verdict, Work
from edgesync.domain.ports import Cluster
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, PermanentError, UnreachableError
from edgesync.execute.wording import NOTHING_TO_MEND, some, told
from edgesync.execute.workbench import Workbench

log = structlog.get_logger(__name__)

# Which work mends which defect.
MENDS = {
    Work.TRASH: frozenset({Defect.ORPHAN}),
    Work.PROTECT: frozenset({Defect.UNPROTECTED}),
    Work.UNLIST: frozenset({Defect.NO_IMAGE, Defect.NO_SNAPSHOT, Defect.WRONG_SIZE}),
}


class RepairEngine:
    """Mends one copy: a repair concerns exactly one store."""

    def __init__(self, bench: Workbench, *, pools: Mapping[StoreId, str]) -> None:
        self._bench = bench
        # By store, for the sentence on how to restore what was trashed.
        self._pools = pools

    async def begin(self, attempt: Attempt) -> None:
        (store,) = attempt.stores
        cluster = self._bench.clusters.get(store)
        if cluster is None:
            await self._end(attempt, _failed(store, f"Ceph is not configured for {store}: nothing can be mended there"))
            return
        try:
            finding = await self._bench.sites.re_examine(attempt.image, store)
        except UnreachableError as trouble:
            await self._bench.recorder.never_sent(attempt, trouble.message)
            return
        except PermanentError as refusal:
            await self._end(attempt, _failed(store, told(refusal)))
            return
        if finding is None or finding.defect not in MENDS[attempt.work]:
            await self._nothing(attempt, store, finding)
        elif finding.obstacle:
            await self._end(attempt, _failed(store, f"{finding.detail}, but {finding.obstacle}"))
        else:
            await self._mend(attempt, finding, cluster)

    async def follow(self, attempt: Attempt) -> None:
        await self.begin(attempt)

    async def _mend(self, attempt: Attempt, finding: Finding, cluster: Cluster) -> None:
        """Do it; what the cluster or Glance refuses is the outcome, what may pass is raised."""
        follow_up = None
        try:
            if attempt.work is Work.TRASH:
                result = await self._trash(finding, cluster)
            elif attempt.work is Work.PROTECT:
                await cluster.protect(finding.image)
                result = _mended(finding.store, f"its snapshot at {finding.store} is protected again")
            else:
                result, follow_up = await self._unlist(finding, cluster)
        except (ConflictError, PermanentError) as refusal:
            result = _failed(finding.store, told(refusal))
        await self._end(attempt, result, follow_up)

    async def _trash(self, finding: Finding, cluster: Cluster) -> StoreResult:
        await cluster.trash(finding.image, delay=self._bench.tuning.trash_delay)
        return _mended(finding.store, f"{finding.detail}; moved into RBD's trash: {self._way_back(finding.store)}")

    async def _unlist(self, finding: Finding, cluster: Cluster) -> tuple[StoreResult, Job | None]:
        """Take the broken copy out of Glance, what is left of its data first; then it can be copied again."""
        store = finding.store
        image = await self._bench.look(finding.image)
        if why := await self._irreplaceable(image, store) or await self._cloned(finding, cluster):
            return _failed(store, f"{finding.detail}, but {why}"), None
        trashed = ""
        if finding.defect is not Defect.NO_IMAGE:
            await cluster.trash(image.id, delay=self._bench.tuning.trash_delay)
            trashed = f", its data is in RBD's trash: {self._way_back(store)}"
        try:
            await self._bench.glance.delete_from_store(image.id, store)
        except NotFoundError:
            log.info("the copy was off the list already", image=image.id, store=store)
        return self._taken_off(image, store, f"{finding.detail}; taken off Glance's list{trashed}")

    async def _irreplaceable(self, image: Image, store: StoreId) -> str:
        """Why this copy must stay on the list though it is broken: no other is proven sound to copy from."""
        if await self._bench.locked(image):
            return "an import of the image is under way"
        if await self._bench.replaceable(image, store):
            return ""
        return "no other copy is known to be sound, so that nothing could be copied back"

    async def _cloned(self, finding: Finding, cluster: Cluster) -> str:
        if finding.defect is Defect.NO_IMAGE:
            return ""
        children = (await cluster.inspect(finding.image)).children
        return f"disks are cloned from it: {some(children)}" if children else ""

    async def _nothing(self, attempt: Attempt, store: StoreId, finding: Finding | None) -> None:
        """What was to be mended isn't there: somebody was faster, or we were before a crash."""
        if finding is None and attempt.work is Work.UNLIST:
            try:
                image = await self._bench.look(attempt.image)
            except NotFoundError:
                self._bench.sightings.lost(attempt.image)
            else:
                if store not in image.stores:
                    await self._end(attempt, *self._taken_off(image, store, "taken off Glance's list"))
                    return
        seen = f": {finding.detail}" if finding is not None else ""
        await self._end(attempt, _mended(store, f"{NOTHING_TO_MEND}{seen}"), settled=finding is None)

    def _taken_off(self, image: Image, store: StoreId, done: str) -> tuple[StoreResult, Job]:
        return _mended(store, f"{done}; copied again next"), self._bench.recorder.copy_again(image, store)

    async def _end(
        self, attempt: Attempt, result: StoreResult, follow_up: Job | None = None, *, settled: bool = True
    ) -> None:
        await self._bench.recorder.finished(attempt, Verdict(results=(result,)), follow_up=follow_up)
        if result.result is CopyResult.REPAIRED and settled:
            self._bench.sites.mended(attempt.image, result.store)
        if follow_up is not None:
            # So that the next plan does not believe in the copy any more.
            await self._bench.look(attempt.image)

    def _way_back(self, store: StoreId) -> str:
        """How to restore what was trashed, and for how long that is sure to be possible."""
        pool = self._pools.get(store, "images")
        hours = self._bench.tuning.trash_delay.total_seconds() / 3600
        return (
            f"for {hours:g} h, `rbd trash ls --pool {pool}` at that site shows its id, and "
            f"`rbd trash restore --pool {pool} ID` brings it back"
        )


def _mended(store: StoreId, reason: str) -> StoreResult:
    return StoreResult(store=store, result=CopyResult.REPAIRED, reason=reason)


def _failed(store: StoreId, reason: str) -> StoreResult:
    return StoreResult(store=store, result=CopyResult.FAILED, reason=reason)
