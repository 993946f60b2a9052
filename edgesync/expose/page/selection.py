"""Which rows and columns of the matrix a person means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice

from edgesync.domain.image import Image
from edgesync.domain.store import StoreId
from edgesync.expose.matrix import by_name, managed, ordered_stores
from edgesync.expose.page.filters import Filters
from edgesync.expose.picture import Picture
from edgesync.expose.places import Places


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


def _images(picture: Picture, filters: Filters, stores: frozenset[StoreId]) -> Iterator[Image]:
    everything = filters.all or filters.states
    images: Iterable[Image] = by_name(picture.world.images.values()) if everything else managed(picture)
    if filters.name:
        images = (image for image in images if _means(filters.name, image.name, image.id))
    if filters.policy:
        images = (image for image in images if filters.policy in _policies(picture, image))
    if filters.states:
        places = Places(picture)
        images = (image for image in images if places.has(image, filters.states, stores))
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
