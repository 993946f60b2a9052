"""Deletes copies: the last line of defence before Glance, which would delete the hub's copy without a word.

And one with others layered on it (tried, Glance 33 on Ceph 16.2). How those were cloned decides: by Ceph's clone
format 1, Glance answers 409 and changes nothing at that site. By format 2 it answers 204; snapshot and image go into
RBD's trash, which keeps them until the last clone is flattened. What is layered reads, boots and is cloned as before.
Nothing is lost either way, but by format 1 the deletion of a whole image takes the other copies away first, the hub's
too, before it fails with 409: the image stays active with the one copy that is in use.

Each step looks at what is there now, so that beginning again after a crash repeats nothing.
"""

from __future__ import annotations

import structlog

from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, CopyResult, StoreResult, Verdict
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, PermanentError
from edgesync.execute.preflight import out_of_reach
from edgesync.execute.wording import told
from edgesync.execute.workbench import Workbench
from edgesync.plan.chains import on_top
from edgesync.plan.verdict import everywhere

log = structlog.get_logger(__name__)


class RemovalEngine:
    """Has Glance delete the copies in an attempt's stores."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    async def begin(self, attempt: Attempt) -> None:
        try:
            await self._remove(attempt)
        except NotFoundError:
            self._bench.sightings.lost(attempt.image)
            verdict = everywhere(attempt.stores, CopyResult.REMOVED, "the image is gone, and its copies with it")
            await self._bench.recorder.finished(attempt, verdict)

    async def follow(self, attempt: Attempt) -> None:
        await self.begin(attempt)

    async def _remove(self, attempt: Attempt) -> None:
        """NotFoundError when the image is gone."""
        image = await self._bench.look(attempt.image)
        if await self._bench.locked(image):
            await self._bench.recorder.never_sent(attempt, "an import of the image is under way")
            return
        # A dead site would block the request inside Glance.
        if trouble := await out_of_reach(self._bench, attempt.stores):
            await self._bench.recorder.never_sent(attempt, trouble)
            return
        # Looking anew for each: the one before has changed how many copies there are.
        results = [await self._delete(await self._bench.look(attempt.image), store) for store in attempt.stores]
        await self._bench.look(attempt.image)
        await self._bench.recorder.finished(attempt, Verdict(results=tuple(results)))

    async def _delete(self, image: Image, store: StoreId) -> StoreResult:
        if store not in image.stores:
            return StoreResult(store=store, result=CopyResult.REMOVED, reason="there was no copy any more")
        if why := await self._forbidden(image, store):
            return StoreResult(store=store, result=CopyResult.FAILED, reason=why)
        try:
            await self._bench.glance.delete_from_store(image.id, store)
        except NotFoundError:
            # Somebody was faster; when it is the image that is gone, the next look tells.
            return StoreResult(store=store, result=CopyResult.REMOVED, reason="there was no copy any more")
        except (ConflictError, PermanentError) as refusal:
            return StoreResult(store=store, result=CopyResult.FAILED, reason=told(refusal))
        return StoreResult(store=store, result=CopyResult.REMOVED, reason=f"the copy at {store} was deleted")

    async def _forbidden(self, image: Image, store: StoreId) -> str:
        """Why this copy must stay; empty: it may go."""
        if store == self._bench.hub:
            return f"{store} is the hub, and every copy comes from there; delete the image itself if it must go"
        if image.stores == {store}:
            return f"{store} holds the only copy of the image"
        try:
            if not await self._bench.replaceable(image, store):
                others = ", ".join(sorted(image.stores - {store}))
                return f"it may be the only good copy: the one at {others} is broken or can't be looked at"
            cluster = self._bench.clusters.get(store)
            children = (await cluster.inspect(image.id)).children if cluster is not None else ()
        except NotFoundError:
            return ""
        except PermanentError as trouble:
            # Without rights to look; Glance has its own, and refuses what is in use.
            log.warning("cannot look for clones", image=image.id, store=store, why=trouble.message)
            return ""
        if children:
            needing = on_top(children)
            return f"it is in use: {needing.told}; {needing.remedy(store)}"
        return ""
