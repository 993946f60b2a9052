"""Requests to import a new image: from a URI that Glance fetches (web-download), or a file sent to us (glance-direct).

The image always comes to the hub, first of all; only with `edge_origin: false` may it go to one single edge instead.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, Awaitable, Callable, Collection
from datetime import datetime
from typing import Protocol

from yarl import URL

from edgesync.daemon.desk import Desk, patience, writable
from edgesync.daemon.formats import format_notes, guessed_format
from edgesync.domain.image import ImageId
from edgesync.domain.job import Event, EventKind, ImportSource, Job, JobId, JobState, Origin, StoreResult, Work
from edgesync.domain.store import StoreId, Topology
from edgesync.errors import ConflictError, RequestError, TransientError
from edgesync.execute.record import new_id
from edgesync.expose.requests import ImportRequest, Taken

# Files that are taken in at the same time: each is a stream through this process.
UPLOADS = 4
WEB, DIRECT = "web-download", "glance-direct"
# Which import methods Glance has enabled.
Methods = Callable[[], Awaitable[Collection[str]]]
# What an image has beside its properties: Glance refuses properties of these names.
_ATTRIBUTES = frozenset(
    {"id", "name", "status", "visibility", "owner", "size", "virtual_size", "checksum", "created_at", "updated_at"}
    | {"tags", "self", "file", "schema", "stores", "disk_format", "container_format", "min_disk", "min_ram"}
    | {"protected", "locations", "direct_url", "os_hidden", "os_hash_algo", "os_hash_value"}
)


class Importer(Protocol):
    """Passes a file's data on to Glance."""

    async def stage(self, job: Job, data: AsyncIterable[bytes]) -> None:
        """Make the job's image, and send its data to Glance's staging area."""
        ...


class Imports:
    """Takes requests for imports, and the data of those from files."""

    def __init__(self, desk: Desk, importer: Importer | None, methods: Methods | None) -> None:
        self._desk = desk
        self._importer = importer
        self._methods = methods
        # Jobs whose data is coming in.
        self._receiving: set[JobId] = set()

    async def take(self, request: ImportRequest) -> Taken:
        self._desk.room_for(1)
        picture = self._desk.picture()
        stores, notes = choose_stores(request, picture.world.topology, edge_origin=picture.rules.edge_origin)
        source, more = _source(request)
        await self._refuse_a_method_that_is_off(WEB if request.uri else DIRECT)
        job = Job(
            id=JobId(new_id()),
            image=ImageId(str(uuid.uuid4())),
            image_name=request.name,
            origin=Origin.PERSON,
            requested_by=request.who,
            allow_failure=request.allow_failure,
            priority=0,
            state=JobState.QUEUED,
            stores=tuple(StoreResult(store=store) for store in stores),
            created_at=self._desk.clock.now(),
            work=Work.IMPORT,
            urgent=request.urgent,
            source=source,
        )
        await self._desk.take(job, _created(job, source))
        return Taken(jobs=(job,), notes=(*notes, *more))

    async def receive(self, job_id: JobId, data: AsyncIterable[bytes], by: str) -> Taken:
        """Pass the data of an import, which somebody sends, on to Glance as it comes."""
        if self._importer is None:
            raise RequestError("this edgesync takes no files", remedy="import from a URI")
        job = await self._expecting(job_id)
        if len(self._receiving) >= UPLOADS:
            raise TransientError(
                f"{UPLOADS} files are being taken in already", remedy="send yours when one of them is through"
            )
        self._receiving.add(job_id)
        try:
            await self._desk.journal.add_events([_sending(job, by, self._desk.clock.now())])
            await self._importer.stage(job, data)
        finally:
            self._receiving.discard(job_id)
            self._desk.on_change()
        job = await self._desk.journal.job(job_id)
        if job.state.ended:
            raise ConflictError(f"job {job_id} was {job.state} while its data came in", remedy="import the file again")
        return Taken(jobs=(job,))

    async def _expecting(self, job_id: JobId) -> Job:
        """The job, if it waits for data."""
        job = await self._desk.journal.job(job_id)
        if job.source is None or job.source.uri is not None:
            raise RequestError(
                f"job {job_id} takes no data: it is no import from a file", remedy="edgesync import --file makes one"
            )
        if job.state.ended or job.imported:
            raise ConflictError(f"job {job_id} has its data, or has ended ({job.state})", remedy="edgesync history")
        if job_id in self._receiving:
            raise ConflictError(f"the data of job {job_id} is coming in already", remedy="wait for it: edgesync status")
        return job

    async def _refuse_a_method_that_is_off(self, method: str) -> None:
        if self._methods is None:
            return
        async with patience("Glance has not told its import methods", "look whether glance-api answers"):
            enabled = await self._methods()
        if method not in enabled:
            offered = ", ".join(sorted(enabled)) or "none"
            raise RequestError(
                f"this Glance does not offer {method}, only {offered}",
                remedy=f"add {method} to enabled_import_methods in glance-api.conf"
                + ("; or download it yourself, and use --file" if method == WEB and DIRECT in enabled else ""),
            )


def choose_stores(
    request: ImportRequest, topology: Topology, *, edge_origin: bool
) -> tuple[tuple[StoreId, ...], tuple[str, ...]]:
    """Where the image is to go, the hub first, and what to tell of that."""
    hub = topology.hub
    if request.all_stores:
        stores = topology.writable
    elif request.stores:
        stores = writable(request.stores, topology)
    else:
        stores = writable([hub], topology)
    if stores == {hub}:
        return (hub,), ()
    if len(stores) == 1 and not request.all_stores and not edge_origin:
        (edge,) = stores
        return (edge,), (f"it goes to {edge} alone; copy it to {hub} before any other site can have it",)
    notes = () if hub in stores else (f"{hub} was added: every image is kept there, and copied from there",)
    return (hub, *sorted(stores - {hub})), notes


def _source(request: ImportRequest) -> tuple[ImportSource, tuple[str, ...]]:
    if request.uri is not None:
        _check_uri(request.uri)
    _check_properties(request)
    guess: tuple[str, ...] = ()
    disk_format = request.disk_format
    if disk_format is None:
        disk_format, guess = guessed_format(URL(request.uri).path if request.uri else "")
    source = ImportSource(
        uri=request.uri,
        name=request.name,
        disk_format=disk_format,
        container_format=request.container_format,
        visibility=request.visibility,
        hidden=request.hidden,
        min_disk=request.min_disk,
        min_ram=request.min_ram,
        tags=tuple(dict.fromkeys(request.tags)),
        properties=tuple(sorted(request.properties.items())),
    )
    return source, (*guess, *format_notes(disk_format))


def _check_uri(text: str) -> None:
    """RequestError for what Glance's web-download would not fetch."""
    try:
        uri = URL(text)
        host, _port = uri.host, uri.port
    except ValueError as error:
        raise RequestError(
            f"{text!r} is no URI: {error}", remedy="write it like https://host/path/image.raw"
        ) from error
    if uri.scheme not in {"http", "https"}:
        raise RequestError(
            f"Glance fetches http and https only, not {uri.scheme or 'a path'}",
            remedy="name a URI like https://host/path/image.raw; or send a file: edgesync import --file PATH",
        )
    if not host or any(char.isspace() for char in text):
        raise RequestError(f"{text!r} names no host", remedy="write it like https://host/path/image.raw")
    if uri.user is not None or uri.password is not None:
        raise RequestError(
            "the URI holds a user name or password, which would stay in the history for all to read",
            remedy="use one that needs none, or download it yourself and use --file",
        )


def _check_properties(request: ImportRequest) -> None:
    for name in request.properties:
        if name in _ATTRIBUTES or name.startswith("os_glance_"):
            raise RequestError(
                f"{name!r} can't be set as a property: Glance keeps it for itself",
                remedy="use the option of that name, if there is one: edgesync import --help",
            )
        if not name:
            raise RequestError("a property has no name", remedy="write it like hw_disk_bus=scsi")


def _sending(job: Job, by: str, at: datetime) -> Event:
    return Event(
        at=at,
        kind=EventKind.UPLOAD_STARTED,
        message=f"{by} sends the data of {job.image_name}",
        image=job.image,
        job=job.id,
    )


def _created(job: Job, source: ImportSource) -> Event:
    stores = ", ".join(entry.store for entry in job.stores)
    origin = source.uri or "a file"
    return Event(
        at=job.created_at,
        kind=EventKind.JOB_CREATED,
        message=f"{job.requested_by} asked for the import of {source.name} from {origin} to {stores}",
        image=job.image,
        job=job.id,
    )
