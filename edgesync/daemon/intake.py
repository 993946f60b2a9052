"""Accepts a person's request for copies: checks it against what is there now, and puts a job into the journal.

The rules are the vendor guide's: a store named explicitly that has the data already makes the request fail, `all`
leaves such stores out; the image must be at the hub first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import structlog

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import CopyResult, Event, EventKind, Job, JobId, JobState, Origin, StoreResult
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.store import StoreId, Topology
from edgesync.domain.world import World
from edgesync.errors import NotFoundError, RequestError, TransientError
from edgesync.execute.record import new_id
from edgesync.expose.picture import Showcase
from edgesync.expose.requests import CopyRequest
from edgesync.observe.observer import Observer

log = structlog.get_logger(__name__)

# Open jobs that the daemon keeps; whoever asks for more has a loop somewhere.
MAX_OPEN_JOBS = 10_000
# Seconds for Glance to show the image; the command waits for 30.
PATIENCE = 20.0
_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Intake:
    """The daemon's counter: what comes in here has been checked, and is durable when the answer goes out."""

    def __init__(
        self,
        *,
        showcase: Showcase,
        observer: Observer,
        journal: Journal,
        clock: Clock,
        on_job: Callable[[], None],
    ) -> None:
        self._showcase = showcase
        self._observer = observer
        self._journal = journal
        self._clock = clock
        self._on_job = on_job

    async def copy(self, request: CopyRequest) -> Job:
        """Take the request, or raise RequestError or NotFoundError with the reason."""
        world = self._world()
        try:
            # Before whoever asks gives up, so that nothing is taken that was reported as refused.
            async with asyncio.timeout(PATIENCE):
                image = await self._find(request.image, world)
        except TimeoutError as error:
            raise TransientError(
                f"Glance has not shown the image within {PATIENCE:g} seconds; the request was not taken",
                remedy="look whether glance-api answers: openstack image list; then ask again",
            ) from error
        stores = choose_stores(request, image, world.topology)
        job = Job(
            id=JobId(new_id()),
            image=image.id,
            image_name=image.name,
            origin=Origin.PERSON,
            requested_by=request.requested_by or "api",
            allow_failure=request.allow_failure,
            priority=0,
            state=JobState.QUEUED if stores else JobState.DONE,
            stores=tuple(StoreResult(store=store, result=CopyResult.PENDING) for store in stores),
            created_at=self._clock.now(),
            ended_at=None if stores else self._clock.now(),
        )
        await self._journal.add_job(job)
        # The job counts from here on, whatever becomes of its event.
        self._on_job()
        await self._journal.add_events([_created(job)])
        log.info("job accepted", job=job.id, image=job.image, stores=stores, by=job.requested_by)
        return job

    def _world(self) -> World:
        picture = self._showcase.picture
        if picture is None:
            trouble = self._showcase.health.trouble or "the first look at Glance is not finished"
            raise TransientError(
                f"edgesync does not know the images yet: {trouble}",
                remedy=self._showcase.health.remedy or "try again in a moment",
            )
        if len(picture.ledger.jobs) >= MAX_OPEN_JOBS:
            raise TransientError(
                f"{MAX_OPEN_JOBS} jobs are open already", remedy="wait until some are done: edgesync status"
            )
        return picture.world

    async def _find(self, wanted: str, world: World) -> Image:
        """By id or, failing that, by name; looked at afresh."""
        # Only ids go into Glance's paths: a name may hold a / or a ?.
        if _ID.fullmatch(wanted) and (image := await self._observer.show(ImageId(wanted))):
            return image
        named = [image for image in world.images.values() if image.name == wanted]
        if len(named) > 1:
            ids = ", ".join(sorted(image.id for image in named))
            raise RequestError(f"{len(named)} images are named {wanted!r}", remedy=f"name one by its id: {ids}")
        found = await self._observer.show(named[0].id) if named else None
        if found is None:
            raise NotFoundError(
                f"there is no image {wanted!r}",
                remedy="openstack image list --all shows names and ids (also of hidden images: --hidden)",
            )
        return found


def choose_stores(request: CopyRequest, image: Image, topology: Topology) -> tuple[StoreId, ...]:
    """The stores that a request means; empty when `all` finds a copy everywhere. RequestError says what is wrong."""
    if not image.active:
        raise RequestError(
            f"image {image.id} is {image.status}; only an active image can be copied",
            remedy="upload or import its data first: openstack image show tells its status",
        )
    stores = topology.writable - image.stores if request.all_stores else _named(request, image, topology)
    # Together with the edges only where each store may come on its own: they wait until the hub has it.
    comes_first = topology.hub in stores and request.allow_failure
    if stores - {topology.hub} and topology.hub not in image.stores and not comes_first:
        raise RequestError(
            f"image {image.id} is not at {topology.hub}, and every copy comes from there",
            remedy=f"copy it there first: edgesync copy {image.id} --stores {topology.hub}",
        )
    return tuple(sorted(stores))


def _named(request: CopyRequest, image: Image, topology: Topology) -> frozenset[StoreId]:
    stores = frozenset(StoreId(store) for store in request.stores)
    known = ", ".join(sorted(topology.stores))
    if unknown := sorted(stores - topology.stores.keys()):
        raise RequestError(f"Glance has no store {', '.join(unknown)}", remedy=f"its stores are {known}")
    if closed := sorted(stores - topology.writable):
        raise RequestError(f"nothing can be copied to {', '.join(closed)}: read-only", remedy=f"stores: {known}")
    if there := sorted(stores & image.stores):
        raise RequestError(
            f"image {image.id} is already in {', '.join(there)}; nothing was copied",
            remedy="leave that store out, or use --all-stores, which skips stores that have the image",
        )
    return stores


def _created(job: Job) -> Event:
    stores = ", ".join(entry.store for entry in job.stores) or "no store: every one has a copy"
    return Event(
        at=job.created_at,
        kind=EventKind.JOB_CREATED,
        message=f"{job.requested_by} asked for copies of {job.image_name or job.image} in {stores}",
        image=job.image,
        job=job.id,
    )
