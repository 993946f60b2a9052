"""Requests for copies.

The rules are the vendor guide's: a store named explicitly that has the data already makes the request fail, `all`
leaves such stores out; the image must be at the hub first, and is brought there where that can come on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edgesync.daemon.desk import Desk, writable
from edgesync.daemon.forecast import Forecast
from edgesync.daemon.foresight import foresee
from edgesync.domain.image import Image
from edgesync.domain.job import EngineChoice, Event, EventKind, Job, JobId, JobState, Origin, StoreResult
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId, Topology
from edgesync.errors import EdgesyncError, NotFoundError, RequestError
from edgesync.execute.record import new_id
from edgesync.expose.picture import Picture
from edgesync.expose.requests import CopyRequest, Refusal, Taken
from edgesync.plan.engine_choice import Means, Question, means_of, never

# Images that one request for a policy's copies takes: whoever asks is answered within seconds.
AT_ONCE = 500


class Copies:
    """Takes requests for copies of one image, or of all that a policy misses."""

    def __init__(self, desk: Desk, policies: Callable[[], Sequence[Policy]], forecast: Forecast | None) -> None:
        """`forecast`: None where no blocks can be looked at."""
        self._desk = desk
        self._policies = policies
        self._forecast = forecast

    async def take(self, request: CopyRequest) -> Taken:
        if request.policy is not None:
            return await self._of_policy(request, self._policy(request.policy))
        self._desk.room_for(1)
        image = await self._desk.find(request.image or "")
        picture = self._desk.picture()
        stores, notes = choose_stores(request, image, picture.world.topology, edge_origin=picture.rules.edge_origin)
        job = self._job(request, image, stores)
        _refuse_the_hopeless(job, image, means_of(picture.situation))
        return await self._finish(request, [job], Taken(jobs=(), notes=notes))

    async def _of_policy(self, request: CopyRequest, policy: Policy) -> Taken:
        picture = self._desk.picture()
        jobs: list[Job] = []
        refused: list[Refusal] = []
        left = 0
        edge_origin, means = picture.rules.edge_origin, means_of(picture.situation)
        for image, missing in _misses(picture, policy):
            if len(jobs) + len(refused) == AT_ONCE:
                left += 1
                continue
            try:
                stores = _hub_first(
                    missing, image, picture.world.topology, may_add=policy.allow_failure and edge_origin
                )
                allow = request.allow_failure and policy.allow_failure
                engine = request.engine or policy.engine
                job = replace(self._job(request, image, stores), allow_failure=allow, engine=engine)
                _refuse_the_hopeless(job, image, means)
            except EdgesyncError as error:
                refused.append(
                    Refusal(image=image.id, image_name=image.name, detail=error.message, remedy=error.remedy)
                )
            else:
                jobs.append(job)
        return await self._finish(request, jobs, Taken(jobs=(), refused=tuple(refused), left=left))

    def _policy(self, name: str) -> Policy:
        policies = {policy.name: policy for policy in self._policies()}
        if name not in policies:
            known = ", ".join(policies) or "none"
            raise NotFoundError(f"there is no policy {name!r}", remedy=f"the configuration has: {known}")
        return policies[name]

    async def _finish(self, request: CopyRequest, jobs: Sequence[Job], taken: Taken) -> Taken:
        """Write the jobs down, or for a dry run only see what would become of them."""
        if request.dry_run:
            would_be = tuple(replace(job, id=JobId(f"dry-run-{number}")) for number, job in enumerate(jobs, start=1))
            foreseen = foresee(self._desk.picture(), would_be, self._desk.clock.now())
            if self._forecast is not None:
                images = {job.image for job in would_be}
                starts = [start for start in foreseen.plan.starts if start.image in images]
                foreseen = replace(foreseen, ways=await self._forecast.of(starts, foreseen.world.images))
            return replace(taken, jobs=would_be, foreseen=foreseen)
        self._desk.room_for(len(jobs))
        for job in jobs:
            await self._desk.take(job, _created(job))
        return replace(taken, jobs=tuple(jobs))

    def _job(self, request: CopyRequest, image: Image, stores: tuple[StoreId, ...]) -> Job:
        now = self._desk.clock.now()
        return Job(
            id=JobId(new_id()),
            image=image.id,
            image_name=image.name,
            origin=Origin.PERSON,
            requested_by=request.who,
            allow_failure=request.allow_failure,
            priority=0,
            state=JobState.QUEUED if stores else JobState.DONE,
            stores=tuple(StoreResult(store=store) for store in stores),
            created_at=now,
            ended_at=None if stores else now,
            urgent=request.urgent,
            engine=request.engine or EngineChoice.AUTO,
        )


def choose_stores(
    request: CopyRequest, image: Image, topology: Topology, *, edge_origin: bool
) -> tuple[tuple[StoreId, ...], tuple[str, ...]]:
    """The stores that a request means, and what to tell of them; RequestError says what is wrong.

    None when `all` finds a copy everywhere. An image that is only at an edge goes to the hub first, where
    `edge_origin` lets it.
    """
    stores = topology.writable - image.stores if request.all_stores else _named(request, image, topology)
    may_add = request.allow_failure and (edge_origin or topology.hub in stores)
    chosen = _hub_first(stores, image, topology, may_add=may_add)
    if request.all_stores or set(chosen) == stores:
        return chosen, ()
    return chosen, (f"{topology.hub} was added: the image is not there yet, and every copy comes from there",)


def _hub_first(stores: frozenset[StoreId], image: Image, topology: Topology, *, may_add: bool) -> tuple[StoreId, ...]:
    """The stores in order, the hub among them where the image has yet to come there."""
    if not image.active:
        raise RequestError(
            f"image {image.id} is {image.status}; only an active image can be copied",
            remedy="upload or import its data first: openstack image show tells its status",
        )
    hub = topology.hub
    if stores - {hub} and hub not in image.stores:
        if not may_add:
            # All or nothing is one import, too, and the edges can't start before the hub has the data.
            raise RequestError(
                f"image {image.id} is not at {hub}, and every copy comes from there",
                remedy=f"copy it there first: edgesync copy {image.id} --stores {hub}",
            )
        stores |= {hub}
    return tuple(sorted(stores, key=lambda store: (store != hub, store)))


def _named(request: CopyRequest, image: Image, topology: Topology) -> frozenset[StoreId]:
    stores = writable(request.stores, topology)
    if there := sorted(stores & image.stores):
        raise RequestError(
            f"image {image.id} is already in {', '.join(there)}; nothing was copied",
            remedy="leave that store out, or use --all-stores, which skips stores that have the image",
        )
    return stores


def _refuse_the_hopeless(job: Job, image: Image, means: Means) -> None:
    """RequestError for copies by the rbd engine that would wait until somebody changes the cloud, or asks otherwise."""
    question = Question(
        choice=job.engine,
        stores=job.pending,
        disk_format=image.disk_format,
        container_format=image.container_format,
        at_hub=means.hub in image.stores,
        together=not job.allow_failure,
    )
    if hindrance := never(question, means):
        raise RequestError(
            f"the rbd engine can't copy image {image.id}: {hindrance.why}; nothing was copied", remedy=hindrance.remedy
        )


def _misses(picture: Picture, policy: Policy) -> Iterator[tuple[Image, frozenset[StoreId]]]:
    """The images that miss a copy which this policy wants and no open job asks for, by name."""
    topology = picture.world.topology
    found = []
    for image_id, want in picture.wants.gaps.items():
        image = picture.world.images.get(image_id)
        if image is None or policy.name not in {entry.name for entry in want.policies}:
            continue
        missing = policy.targets(topology.writable) & topology.writable & (want.missing - image.stores)
        if missing := missing - picture.asked.get(image_id, frozenset()):
            found.append((image, missing))
    yield from sorted(found, key=lambda entry: (entry[0].name, entry[0].id))


def _created(job: Job) -> Event:
    stores = ", ".join(entry.store for entry in job.stores) or "no store: every one has a copy"
    urgently = " urgently" if job.urgent else ""
    engine = "" if job.engine is EngineChoice.AUTO else f", by {job.engine}"
    return Event(
        at=job.created_at,
        kind=EventKind.JOB_CREATED,
        message=f"{job.requested_by} asked{urgently} for copies of {job.image_name or job.image} in {stores}{engine}",
        image=job.image,
        job=job.id,
    )
