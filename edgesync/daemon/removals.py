"""Requests to delete a copy.

Glance itself would delete the hub's copy, and one that a policy brings straight back; here both are refused, as is
everything that would fail later anyway: a copy that isn't there, the last one, one with clones.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgesync.daemon.desk import Desk, existing, patience
from edgesync.domain.image import Image
from edgesync.domain.job import Event, EventKind, Job, JobId, JobState, Origin, StoreResult, Work
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Cluster
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, RequestError, UnreachableError
from edgesync.execute.record import new_id
from edgesync.expose.picture import Picture
from edgesync.expose.requests import RemovalRequest, Taken
from edgesync.plan.chains import on_top


class Removals:
    """Takes requests to delete a copy."""

    def __init__(self, desk: Desk, clusters: Mapping[StoreId, Cluster]) -> None:
        self._desk = desk
        self._clusters = clusters

    async def take(self, request: RemovalRequest) -> Taken:
        self._desk.room_for(1)
        image = await self._desk.find(request.image)
        picture = self._desk.picture()
        (store,) = existing([request.store], picture.world.topology)
        _check(picture, image, store)
        notes: tuple[str, ...] = ()
        if not request.pause:
            _refuse_the_wanted(picture, image, store)
        await self._refuse_the_cloned(image, store)
        if request.pause:
            await self._pause(request, image, store)
            resume = f"edgesync resume --image {image.id} --store {store}"
            notes = (
                f"image {image.id} is paused at {store}, so that no policy brings it back; to lift that: {resume}",
            )
        job = self._job(request, image, store)
        await self._desk.take(job, _created(job, store))
        return Taken(jobs=(job,), notes=notes)

    async def _refuse_the_cloned(self, image: Image, store: StoreId) -> None:
        cluster = self._clusters.get(store)
        if cluster is None:
            # Glance refuses then, when its turn comes.
            return
        try:
            async with patience(f"Ceph at {store} has not answered", "look at the site: ceph -s"):
                clones = (await cluster.inspect(image.id)).children
        except NotFoundError:
            # Glance believes in a copy that isn't there: taking it off the list is what is wanted.
            return
        except UnreachableError as error:
            raise UnreachableError(
                f"{store} can't be asked whether anything was cloned from the copy: {error.message}",
                remedy=error.remedy or "ask again when the site answers",
            ) from error
        if clones:
            needing = on_top(clones)
            raise RequestError(
                f"the copy of image {image.id} at {store} is in use: {needing.told}", remedy=needing.remedy(store)
            )

    async def _pause(self, request: RemovalRequest, image: Image, store: StoreId) -> None:
        now = self._desk.clock.now()
        pause = Pause(image=image.id, store=store, by=request.who, reason="its copy was deleted", since=now)
        message = f"{request.who} paused {pause.scope}: {pause.reason}"
        event = Event(at=now, kind=EventKind.PAUSED, message=message, image=image.id, store=store)
        # Before the job: a copy must not come back in between.
        await self._desk.journal.pause(pause, event)
        self._desk.on_change()

    def _job(self, request: RemovalRequest, image: Image, store: StoreId) -> Job:
        return Job(
            id=JobId(new_id()),
            image=image.id,
            image_name=image.name,
            origin=Origin.PERSON,
            requested_by=request.who,
            allow_failure=True,
            priority=0,
            state=JobState.QUEUED,
            stores=(StoreResult(store=store),),
            created_at=self._desk.clock.now(),
            work=Work.REMOVE,
        )


def _check(picture: Picture, image: Image, store: StoreId) -> None:
    """RequestError or ConflictError for what can't be deleted at all, as far as Glance and the journal tell."""
    if store == picture.world.topology.hub:
        raise RequestError(
            f"{store} is the hub: every copy comes from there, and its own is kept",
            remedy=f"to be rid of the image everywhere: openstack image delete {image.id}",
        )
    if store not in image.stores:
        there = ", ".join(sorted(image.stores)) or "nowhere"
        raise NotFoundError(f"image {image.id} has no copy at {store}", remedy=f"it is at: {there}")
    if image.stores == {store}:
        raise RequestError(
            f"the copy at {store} is the last one of image {image.id}",
            remedy=f"copy it to another store first, or delete the image: openstack image delete {image.id}",
        )
    for job in picture.ledger.jobs:
        if job.image != image.id or store not in job.pending:
            continue
        if job.work is Work.REMOVE:
            raise ConflictError(f"job {job.id} deletes this copy already", remedy="edgesync history tells its end")
        if job.work.brings:
            raise ConflictError(
                f"job {job.id} of {job.requested_by} asks for this copy",
                remedy=f"cancel that first: edgesync cancel {job.id}",
            )


def _refuse_the_wanted(picture: Picture, image: Image, store: StoreId) -> None:
    """RequestError for a copy that a policy would bring straight back.

    A pause of the image keeps it away. One of the whole store doesn't: the removal waits for its end, too.
    """
    if any(pause.image is not None and pause.covers(image.id, store) for pause in picture.ledger.pauses):
        return
    want = picture.wants.images.get(image.id)
    writable = picture.world.topology.writable
    wanting = [policy.name for policy in want.policies if store in policy.targets(writable)] if want else []
    if wanting:
        policies = f"policy {wanting[0]}" if len(wanting) == 1 else f"policies {', '.join(wanting)}"
        raise RequestError(
            f"{policies} would bring the copy of image {image.id} straight back to {store}",
            remedy="change the policy or the image; or add --pause to keep it away until you resume it",
        )


def _created(job: Job, store: StoreId) -> Event:
    return Event(
        at=job.created_at,
        kind=EventKind.JOB_CREATED,
        message=f"{job.requested_by} asked to delete the copy of {job.image_name or job.image} at {store}",
        image=job.image,
        store=store,
        job=job.id,
    )
