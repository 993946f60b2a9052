"""A fresh look at one image at one store, with all that is needed to judge it.

Glance and Ceph can't be asked in the same instant. So Glance is asked before and after: when its two answers differ,
somebody is at work on the image, and nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.ports import Cluster, Glance, Journal
from edgesync.domain.site import Defect, RbdImage
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError, TransientError, UnreachableError
from edgesync.observe.verified import Verified
from edgesync.plan.audit import Look, defect_of
from edgesync.plan.suspects import Doubts


class Inspector:
    """Looks at copies wherever they are."""

    def __init__(
        self,
        glance: Glance,
        journal: Journal,
        clusters: Mapping[StoreId, Cluster],
        *,
        awake: Callable[[StoreId], bool],
    ) -> None:
        # By store; those without Ceph are not among them.
        self.clusters = clusters
        self.hub: StoreId | None = None
        self.verified = Verified(journal)
        self._glance = glance
        self._journal = journal
        self._awake = awake

    async def look(self, name: ImageId, store: StoreId, doubts: Doubts) -> Look | None:
        """What is there now; None while somebody is changing it.

        Raises what Glance, the store's cluster or the journal raise.
        """
        before = await self._shown(name)
        rbd = await self.rbd(name, store)
        task = await self._holder(before) if before is not None else None
        # An id never comes back.
        if before is not None and _differ(before, await self._shown(name)):
            return None
        damage = await self.damage(name, store, rbd)
        seen = Look(name=name, store=store, image=before, rbd=rbd, task=task, hub=store == self.hub, damage=damage)
        match defect_of(seen):
            case None | Defect.UNPROTECTED:
                return seen
            case Defect.ORPHAN if before is None:
                ours = await self._journal.attempted([(name, store)])
                return replace(seen, ours=bool(ours), doubt=doubts.gone or await self._hidden(seen))
            case Defect.ORPHAN:
                return replace(seen, doubt=await self._mistaken(seen))
            case defect:
                doubt = doubts.missing if defect is Defect.NO_IMAGE else ""
                return await self._compared(replace(seen, doubt=doubt))

    async def rbd(self, name: str, store: StoreId) -> RbdImage | None:
        """As the store's pool has it; None when it isn't there."""
        try:
            return await self.cluster(store).inspect(name)
        except NotFoundError:
            return None

    async def damage(self, name: ImageId, store: StoreId, rbd: RbdImage | None) -> str:
        """What its last verification found wrong with the copy's data; empty: nothing."""
        return await self.verified.damage(name, store, rbd) if rbd is not None else ""

    def cluster(self, store: StoreId) -> Cluster:
        """TransientError when the settings have just lost it."""
        cluster = self.clusters.get(store)
        if cluster is None:
            raise TransientError(f"{store} has no ceph in the settings any more")
        return cluster

    async def _shown(self, name: ImageId) -> Image | None:
        try:
            return await self._glance.image(name)
        except NotFoundError:
            return None

    async def _holder(self, image: Image) -> ImportTask | None:
        """The task that holds the image's lock, as far as Glance tells."""
        if image.lock is None:
            return None
        try:
            tasks = await self._glance.tasks(image.id)
        except NotFoundError:
            return None
        return next((task for task in tasks if task.id == image.lock), None)

    async def _hidden(self, orphan: Look) -> str:
        """Why the orphan may be the good copy of an image that Glance only hides from us; empty: it is gone.

        Without the admin role, Glance answers 404 for other projects' images. Of an image that is deleted the hub keeps
        no data, while a site that was being written gets its copy finished all the same (tried).
        """
        if orphan.rbd is None or not orphan.rbd.snapshot:
            return ""
        doubt = "it is a whole copy, and Glance may only be hiding the image"
        hub = self.hub
        if hub is None or hub == orphan.store or hub not in self.clusters:
            return doubt
        try:
            kept = await self.rbd(orphan.name, hub)
        except EdgesyncError as error:
            return f"{doubt}: edgesync can't see whether {hub} has it still ({error.message.rstrip('.')})"
        return f"{doubt}, which {hub} has still" if kept is not None else ""

    async def _mistaken(self, orphan: Look) -> str:
        """Why the orphan may be another store's good copy, because the settings lead both stores to one pool.

        A store that does not answer can't be the one that has just shown us its pool.
        """
        if orphan.image is None or orphan.rbd is None:
            return ""
        for other in sorted(orphan.image.stores):
            if other not in self.clusters:
                if other == self.hub:
                    return f"edgesync can't compare it with the copy at {other}, for which no ceph is configured"
                continue
            if not self._awake(other):
                continue
            try:
                theirs = await self.rbd(orphan.name, other)
            except UnreachableError:
                continue
            except EdgesyncError as error:
                return f"edgesync can't compare it with the copy at {other} ({error.message.rstrip('.')})"
            if theirs is not None and theirs.id == orphan.rbd.id:
                return f"it is the copy of {other} itself: both stores' settings lead to one pool"
        return ""

    async def _compared(self, broken: Look) -> Look:
        """The look, with what is known of the image's other copies; those after the first good one aren't looked at."""
        if broken.image is None:
            return broken
        doubtful: set[StoreId] = set()
        silent: set[StoreId] = set()
        for other in sorted(broken.image.stores - {broken.store}, key=lambda store: (store != self.hub, store)):
            if other not in self.clusters:
                # Glance's word counts.
                break
            if not self._awake(other):
                silent.add(other)
                continue
            try:
                rbd = await self.rbd(broken.name, other)
            except UnreachableError:
                silent.add(other)
            except EdgesyncError:
                doubtful.add(other)
            else:
                damage = await self.damage(broken.name, other, rbd)
                if defect_of(replace(broken, store=other, rbd=rbd, damage=damage)) in {None, Defect.UNPROTECTED}:
                    break
                doubtful.add(other)
        return replace(broken, doubtful=frozenset(doubtful), silent=frozenset(silent))


def _differ(before: Image, after: Image | None) -> bool:
    """Whether somebody has been at work on the image's data."""
    return after is None or any(
        getattr(before, name) != getattr(after, name)
        for name in ("status", "size", "stores", "importing_to", "failed", "lock")
    )
