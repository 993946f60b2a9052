"""Glance's stores, with type, cluster and pool where Glance tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import structlog

from edgesync.clients.documents import accepted, document
from edgesync.clients.transport import Call, Transport
from edgesync.clients.wire import read_stores
from edgesync.domain.store import Store, StoreId
from edgesync.errors import PermanentError, TransientError

log = structlog.get_logger(__name__)

# The detailed list connects to every cluster inside the request and blocks on one that is dead.
DETAIL_DEADLINE = 10.0
# Seconds between two tries to get it.
DETAIL_PAUSE = 300.0


class StoreList:
    """Asks for the plain list each time, for the details when a store is new."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._details: Mapping[StoreId, Store] = {}
        self._details_from = 0.0

    @property
    def without_fsid(self) -> bool:
        """True when details were told, and among them RBD stores without their cluster's id."""
        return any(store.type == "rbd" and not store.fsid for store in self._details.values())

    async def get(self, *, details: bool = True) -> tuple[Store, ...]:
        call = Call(operation="stores", what="list the stores", path="/v2/info/stores")
        known = document(call, accepted(call, await self._transport.send(call)), read_stores)
        if details and not {store.id for store in known} <= self._details.keys():
            await self._learn_details()
        return tuple(self._with_details(store) for store in known)

    async def _learn_details(self) -> None:
        """Ask for types and clusters: seldom, and never letting a dead cluster hold up the plain list."""
        now = asyncio.get_running_loop().time()
        if now < self._details_from:
            return
        self._details_from = now + DETAIL_PAUSE
        call = Call(
            operation="stores_detail",
            what="list the stores in detail",
            path="/v2/info/stores/detail",
            deadline=DETAIL_DEADLINE,
            repeat=False,
        )
        try:
            answer = accepted(call, await self._transport.send(call), policy="stores_info_detail")
            self._details = {store.id: store for store in document(call, answer, read_stores)}
        except (TransientError, PermanentError) as error:
            log.warning("the stores' types and clusters are unknown", why=error.message, remedy=error.remedy)

    def _with_details(self, store: Store) -> Store:
        detail = self._details.get(store.id)
        if detail is None:
            return store
        return replace(store, type=detail.type, fsid=detail.fsid, pool=detail.pool)
