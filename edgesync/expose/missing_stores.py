"""Copies that wait for a store that can't take them: Glance does not list it, or may not write there."""

from __future__ import annotations

from collections import defaultdict

from edgesync.domain.copy import WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.domain.words import counted
from edgesync.expose.lag import wanted_at
from edgesync.expose.matrix import natural
from edgesync.expose.picture import Picture
from edgesync.expose.views import ProblemView
from edgesync.plan.wants import Want


def missing_stores(picture: Picture) -> tuple[ProblemView, ...]:
    """A line for each such store: the matrix has no column for most of them."""
    waiting = _waiting(picture)
    return tuple(_told(picture, store, waiting[store]) for store in sorted(waiting, key=natural))


def _waiting(picture: Picture) -> dict[StoreId, frozenset[ImageId]]:
    found: defaultdict[StoreId, set[ImageId]] = defaultdict(set)
    for waiting in picture.plan.waiting:
        if waiting.reason is WaitReason.NO_STORE:
            for store in waiting.stores:
                found[store].add(waiting.image)
    return {store: frozenset(images) for store, images in found.items()}


def _told(picture: Picture, store: StoreId, images: frozenset[ImageId]) -> ProblemView:
    listed = store in picture.world.topology.stores
    policies = _policies(picture, store, images)
    if policies:
        who = f"policy {policies[0]} wants" if len(policies) == 1 else f"policies {', '.join(policies)} want"
        remedy = f"take {store} out of {'its' if len(policies) == 1 else 'their'} stores and reload"
    else:
        who, remedy = "a job asks for", "edgesync jobs has it, and edgesync cancel ends it"
    there = "let Glance write there" if listed else f"add {store} to enabled_backends of every glance-api"
    waits = f"{counted(len(images), 'copy', 'copies')} {'waits' if len(images) == 1 else 'wait'}"
    return ProblemView(
        bad=True,
        what=f"{who} copies at {store}, which {'is read-only' if listed else 'Glance does not list'}: {waits} for it",
        remedy=f"{remedy}; or {there}",
        # There is nothing to see of a store that Glance does not list.
        store=store if listed else None,
    )


def _policies(picture: Picture, store: StoreId, images: frozenset[ImageId]) -> list[str]:
    """The names of those that want the images there."""
    wants: dict[int, Want] = {}
    for image in images:
        if (want := picture.wants.images.get(image)) is not None:
            wants[id(want)] = want
    return sorted(
        {policy.name for want in wants.values() for policy in want.policies if store in wanted_at(policy, picture)}
    )
