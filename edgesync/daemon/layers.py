"""Copy-on-write at a site, for people: what lies on what, a disk cloned from a copy, a copy made independent.

All of it is looked at and done at the site itself, when it is asked for. Nothing of the data crosses the line: a clone
writes none, and what is flattened the site's own manager flattens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice

import structlog

from edgesync.daemon.desk import Desk, existing, patience
from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import MIB, Flattening
from edgesync.domain.image import Image
from edgesync.domain.job import Event, EventKind
from edgesync.domain.layers import Flattened, PoolLayers, SiteLayers
from edgesync.domain.ports import Cluster
from edgesync.domain.site import RbdImage
from edgesync.domain.store import StoreId
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    NotFoundError,
    PermanentError,
    RequestError,
    TransientError,
    UnreachableError,
)
from edgesync.expose.requests import CloneRequest, FlattenRequest

log = structlog.get_logger(__name__)

# A disk has objects of this size where the copy's are too small for one: a layered copy's may be 64 KiB, of which a
# full disk of 40 GiB would have 655,360. Nova's clones of an ordinary copy have its 8 MiB. Tried on 16.2, OSD nearby:
# neither is faster in a row; the first small write to an object, which copies it up, takes twice as long for 8 MiB.
DISK_OBJECT = 8 * MIB
LEAST_DISK_OBJECT = 4 * MIB
# Images that can't be looked at, before they are only counted.
NAMED = 5
# Seconds for a site to do something, once it was looked at within the desk's patience; the command waits for 30.
DOING = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One store whose Ceph is configured."""

    pool: str
    cluster: Cluster
    blocks: Blocks


class Layering:
    """Answers questions about layers, and carries out what people ask for."""

    def __init__(self, desk: Desk, places: Mapping[StoreId, Place]) -> None:
        self._desk = desk
        self._places = places

    async def layers(self, store: str | None) -> tuple[SiteLayers, ...]:
        """Of one store, or of all whose Ceph is configured; a site that can't tell says why."""
        if store is None:
            return tuple(await asyncio.gather(*(self._site(name) for name in sorted(self._places))))
        (named,) = existing([store], self._desk.picture().world.topology)
        self._place(named)
        return (await self._site(named),)

    async def clone(self, request: CloneRequest) -> str:
        """Make a disk on top of a copy; where it is, as pool/name."""
        image, store, place = await self._copy(request.image, request.store)
        _fit_for_disks(image)
        await self._sound(image, store)
        if request.pool == place.pool:
            raise RequestError(
                f"{request.pool} is the pool of {store}'s images: Glance would not know the clone, and nothing uses it",
                remedy="name the pool of the disks: Nova's is mostly vms, Cinder's volumes",
            )
        async with patience(f"Ceph at {store} has not answered", "look at the site: ceph -s"):
            _bootable(await _inspected(place.cluster, image, store), image, store)
            async with place.blocks.reading(image.id) as reading:
                inherited = reading.layout.object_size
        size = inherited if inherited >= LEAST_DISK_OBJECT else DISK_OBJECT
        disk = f"{request.pool}/{request.name}"
        async with _doing(f"{disk} may have been cloned", store):
            await place.blocks.disk(image.id, request.pool, request.name, object_size=size)
        await self._tell(
            EventKind.DISK_CLONED, image, store, f"{request.who} had {disk} cloned from the copy at {store}"
        )
        return disk

    async def flatten(self, request: FlattenRequest) -> Flattened:
        """Have a copy made independent of the one below; how far that is."""
        image, store, place = await self._copy(request.image, request.store)
        before = await self._flattened(image, store, place)
        if before.parent is None:
            raise RequestError(
                f"the copy of image {image.id} at {store} is on top of no other: there is nothing to flatten",
                remedy=f"edgesync layers --store {store} shows what lies on what",
            )
        if before.task is not None:
            return before
        async with _doing("the manager there may have begun to flatten it", store):
            await place.blocks.flatten(image.id)
        await self._tell(
            EventKind.FLATTEN_ASKED,
            image,
            store,
            f"{request.who} had the manager at {store} begin to make the copy independent of {before.parent}",
        )
        try:
            return await self._flattened(image, store, place)
        except TransientError:
            return replace(before, trouble=f"Ceph at {store} has not told how far that is")

    async def flattened(self, image: str, store: str) -> Flattened:
        """How far that is."""
        return await self._flattened(*await self._copy(image, store))

    async def _site(self, store: StoreId) -> SiteLayers:
        place = self._places[store]
        try:
            async with patience(f"{store} has not told its layers", "ask for this store alone, or look at the site"):
                found = await place.blocks.layers()
                tasks, trouble = await _tasks(place.blocks)
        except EdgesyncError as error:
            return SiteLayers(store=store, pool=place.pool, trouble=error.message, remedy=error.remedy)
        missing = _missing(found)
        return SiteLayers(
            store=store,
            pool=place.pool,
            layers=found.layers,
            unseen=found.unseen,
            left_out=found.left_out,
            flattening=tasks,
            trouble="; ".join(filter(None, (missing, trouble))),
            remedy=f"`rbd info` tells more of each: look at them at {store}" if found.unseen else "",
        )

    async def _copy(self, wanted: str, named: str) -> tuple[Image, StoreId, Place]:
        """RequestError or NotFoundError where there is no such copy, or nobody can look at it."""
        image = await self._desk.find(wanted)
        (store,) = existing([named], self._desk.picture().world.topology)
        if store not in image.stores:
            there = ", ".join(sorted(image.stores)) or "nowhere"
            raise NotFoundError(
                f"image {image.id} has no copy at {store}",
                remedy=f"it is at: {there}; to have it there: edgesync copy {image.id} --stores {store}",
            )
        return image, store, self._place(store)

    def _place(self, store: StoreId) -> Place:
        place = self._places.get(store)
        if place is None:
            raise RequestError(
                f"edgesync does not know the Ceph of {store}", remedy=f"add stores.{store}.ceph to the configuration"
            )
        return place

    async def _sound(self, image: Image, store: StoreId) -> None:
        verification = (await self._desk.journal.verifications(image.id)).get(store)
        if verification is not None and not verification.sound:
            raise RequestError(
                f"the copy of image {image.id} at {store} is damaged: {verification.damage}",
                remedy="have it repaired before anything boots from it",
            )

    async def _flattened(self, image: Image, store: StoreId, place: Place) -> Flattened:
        async with patience(f"Ceph at {store} has not answered", "look at the site: ceph -s"):
            parent = await place.blocks.parent(image.id)
            tasks, trouble = await _tasks(place.blocks) if parent is not None else ((), "")
        task = next((task for task in tasks if task.image == image.id), None)
        return Flattened(image=image.id, store=store, size=image.size or 0, parent=parent, task=task, trouble=trouble)

    async def _tell(self, kind: EventKind, image: Image, store: StoreId, message: str) -> None:
        event = Event(at=self._desk.clock.now(), kind=kind, message=message, image=image.id, store=store)
        await self._desk.journal.add_events([event])
        log.info(message, image=image.id, store=store)


def _missing(found: PoolLayers) -> str:
    """What of the pool is not shown; empty: nothing."""
    parts = []
    if found.unseen:
        named = "; ".join(f"{spec}: {why}" for spec, why in islice(found.unseen.items(), NAMED))
        more = f"; and {len(found.unseen) - NAMED} more" if len(found.unseen) > NAMED else ""
        parts.append(f"{len(found.unseen)} can't be looked at: {named}{more}")
    if found.left_out:
        parts.append(f"{found.left_out} more disks were not looked at: each is shown without its sizes")
    return "; ".join(parts)


@asynccontextmanager
async def _doing(what: str, store: StoreId) -> AsyncIterator[None]:
    """A site does something. Where no answer comes, it may have done so: then the TransientError says that."""
    try:
        async with asyncio.timeout(DOING):
            yield
    except (TimeoutError, UnreachableError) as silence:
        if isinstance(silence, UnreachableError) and not silence.sent:
            raise
        raise TransientError(
            f"Ceph at {store} has not answered; {what}",
            remedy=f"look whether it was done before you ask again: edgesync layers --store {store}",
        ) from silence


async def _tasks(blocks: Blocks) -> tuple[tuple[Flattening, ...], str]:
    """What is being flattened, or why nobody knows: layers can be told without a manager."""
    try:
        return await blocks.tasks(), ""
    except EdgesyncError as error:
        return (), f"what is being flattened is not known: {error.message}"


async def _inspected(cluster: Cluster, image: Image, store: StoreId) -> RbdImage:
    try:
        return await cluster.inspect(image.id)
    except NotFoundError as error:
        raise RequestError(
            f"Glance lists a copy of image {image.id} at {store}, and RBD has none",
            remedy=f"audits mend that: edgesync stores shows the findings at {store}",
        ) from error


def _fit_for_disks(image: Image) -> None:
    if not image.active:
        raise ConflictError(f"image {image.id} is {image.status}: nothing is made of it", remedy="activate it first")
    if image.disk_format != "raw":
        raise RequestError(
            f"image {image.id} is {image.disk_format}: a disk cloned from it would not boot",
            remedy="convert it: qemu-img convert -O raw, and upload that",
        )


def _bootable(rbd: RbdImage, image: Image, store: StoreId) -> None:
    """PermanentError for a copy that nothing can or should be cloned from."""
    if image.size is not None and rbd.size != image.size:
        why = f"has {rbd.size} bytes instead of {image.size}"
    elif not rbd.snapshot:
        why = "has no snapshot `snap`"
    elif not rbd.protected:
        why = "has a snapshot that is not protected"
    else:
        return
    raise PermanentError(
        f"the copy of image {image.id} at {store} {why}",
        remedy=f"audits mend what can be mended: edgesync stores shows the findings at {store}",
    )
