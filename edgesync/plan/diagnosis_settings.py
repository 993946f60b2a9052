"""Settings that are correct and yet may not mean what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from edgesync.domain.image import Image, ImageId
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId, StoreSettings, Topology
from edgesync.domain.words import counted, some_of
from edgesync.plan.diagnosis import Diagnosis, ok, unknown, warning
from edgesync.plan.wants import Wants


class Where(Protocol):
    """Tells where a setting was written: file:line:column."""

    def __call__(self, *path: str | int) -> str: ...


def judge_policies(
    policies: Sequence[Policy],
    topology: Topology | None,
    images: Mapping[ImageId, Image] | None,
    wants: Wants | None,
    where: Where,
) -> Iterator[Diagnosis]:
    """`topology` and `images` are None where Glance did not tell."""
    if not policies:
        yield warning("policies", "There is no policy: only what people ask for is copied.", "Write one: README.md.")
        return
    matching = {policy.name for want in wants.images.values() for policy in want.policies} if wants else set()
    good = True
    for index, policy in enumerate(policies):
        place = where("policies", index)
        for complaint, remedy in _of_policy(policy, topology):
            good = False
            yield warning("policy", complaint, f"{remedy}: {place}.", subject=policy.name)
        if images is not None and policy.name not in matching:
            good = False
            yield warning(
                "policy",
                f"It matches none of {counted(len(images), 'image')}.",
                f"Compare its `match` at {place} with `openstack image show`.",
                subject=policy.name,
            )
    if images is None:
        yield unknown("policies", "Whether they match any image can't be seen.", "Have Glance answer first.")
    elif good:
        yield ok("policies", f"{counted(len(policies), 'policy', 'policies')}, each matches an image.")


def _of_policy(policy: Policy, topology: Topology | None) -> Iterator[tuple[str, str]]:
    if topology is None:
        return
    named = (policy.stores or frozenset()).union(*policy.waves)
    if foreign := sorted(named - topology.stores.keys()):
        yield (
            f"It names {some_of(foreign)}, which Glance does not list: those copies wait for ever.",
            "Correct its stores",
        )
    if sealed := sorted(store for store in named & topology.stores.keys() if topology.stores[store].read_only):
        yield (
            f"It names {some_of(sealed)}, which is read-only: nothing can be copied there.",
            "Take it out of its stores",
        )


def judge_store_settings(
    stores: Mapping[StoreId, StoreSettings], topology: Topology | None, now: datetime, where: Where
) -> Iterator[Diagnosis]:
    yield from _windows(stores, now)
    found = [*_unlisted(stores, topology, where), *_without_ceph(stores, topology)] if topology is not None else []
    yield from found
    if not found and stores:
        yield ok("store settings", f"{counted(len(stores), 'store')} with settings of their own.")


def _windows(stores: Mapping[StoreId, StoreSettings], now: datetime) -> Iterator[Diagnosis]:
    """Every window that can be configured opens at some time, so this is for information: why nothing goes there."""
    for store, settings in stores.items():
        change = settings.windows.next_change(now)
        if change is not None:
            state = "Open" if settings.windows.open_at(now) else "Closed"
            until = change.astimezone(settings.windows.zone)
            yield ok("windows", f"{state} until {until:%a %H:%M} ({settings.windows.zone}).", subject=store)


def _unlisted(stores: Mapping[StoreId, StoreSettings], topology: Topology, where: Where) -> Iterator[Diagnosis]:
    for store in stores:
        if store not in topology.stores:
            yield warning(
                "store settings",
                f"Glance lists no store {store}: what {where('stores', store)} says of it has no effect.",
                f"Correct its name ({some_of(sorted(topology.stores), most=10)}), or take it out.",
                subject=store,
            )


def _without_ceph(stores: Mapping[StoreId, StoreSettings], topology: Topology) -> Iterator[Diagnosis]:
    blind = sorted(store for store in topology.writable if store not in stores or stores[store].ceph is None)
    if blind:
        yield warning(
            "store settings",
            f"No `ceph:` is configured for {some_of(blind, most=5)}: whether "
            f"{'it is' if len(blind) == 1 else 'they are'} alive is judged by the outcome of "
            "copies alone; fill, orphans and broken copies there are not seen.",
            "Give edgesync a key there, and name conf and user under `stores` (deploy/edgesync.yaml explains it).",
            details=blind,
        )
