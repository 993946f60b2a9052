"""Glance's stores, as a set-up for edges: a hub and several writable RBD stores, each where the settings say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from edgesync.domain.store import CephSettings, Store, StoreId, Topology
from edgesync.domain.words import counted, some_of
from edgesync.plan.diagnosis import Diagnosis, ok, problem, unknown, warning
from edgesync.plan.diagnosis_settings import Where


def judge_stores(topology: Topology, where: Where) -> Iterator[Diagnosis]:
    stores = sorted(topology.stores.values(), key=lambda store: store.id)
    names = [_described(store, topology) for store in stores]
    if len(topology.writable) < 2:
        yield problem(
            "stores",
            f"Glance has {counted(len(topology.writable), 'writable store')}: there is nowhere to copy to.",
            "Add a store for each site to enabled_backends of every glance-api.",
            details=names,
        )
    else:
        yield ok("stores", f"Glance has {len(stores)}: {some_of(names, most=5)}.", details=names)
    yield from _hub(topology, where)
    yield from _types(stores)
    yield from _same_pool(stores)


def _hub(topology: Topology, where: Where) -> Iterator[Diagnosis]:
    hub = topology.stores.get(topology.hub)
    if hub is None:
        yield problem(
            "hub",
            f"Glance has no store {topology.hub}, which {where('hub')} names as the hub.",
            f"Name the central site's store as hub: {some_of(sorted(topology.stores), most=10)}.",
        )
        return
    default = next((store.id for store in topology.stores.values() if store.default), None)
    if hub.read_only:
        yield problem("hub", f"{hub.id} is read-only: no image can be put there.", "Name a writable store as hub.")
    elif default is not None and default != hub.id:
        yield warning(
            "hub",
            f"Glance's default store is {default}, not the hub {hub.id}: what is uploaded without naming a store goes "
            "there, and to the hub only afterwards.",
            f"Set default_backend = {hub.id} in [glance_store] of the central glance-api, or correct {where('hub')}.",
        )
    else:
        yield ok("hub", f"{hub.id} is there" + (" and Glance's default store." if default else "."))


def _types(stores: list[Store]) -> Iterator[Diagnosis]:
    if not any(store.type for store in stores):
        yield unknown(
            "store types",
            "Glance did not tell the stores' types.",
            "It tells admins from API v2.15 on; it connects to every cluster for it, so it fails while one of them is "
            "dead.",
        )
        return
    others = [store for store in stores if store.type not in {"", "rbd"} and not store.read_only]
    if others:
        yield warning(
            "store types",
            "Not all writable stores are RBD: "
            + some_of([f"{store.id} is {store.type}" for store in others])
            + ". Copies "
            "there can't be cloned, looked into or mended.",
            "Leave these stores out of the policies, unless that is what you want.",
        )
    else:
        yield ok("store types", "All writable stores are RBD.")


def _same_pool(stores: list[Store]) -> Iterator[Diagnosis]:
    for one, other in combinations([store for store in stores if store.fsid], 2):
        if (one.fsid, one.pool) == (other.fsid, other.pool):
            yield problem(
                "stores",
                f"Glance's stores {one.id} and {other.id} are the same pool {one.pool} of the same cluster: a copy in "
                "one is in the way of the other's.",
                "Correct rbd_store_ceph_conf or rbd_store_pool of one of them in every glance-api.conf.",
                subject=other.id,
            )


def judge_same_cluster(
    ceph: Mapping[StoreId, CephSettings],
    fsids: Mapping[StoreId, str],
    topology: Topology | None,
    where: Where,
) -> Iterator[Diagnosis]:
    """Whether the cluster that our settings lead to is the one that Glance uses; `fsids` are those we reached."""
    untold: list[str] = []
    for store, fsid in sorted(fsids.items()):
        known = topology.stores.get(store) if topology else None
        pool = ceph[store].pool
        correct = f"Correct ceph.conf of {store} at {where('stores', store, 'ceph', 'conf')}"
        if known is not None and known.fsid and known.fsid != fsid:
            theirs = (
                next((other.id for other in topology.stores.values() if other.fsid == fsid), "") if topology else ""
            )
            yield problem(
                "cluster",
                f"{ceph[store].conf} leads to cluster {fsid}" + (f", which is {theirs}'s" if theirs else "") + f"; "
                f"Glance's store {store} is in cluster {known.fsid}.",
                f"{correct}; until then nothing is audited or mended there.",
                subject=store,
            )
        elif known is not None and known.pool and known.pool != pool:
            yield problem(
                "cluster",
                f"The settings name pool {pool}, and Glance's store {store} is pool {known.pool}.",
                f"Correct ceph.pool at {where('stores', store, 'ceph')}.",
                subject=store,
            )
        elif known is not None and known.fsid:
            yield ok("cluster", f"Glance's and ours is {fsid}, pool {pool}.", subject=store)
        elif twin := _twin(store, ceph, fsids):
            yield problem(
                "cluster",
                f"The settings of {twin} and {store} lead to the same pool of the same cluster {fsid}.",
                f"{correct}, or that of {twin}.",
                subject=store,
            )
        else:
            untold.append(f"{store} in cluster {fsid}")
    if untold:
        yield unknown(
            "cluster",
            f"We reach {some_of(untold)}; Glance does not tell whether these are its own, too.",
            "Compare them with fsid in the files that rbd_store_ceph_conf names for Glance.",
        )


def misled(fsids: Mapping[StoreId, str], ceph: Mapping[StoreId, CephSettings], topology: Topology) -> set[StoreId]:
    """Stores whose settings lead to somewhere else than Glance's: what lies there says nothing of their copies."""
    return {
        store
        for store, fsid in fsids.items()
        if (known := topology.stores.get(store)) is None
        or (known.fsid and known.fsid != fsid)
        or (known.pool and known.pool != ceph[store].pool)
        or (not known.fsid and _twin(store, ceph, fsids))
    }


def _twin(store: StoreId, ceph: Mapping[StoreId, CephSettings], fsids: Mapping[StoreId, str]) -> StoreId | None:
    """Another store whose settings lead to the same pool."""
    return next(
        (
            other
            for other, fsid in sorted(fsids.items())
            if other != store and fsid == fsids[store] and ceph[other].pool == ceph[store].pool
        ),
        None,
    )


def _described(store: Store, topology: Topology) -> str:
    marks = ["hub"] if store.id == topology.hub else []
    marks += [store.type] if store.type else []
    marks += ["read-only"] if store.read_only else []
    return f"{store.id} ({', '.join(marks)})" if marks else store.id
