"""Requests to have copies compared with their image."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from edgesync.daemon.desk import Desk, existing
from edgesync.domain.image import Image
from edgesync.domain.job import Event, EventKind, Job, JobId, JobState, Origin, StoreResult, Work
from edgesync.domain.store import StoreId
from edgesync.errors import RequestError
from edgesync.execute.record import new_id
from edgesync.expose.picture import Picture
from edgesync.expose.requests import Taken, VerificationRequest

# Images that one request for all takes: whoever asks is answered within seconds.
AT_ONCE = 500
NEVER = datetime.min.replace(tzinfo=UTC)


class Verifications:
    """Takes requests to verify the copies of one image, or of all."""

    def __init__(self, desk: Desk, clusters: Collection[StoreId]) -> None:
        self._desk = desk
        # The stores where Ceph is configured.
        self._clusters = clusters

    async def take(self, request: VerificationRequest) -> Taken:
        picture = self._desk.picture()
        chosen = existing(request.stores, picture.world.topology)
        if blind := sorted(chosen - frozenset(self._clusters)):
            names = ", ".join(blind)
            raise RequestError(
                f"Ceph is not configured for {names}: nothing can be compared there",
                remedy=f"give stores.{blind[0]}.ceph in the configuration, or leave the store out",
            )
        if request.all:
            return await self._all(request, picture, chosen)
        self._desk.room_for(1)
        image = await self._desk.find(request.image or "")
        if missing := sorted(chosen - image.stores):
            raise RequestError(
                f"image {image.id} has no copy in {', '.join(missing)}",
                remedy=f"its copies are in {', '.join(sorted(image.stores)) or 'no store'}",
            )
        stores = chosen or self._comparable(image)
        if not stores:
            raise RequestError(
                f"no copy of image {image.id} can be compared: it has none where Ceph is configured",
                remedy="edgesync status shows where it is; stores.STORE.ceph tells edgesync how to look",
            )
        return await self._accept(request, [(image, stores)])

    async def _all(self, request: VerificationRequest, picture: Picture, chosen: frozenset[StoreId]) -> Taken:
        """All that are not being verified already, so that asking again goes on with the rest."""
        asked = {job.image for job in picture.ledger.jobs if job.work is Work.VERIFY}
        found = [
            (image, stores)
            for image in picture.world.images.values()
            if image.id not in asked
            and (stores := self._comparable(image) & chosen if chosen else self._comparable(image))
        ]
        found.sort(key=lambda entry: (_oldest(picture, *entry), entry[0].name, entry[0].id))
        self._desk.room_for(min(len(found), AT_ONCE))
        taken = await self._accept(request, found[:AT_ONCE])
        return replace(taken, left=max(0, len(found) - AT_ONCE))

    async def _accept(self, request: VerificationRequest, found: list[tuple[Image, frozenset[StoreId]]]) -> Taken:
        jobs = [self._job(request, image, stores) for image, stores in found]
        for job in jobs:
            await self._desk.take(job, _created(job))
        return Taken(jobs=tuple(jobs))

    def _comparable(self, image: Image) -> frozenset[StoreId]:
        return frozenset(store for store in image.stores if store in self._clusters)

    def _job(self, request: VerificationRequest, image: Image, stores: frozenset[StoreId]) -> Job:
        hub = self._desk.picture().world.topology.hub
        return Job(
            id=JobId(new_id()),
            image=image.id,
            image_name=image.name,
            origin=Origin.PERSON,
            requested_by=request.who,
            allow_failure=True,
            priority=0,
            state=JobState.QUEUED,
            # The hub's first: what is wrong there concerns all others.
            stores=tuple(StoreResult(store=store) for store in sorted(stores, key=lambda store: (store != hub, store))),
            created_at=self._desk.clock.now(),
            work=Work.VERIFY,
            deep=request.deep,
            mend=request.repair,
        )


def _oldest(picture: Picture, image: Image, stores: frozenset[StoreId]) -> datetime:
    """When the copy was last verified for which that was longest ago."""
    return min((at for at in _verified(picture, image, stores)), default=NEVER)


def _verified(picture: Picture, image: Image, stores: frozenset[StoreId]) -> Iterator[datetime]:
    for store in stores:
        found = picture.site(store).verified.get(image.id)
        yield found.at if found is not None else NEVER


def _created(job: Job) -> Event:
    how = (", reading the hub's data again" if job.deep else "") + (", and broken ones mended" if job.mend else "")
    stores = ", ".join(entry.store for entry in job.stores)
    return Event(
        at=job.created_at,
        kind=EventKind.JOB_CREATED,
        message=f"{job.requested_by} asked to verify {job.image_name or job.image} in {stores}{how}",
        image=job.image,
        job=job.id,
    )
