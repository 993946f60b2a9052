"""The daemon's counter: what comes in here is checked against what is there now, and durable when the answer goes out.

Each kind of request has a module of its own: `copies`, `verifications`, `imports`, `removals`, `layers`, `pausing`;
`desk` is what they share.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from types import MappingProxyType

from edgesync.daemon.cancelling import Cancelling, Halt
from edgesync.daemon.copies import Copies
from edgesync.daemon.desk import Desk, Looks
from edgesync.daemon.forecast import Forecast
from edgesync.daemon.imports import Importer, Imports, Methods
from edgesync.daemon.layers import Layering, Place
from edgesync.daemon.pausing import Pausing
from edgesync.daemon.removals import Removals
from edgesync.daemon.verifications import Verifications
from edgesync.domain.job import JobId
from edgesync.domain.layers import Flattened, SiteLayers
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Policy
from edgesync.domain.ports import Clock, Cluster, Journal
from edgesync.domain.store import StoreId
from edgesync.expose.picture import Showcase
from edgesync.expose.requests import (
    CloneRequest,
    CopyRequest,
    FlattenRequest,
    ImportRequest,
    PauseRequest,
    RemovalRequest,
    Scope,
    Taken,
    VerificationRequest,
)

_NO_CLUSTERS: Mapping[StoreId, Cluster] = MappingProxyType({})
_NO_PLACES: Mapping[StoreId, Place] = MappingProxyType({})


class Intake:
    """Implements `edgesync.expose.requests.Counter`."""

    def __init__(
        self,
        *,
        showcase: Showcase,
        observer: Looks,
        journal: Journal,
        clock: Clock,
        on_job: Callable[[], None],
        # The policies in force, which a reload may change.
        policies: Callable[[], Sequence[Policy]] = tuple,
        # Of the stores where Ceph is configured.
        clusters: Mapping[StoreId, Cluster] = _NO_CLUSTERS,
        places: Mapping[StoreId, Place] = _NO_PLACES,
        halt: Halt = lambda _job, _why: frozenset(),
        # None: dry runs don't tell bytes.
        forecast: Forecast | None = None,
        # None: files are not taken.
        importer: Importer | None = None,
        # None: Glance says when the import's turn comes.
        methods: Methods | None = None,
    ) -> None:
        desk = Desk(showcase=showcase, looks=observer, journal=journal, clock=clock, on_change=on_job)
        self._copies = Copies(desk, policies, forecast)
        self._verifications = Verifications(desk, clusters)
        self._imports = Imports(desk, importer, methods)
        self._removals = Removals(desk, clusters)
        self._layering = Layering(desk, places)
        self._pausing = Pausing(desk)
        self._cancelling = Cancelling(desk, halt)

    async def copy(self, request: CopyRequest) -> Taken:
        return await self._copies.take(request)

    async def verify(self, request: VerificationRequest) -> Taken:
        return await self._verifications.take(request)

    async def import_image(self, request: ImportRequest) -> Taken:
        return await self._imports.take(request)

    async def receive(self, job: JobId, data: AsyncIterable[bytes], by: str) -> Taken:
        return await self._imports.receive(job, data, by)

    async def cancel(self, job: JobId, by: str) -> Taken:
        return await self._cancelling.cancel(job, by)

    async def remove(self, request: RemovalRequest) -> Taken:
        return await self._removals.take(request)

    async def layers(self, store: str | None) -> tuple[SiteLayers, ...]:
        return await self._layering.layers(store)

    async def clone(self, request: CloneRequest) -> str:
        return await self._layering.clone(request)

    async def flatten(self, request: FlattenRequest) -> Flattened:
        return await self._layering.flatten(request)

    async def flattened(self, image: str, store: str) -> Flattened:
        return await self._layering.flattened(image, store)

    async def pause(self, request: PauseRequest) -> Pause:
        return await self._pausing.pause(request)

    async def resume(self, scope: Scope) -> Pause:
        return await self._pausing.resume(scope)
