"""What every engine works with: Glance, the sites, the pen, the clock, the board."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from edgesync.domain.blocks import Verification
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, CopyResult, Verdict
from edgesync.domain.ports import Clock, Cluster, Glance
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, PermanentError, UnreachableError
from edgesync.execute.progress import ProgressBoard
from edgesync.execute.record import Recorder
from edgesync.execute.tuning import Tuning
from edgesync.plan.locks import Locks, expired

log = structlog.get_logger(__name__)


class NotWaitedForError(ConflictError):
    """Somebody else's import holds the image, and who wanted to see its end wants that no more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sightings:
    """Where the engines report the images they look at, so that the next plan knows them."""

    saw: Callable[[Image], None]
    lost: Callable[[ImageId], None]


class SiteWatch(Protocol):
    """Whoever keeps the breakers and the findings of all stores."""

    async def check(self, store: StoreId) -> None:
        """Go to the store's cluster and back, and teach its breaker; UnreachableError when it does not answer.

        PermanentError when we may not ask. Nothing happens where Ceph is not configured.
        """
        ...

    def outcome(self, store: StoreId, *, good: bool, cause: str = "") -> None:
        """A copy into the store ended well, or failed for this reason."""
        ...

    def mended(self, image: ImageId, store: StoreId) -> None:
        """A finding was put right: forget it."""
        ...

    async def verified(self, image: ImageId, store: StoreId, verification: Verification) -> None:
        """A copy was compared with its image; durable when it returns."""
        ...

    async def re_examine(self, image: ImageId, store: StoreId) -> Finding | None:
        """Compare Glance and RBD on one copy, now; None when they agree, or somebody is changing it.

        Raises what Glance, the cluster or the journal raise; None where Ceph is not configured. An open attempt that
        repairs this copy is no obstacle.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Workbench:
    """Shared by all engines; keeps nothing between two attempts but the ages of locks."""

    glance: Glance
    recorder: Recorder
    clock: Clock
    board: ProgressBoard
    sightings: Sightings
    sites: SiteWatch
    # By store: those where Ceph is configured.
    clusters: Mapping[StoreId, Cluster]
    hub: StoreId
    locks: Locks
    tuning: Tuning

    async def look(self, image_id: ImageId) -> Image:
        """Show the image, and let the next plan know it so; NotFoundError when it is gone."""
        image = await self.glance.image(image_id)
        self.sightings.saw(image)
        return image

    async def locked(self, image: Image) -> bool:
        """True while somebody holds the image's lock and Glance would not give it to us."""
        if image.lock is None:
            return False
        holder = self.locks.holder(image, await self.glance.tasks(image.id), self.clock.now())
        return holder is not None and not expired(holder, self.clock.now())

    async def at_rest(self, image_id: ImageId, *, halted: Callable[[], bool]) -> Image:
        """The image once nobody's import holds it, or its holder counts no more: that may take hours.

        NotWaitedForError when it is `halted` before.
        """
        while await self.locked(image := await self.look(image_id)):
            if halted():
                raise NotWaitedForError(f"somebody else's import holds the image (task {image.lock})")
            await self.clock.sleep(self.tuning.poll)
        return image

    async def trouble(self, store: StoreId) -> str:
        """Why the store's cluster can't be used now; empty when it answers, or when nobody can tell."""
        try:
            await self.sites.check(store)
        except UnreachableError as trouble:
            return trouble.message
        except PermanentError:
            # The site watch tells about that; copies go on.
            return ""
        return ""

    async def defect(self, image: ImageId, store: StoreId) -> Finding | None:
        """What is wrong with a copy, made known to the next plan; None also when that can't be seen now."""
        try:
            return await self.sites.re_examine(image, store)
        except EdgesyncError as trouble:
            # The next audit of the store looks again.
            log.warning("cannot look at the copy", image=image, store=store, why=trouble.message)
            return None

    async def replaceable(self, image: Image, store: StoreId) -> bool:
        """Whether another copy of the image is known to be sound, from which this one could be made again."""
        # The hub's first: it is the one that copies come from.
        others = sorted(image.stores - {store}, key=lambda other: (other != self.hub, other))
        for other in others:
            if await self._sound(image.id, other):
                return True
        return False

    async def _sound(self, image: ImageId, store: StoreId) -> bool:
        """Whether data can be read from there; where no Ceph is configured, Glance's word counts."""
        if store not in self.clusters:
            return True
        try:
            finding = await self.sites.re_examine(image, store)
        except UnreachableError:
            return False
        return finding is None or finding.defect is Defect.UNPROTECTED

    async def take_away(self, attempt: Attempt, store: StoreId) -> bool:
        """Delete one copy; False when it has to stay. Raises what may pass: the attempt is taken up again then."""
        try:
            await self.glance.delete_from_store(attempt.image, store)
        except NotFoundError:
            # Somebody was faster; or it is the image that is gone, and then this raises.
            await self.look(attempt.image)
        except (ConflictError, PermanentError) as refusal:
            log.warning("copy stays", image=attempt.image, store=store, why=refusal.message, remedy=refusal.remedy)
            return False
        return True

    async def gone(self, attempt: Attempt) -> None:
        """The image was deleted: end the attempt, and look for what its import left behind at the sites."""
        self.board.clear(attempt)
        self.locks.forget(attempt.image)
        self.sightings.lost(attempt.image)
        await self.recorder.image_gone(attempt)
        if attempt.work.brings:
            for store in attempt.stores:
                await self.defect(attempt.image, store)

    async def outages(self, verdict: Verdict) -> dict[StoreId, str]:
        """Those of the failed stores that do not answer, and a sentence on that."""
        failed = [entry.store for entry in verdict.results if entry.result is CopyResult.FAILED]
        troubles = await asyncio.gather(*(self.trouble(store) for store in failed))
        return {store: f"{store} does not answer: {why}" for store, why in zip(failed, troubles, strict=True) if why}

    async def report(self, attempt: Attempt, verdict: Verdict) -> None:
        """Let the site watch know, store by store: half a copy left behind is found now, not at the next audit."""
        for entry in verdict.results:
            if entry.result is CopyResult.COPIED:
                self.sites.outcome(entry.store, good=True)
                continue
            leftover = await self.defect(attempt.image, entry.store)
            # A store that was refused because of a leftover is not to blame.
            if leftover is None and entry.result is CopyResult.FAILED:
                self.sites.outcome(entry.store, good=False, cause=entry.reason)
