"""Mends what an audit found: orphans into the trash, snapshots protected again, broken copies taken off the list.

The proof is made anew right before the deed: what an audit saw may be hours old. Whatever a crash leaves half done,
looking again tells what remains to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from edgesync.domain.image import Image, ImageId, replacement_name, temporary_name
from edgesync.domain.job import Attempt, CopyResult, EngineChoice, Job, StoreResult, Verdict, Work
from edgesync.domain.ports import Cluster
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, PermanentError, UnreachableError
from edgesync.execute.rbd.sealing import Sealing
from edgesync.execute.wording import NOTHING_TO_MEND, told
from edgesync.execute.workbench import Workbench
from edgesync.plan.chains import on_top

log = structlog.get_logger(__name__)

# Which work mends which defect.
MENDS = {
    Work.TRASH: frozenset({Defect.ORPHAN}),
    Work.PROTECT: frozenset({Defect.UNPROTECTED}),
    Work.SEAL: frozenset({Defect.NO_SNAPSHOT}),
    Work.UNLIST: frozenset({Defect.NO_IMAGE, Defect.NO_SNAPSHOT, Defect.WRONG_SIZE}),
    # Where the rbd engine can't be used: it is taken off the list, too.
    Work.RENEW: frozenset({Defect.DAMAGED}),
}


Wished = Callable[[ImageId, StoreId], EngineChoice]


class RepairEngine:
    """Mends one copy: a repair concerns exactly one store."""

    def __init__(self, bench: Workbench, *, pools: Mapping[StoreId, str], sealing: Sealing, wished: Wished) -> None:
        """`wished`: what whoever wants a copy says of the engine that makes it."""
        self._bench = bench
        self._wished = wished
        self._sealing = sealing
        # By store, for the sentence on how to restore what was trashed.
        self._pools = pools

    async def begin(self, attempt: Attempt) -> None:
        (store,) = attempt.stores
        cluster = self._bench.clusters.get(store)
        if cluster is None:
            await self._end(attempt, _failed(store, f"Ceph is not configured for {store}: nothing can be mended there"))
            return
        if attempt.work is Work.SWEEP:
            await self._sweep(attempt, store, cluster)
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
        elif finding.obstacle and (finding.passing or attempt.work is not Work.SEAL):
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
            elif attempt.work is Work.SEAL:
                result = await self._seal(finding)
            else:
                result, follow_up = await self._unlist(finding, cluster)
        except (ConflictError, PermanentError) as refusal:
            result = _failed(finding.store, told(refusal))
        await self._end(attempt, result, follow_up)

    async def _sweep(self, attempt: Attempt, store: StoreId, cluster: Cluster) -> None:
        """Put away what an earlier copy or repair of ours has left unfinished; a plan just saw that nobody needs it.

        As long as this attempt is open, nobody begins to copy the image, or to repair a copy of it.
        """
        result = _mended(store, NOTHING_TO_MEND)
        for name in (temporary_name(attempt.image), replacement_name(attempt.image)):
            try:
                await cluster.trash(name, delay=self._bench.tuning.trash_delay)
            except NotFoundError:
                continue
            except (ConflictError, UnreachableError) as trouble:
                # A dead writer's watch ends by itself.
                await self._bench.recorder.never_sent(attempt, trouble.message)
                return
            except PermanentError as refusal:
                result = _failed(store, told(refusal))
                break
            left = "an unfinished copy of edgesync's own, which nobody needs any more"
            result = _mended(store, f"{left}; moved into RBD's trash: {self._way_back(store)}")
        await self._end(attempt, result)

    async def _trash(self, finding: Finding, cluster: Cluster) -> StoreResult:
        await cluster.trash(finding.image, delay=self._bench.tuning.trash_delay)
        return _mended(finding.store, f"{finding.detail}; moved into RBD's trash: {self._way_back(finding.store)}")

    async def _seal(self, finding: Finding) -> StoreResult:
        """Whatever stands in the way of taking the copy away does not matter: nothing is."""
        image = await self._bench.look(finding.image)
        if await self._sealing.again(image, finding.store):
            return _mended(
                finding.store, f"{finding.detail}; it is whole by its digests, and its snapshot was taken again"
            )
        return _failed(finding.store, f"{finding.detail}, and its digests don't prove it whole")

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
        return f"it is in use: {on_top(children).told}" if children else ""

    async def _nothing(self, attempt: Attempt, store: StoreId, finding: Finding | None) -> None:
        """What was to be mended isn't there: somebody was faster, or we were before a crash."""
        if finding is None and attempt.work in {Work.UNLIST, Work.RENEW}:
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
        again = self._bench.recorder.copy_again(image, store, self._wished(image.id, store))
        return _mended(store, f"{done}; copied again next"), again

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
