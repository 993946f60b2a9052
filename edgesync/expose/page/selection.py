"""Which rows and columns of the matrix a person means.

Of a million copies almost all are as they should be. So an image is asked for its copies in a state only where one can
be: where a failure is remembered, something was found, a copy is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice

from edgesync.domain.copy import CopyState
from edgesync.domain.image import Image, ImageId
from edgesync.domain.store import StoreId
from edgesync.expose.matrix import by_name, copy_view, managed, ordered_stores
from edgesync.expose.page.filters import Filters
from edgesync.expose.picture import Picture
from edgesync.plan.wants import NOWHERE

Stores = frozenset[StoreId]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """One page of the matrix."""

    images: tuple[Image, ...]
    stores: tuple[StoreId, ...]
    # Whether there is a page after this one.
    more: bool


def select(picture: Picture, filters: Filters) -> Selection:
    stores = tuple(store for store in ordered_stores(picture) if _means(filters.store, store))
    first = (filters.page - 1) * filters.rows
    found = list(islice(_images(picture, filters, frozenset(stores)), first, first + filters.rows + 1))
    return Selection(images=tuple(found[: filters.rows]), stores=stores, more=len(found) > filters.rows)


def _images(picture: Picture, filters: Filters, stores: Stores) -> Iterator[Image]:
    everything = filters.all or filters.states
    images: Iterable[Image] = by_name(picture.world.images.values()) if everything else managed(picture)
    if filters.name:
        images = (image for image in images if _means(filters.name, image.name, image.id))
    if filters.policy:
        images = (image for image in images if filters.policy in _policies(picture, image))
    if filters.states:
        places = _Places(picture)
        images = (image for image in images if _has(picture, image, filters.states, places, stores))
    return iter(images)


def _means(wanted: str, *names: str) -> bool:
    """As a pattern, if it is one, else as a part of a name; upper and lower case are the same to people who search."""
    wanted = wanted.casefold()
    if any(sign in wanted for sign in "*?"):
        return any(fnmatch(name.casefold(), wanted) for name in names)
    return any(wanted in name.casefold() for name in names)


def _policies(picture: Picture, image: Image) -> Iterator[str]:
    want = picture.wants.images.get(image.id)
    return (policy.name for policy in want.policies) if want else iter(())


def _has(picture: Picture, image: Image, states: frozenset[CopyState], places: _Places, stores: Stores) -> bool:
    """Whether one of the image's copies in these stores is in one of the states."""
    possible = NOWHERE.union(*(places.of(image, state) for state in states)) & stores
    return any(copy_view(picture, image, store).state in states for store in possible)


class _Places:
    """Where copies of an image can be in a state: more than there are, and few of all."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._stores = frozenset(picture.world.topology.stores)
        self._failed = _by_image(picture.ledger.failures)
        found = ((image, store) for store, site in picture.world.sites.items() for image in site.findings)
        self._found = _by_image(found)
        self._rules: Mapping[CopyState, Callable[[Image], Iterable[StoreId]]] = {
            CopyState.ABSENT: lambda image: self._stores - image.stores,
            CopyState.WAITING: lambda image: picture.due(image.id) - image.stores,
            CopyState.COPYING: self._moving,
            CopyState.PRESENT: lambda image: image.stores,
            CopyState.FAILED: lambda image: self._failed.get(image.id, ()),
            CopyState.STALLED: self._moving,
            CopyState.BROKEN: lambda image: self._found.get(image.id, ()),
            CopyState.ORPHAN: lambda image: self._found.get(image.id, ()),
            CopyState.UNWANTED: lambda image: image.stores,
        }

    def of(self, image: Image, state: CopyState) -> Iterable[StoreId]:
        return self._rules[state](image)

    def _moving(self, image: Image) -> Iterable[StoreId]:
        attempt = self._picture.attempts.get(image.id)
        return image.importing_to.union(attempt.stores if attempt else ())


def _by_image(copies: Iterable[tuple[ImageId, StoreId]]) -> Mapping[ImageId, set[StoreId]]:
    found: defaultdict[ImageId, set[StoreId]] = defaultdict(set)
    for image, store in copies:
        found[image].add(store)
    return found
