"""What every request needs: the picture, the image looked at afresh, and a job put into the journal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Event, Job
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.store import StoreId, Topology
from edgesync.errors import NotFoundError, RequestError, TransientError
from edgesync.expose.picture import Picture, Showcase

log = structlog.get_logger(__name__)

# Open jobs that the daemon keeps; whoever asks for more has a loop somewhere.
MAX_OPEN_JOBS = 10_000
# Seconds for Glance, or a site's Ceph, to answer; the command waits for 30.
PATIENCE = 20.0
_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Looks(Protocol):
    """Looks at one image now; the observer does."""

    async def show(self, image_id: ImageId) -> Image | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Shared by all kinds of requests."""

    showcase: Showcase
    looks: Looks
    journal: Journal
    clock: Clock
    # Told when the journal was written to: the next plan reads it again, and comes at once.
    on_change: Callable[[], None]

    def picture(self) -> Picture:
        """What was last seen; TransientError before the first look."""
        picture = self.showcase.picture
        if picture is None:
            trouble = self.showcase.health.trouble or "the first look at Glance is not finished"
            raise TransientError(
                f"edgesync does not know the images yet: {trouble}",
                remedy=self.showcase.health.remedy or "try again in a moment",
            )
        return picture

    async def find(self, wanted: str) -> Image:
        """By id or, failing that, by unique name; looked at afresh."""
        images = self.picture().world.images
        async with patience("Glance has not shown the image", "look whether glance-api answers: openstack image list"):
            # Only ids go into Glance's paths: a name may hold a / or a ?.
            if _ID.fullmatch(wanted) and (image := await self.looks.show(ImageId(wanted))):
                return image
            named = [image for image in images.values() if image.name == wanted]
            if len(named) > 1:
                ids = ", ".join(sorted(image.id for image in named))
                raise RequestError(f"{len(named)} images are named {wanted!r}", remedy=f"name one by its id: {ids}")
            found = await self.looks.show(named[0].id) if named else None
        if found is None:
            raise NotFoundError(
                f"there is no image {wanted!r}",
                remedy="openstack image list --all shows names and ids (also of hidden images: --hidden)",
            )
        return found

    def room_for(self, jobs: int) -> None:
        """TransientError when so many more jobs would be too many."""
        if len(self.picture().ledger.jobs) + jobs > MAX_OPEN_JOBS:
            raise TransientError(
                f"{MAX_OPEN_JOBS} jobs are open already", remedy="wait until some are done: edgesync status"
            )

    async def take(self, job: Job, event: Event) -> None:
        """Make it durable."""
        await self.journal.add_job(job)
        # The job counts from here on, whatever becomes of its event.
        self.on_change()
        await self.journal.add_events([event])
        stores = [entry.store for entry in job.stores]
        log.info("job accepted", job=job.id, work=job.work, image=job.image, stores=stores, by=job.requested_by)


@asynccontextmanager
async def patience(silence: str, remedy: str) -> AsyncIterator[None]:
    """End before whoever asks gives up, so that nothing is taken that was reported as refused."""
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError as error:
        raise TransientError(
            f"{silence} within {PATIENCE:g} seconds; the request was not taken", remedy=f"{remedy}; then ask again"
        ) from error


def existing(named: Iterable[str], topology: Topology) -> frozenset[StoreId]:
    """These stores; RequestError when Glance doesn't have one of them."""
    stores = frozenset(StoreId(store) for store in named)
    if unknown := sorted(stores - topology.stores.keys()):
        known = ", ".join(sorted(topology.stores))
        raise RequestError(f"Glance has no store {', '.join(unknown)}", remedy=f"its stores are {known}")
    return stores


def writable(named: Iterable[str], topology: Topology) -> frozenset[StoreId]:
    """These stores; RequestError when nothing can be written to one of them."""
    stores = existing(named, topology)
    if closed := sorted(stores - topology.writable):
        known = ", ".join(sorted(topology.writable))
        raise RequestError(f"nothing can be copied to {', '.join(closed)}: read-only", remedy=f"stores: {known}")
    return stores
