"""A Glance store: one per site."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from edgesync.domain.bandwidth import Bandwidth
from edgesync.domain.window import Windows

StoreId = NewType("StoreId", str)


class StoreRole(StrEnum):
    """What a site is to the cloud. Every copy comes from the hub."""

    HUB = "hub"
    EDGE = "edge"


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """One entry of Glance's `GET /v2/info/stores[/detail]`."""

    id: StoreId
    description: str = ""
    # Glance writes data there when nobody names a store.
    default: bool = False
    # HTTP stores and the like: nothing can be imported into them.
    read_only: bool = False
    # `rbd`, `file`, ...; empty when Glance would not tell (stores/detail needs an admin or service role).
    type: str = ""
    # Ceph's cluster id, empty where Glance does not tell (before API v2.18).
    fsid: str = ""
    pool: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CephSettings:
    """How edgesync itself reaches a store's cluster."""

    conf: str
    # cephx name without `client.`
    user: str
    pool: str = "images"
    # None: as `conf` says.
    keyring: str | None = None


class Overrun(StrEnum):
    """What becomes of a copy that would run over the end of a window."""

    FINISH = "finish"  # it may
    STOP = "stop"  # it isn't started unless it will end in time: a running import can't be stopped


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSettings:
    """What the operator adds to what Glance knows about a store."""

    # Imports that may write to this store at the same time.
    max_concurrent: int = 2
    # None: judged by the outcome of copies alone; no capacity, no audit, no repair.
    ceph: CephSettings | None = None
    # No copy is started that would fill the pool beyond this share of it.
    max_pool_fill: float = 0.85
    # When copies may start; empty: at any time.
    windows: Windows = field(default_factory=Windows)
    overrun: Overrun = Overrun.FINISH
    # Of the line to the site; for the rbd engine, Glance knows no limit.
    bandwidth: Bandwidth = field(default_factory=Bandwidth)


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """All stores of the cloud, and which of them is the hub."""

    hub: StoreId
    stores: dict[StoreId, Store] = field(default_factory=dict)

    def role(self, store: StoreId) -> StoreRole:
        return StoreRole.HUB if store == self.hub else StoreRole.EDGE

    @property
    def writable(self) -> frozenset[StoreId]:
        """The stores that `all` stands for: Glance, too, leaves read-only stores out of all_stores."""
        return frozenset(store.id for store in self.stores.values() if not store.read_only)
