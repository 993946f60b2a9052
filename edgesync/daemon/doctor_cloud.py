"""What `doctor` sees of Keystone and Glance, and which of it is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from edgesync.clients.checkup import Checkup
from edgesync.clients.glance import GlanceClient
from edgesync.clients.keystone import OpenStackAuth
from edgesync.config import Settings
from edgesync.daemon.doctor_tries import tried
from edgesync.domain.image import Image, ImageId
from edgesync.domain.ports import Clock
from edgesync.domain.store import Store, Topology
from edgesync.errors import EdgesyncError, TransientError, UnreachableError
from edgesync.plan.diagnosis import Diagnosis, failed, unknown
from edgesync.plan.diagnosis_cloud import judge_clock, judge_level, judge_locations, judge_login
from edgesync.plan.diagnosis_images import Lock
from edgesync.plan.diagnosis_stores import judge_stores

# Seconds that one request may take at most, whatever is configured; that all pages of images may take.
REQUEST_LIMIT, LISTING_LIMIT = 15.0, 120.0
# Locks whose task is looked at, all and at a time.
MOST_LOCKS, AT_ONCE = 200, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Those who ask, with one log-in."""

    glance: GlanceClient
    checkup: Checkup


@dataclass(kw_only=True, slots=True)
class Cloud:
    """What was seen; None where nobody told."""

    at: datetime
    diagnoses: list[Diagnosis] = field(default_factory=list)
    topology: Topology | None = None
    images: Mapping[ImageId, Image] | None = None
    locks: Sequence[Lock] = ()
    # Images that are locked, whether their lock was looked at or not.
    locked: int = 0
    # What kept locks from being looked at.
    locks_unseen: EdgesyncError | None = None


@asynccontextmanager
async def log_in(settings: Settings) -> AsyncIterator[Desk]:
    """Nothing is asked yet: a log-in that fails does so with the first question."""
    files = [str(settings.clouds_file)] if settings.clouds_file else None
    deadline = min(settings.glance.timeout, REQUEST_LIMIT)
    auth = OpenStackAuth(cloud=settings.cloud, config_files=files, region=settings.region, deadline=deadline)
    checkup = Checkup(auth, deadline=deadline)
    try:
        async with GlanceClient(auth, deadline=deadline, attempts=2, page_size=settings.glance.page_size) as glance:
            yield Desk(glance=glance, checkup=checkup)
    finally:
        await checkup.close()
        await auth.close()


async def look_at_cloud(desk: Desk, settings: Settings, clock: Clock) -> Cloud:
    """Everything that Keystone and Glance tell. Where one of them does not answer, no more is asked."""
    cloud = Cloud(at=clock.now())
    identity = await tried(desk.checkup.identity())
    if isinstance(identity, EdgesyncError):
        cloud.diagnoses += [failed("log-in", identity), unknown("glance", "Without a log-in it was not looked at.")]
        return cloud
    cloud.diagnoses.append(judge_login(identity))
    version, keystone = await asyncio.gather(tried(desk.glance.check()), tried(desk.checkup.keystone_ahead()))
    cloud.diagnoses.append(judge_clock("Keystone", keystone, subject="keystone"))
    if isinstance(version, EdgesyncError):
        cloud.diagnoses.append(failed("glance", version))
    if not isinstance(version, TransientError):
        await _look_at_glance(cloud, desk, settings)
    # Only now: once the stores are known, it is known whether their clusters are told.
    if desk.glance.level is not None:
        cloud.diagnoses += judge_level(desk.glance.level)
    return cloud


async def _look_at_glance(cloud: Cloud, desk: Desk, settings: Settings) -> None:
    ahead, locations, stores, images = await asyncio.gather(
        tried(desk.checkup.glance_ahead()),
        tried(desk.checkup.shows_locations()),
        tried(desk.glance.stores()),
        tried(_images(desk.glance)),
    )
    cloud.diagnoses += [judge_clock("Glance", ahead, subject="glance"), judge_locations(locations)]
    if isinstance(stores, EdgesyncError):
        cloud.diagnoses.append(failed("stores", stores))
    else:
        cloud.topology = _topology(settings, stores)
        cloud.diagnoses += judge_stores(cloud.topology, settings.where)
    if isinstance(images, EdgesyncError):
        cloud.diagnoses.append(failed("images", images))
    else:
        cloud.images = images
        await _look_at_locks(cloud, desk.glance, images)


def _topology(settings: Settings, stores: Sequence[Store]) -> Topology:
    return Topology(hub=settings.hub, stores={store.id: store for store in stores})


async def _images(glance: GlanceClient) -> dict[ImageId, Image]:
    images: dict[ImageId, Image] = {}
    try:
        async with asyncio.timeout(LISTING_LIMIT):
            async for page in glance.images():
                images |= {image.id: image for image in page}
    except TimeoutError as error:
        raise UnreachableError(
            f"Glance did not list all images within {LISTING_LIMIT:g} s; it listed {len(images)}.",
            remedy="Look at the load of glance-api and its database.",
        ) from error
    return images


async def _look_at_locks(cloud: Cloud, glance: GlanceClient, images: Mapping[ImageId, Image]) -> None:
    moving = [image for image in images.values() if image.moving]
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(image: Image) -> Lock | EdgesyncError:
        async with gate:
            return await tried(_lock(glance, image))

    looked = await asyncio.gather(*(look(image) for image in moving[:MOST_LOCKS]))
    cloud.locked = len(moving)
    cloud.locks = [lock for lock in looked if isinstance(lock, Lock)]
    cloud.locks_unseen = next((lock for lock in looked if isinstance(lock, EdgesyncError)), None)


async def _lock(glance: GlanceClient, image: Image) -> Lock:
    tasks = await glance.tasks(image.id)
    holder = next((task for task in tasks if task.id == image.lock), None)
    return Lock(image=image, task=holder, forgotten=bool(tasks) and holder is None)
