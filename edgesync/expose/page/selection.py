"""Which rows and columns of the matrix a person means."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from edgesync.domain.image import Image
from edgesync.domain.store import StoreId
from edgesync.expose.matrix import everything, managed, ordered_stores
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
    meant = _meant(filters.store)
    stores = tuple(store for store in ordered_stores(picture) if meant(store))
    first = (filters.page - 1) * filters.rows
    found = list(islice(_images(picture, filters, frozenset(stores)), first, first + filters.rows + 1))
    return Selection(images=tuple(found[: filters.rows]), stores=stores, more=len(found) > filters.rows)


def _images(picture: Picture, filters: Filters, stores: frozenset[StoreId]) -> Iterator[Image]:
    images: Iterable[Image] = everything(picture) if filters.all or filters.states else managed(picture)
    if filters.name:
        meant = _meant(filters.name)
        images = (image for image in images if meant(image.name) or meant(image.id))
    if filters.policy:
        images = (image for image in images if filters.policy in _policies(picture, image))
    if filters.states:
        places = Places(picture)
        images = (image for image in images if places.has(image, filters.states, stores))
    return iter(images)


def _meant(wanted: str) -> Callable[[str], bool]:
    """As a pattern, if it is one, else as a part of a name; upper and lower case are the same to people who search."""
    wanted = wanted.casefold()
    if any(sign in wanted for sign in "*?"):
        # `fnmatch` itself would keep each pattern that anybody ever asked for.
        fits = re.compile(fnmatch.translate(wanted)).fullmatch
        return lambda name: fits(name.casefold()) is not None
    return lambda name: wanted in name.casefold()


def _policies(picture: Picture, image: Image) -> Iterator[str]:
    want = picture.wants.images.get(image.id)
    return (policy.name for policy in want.policies) if want else iter(())
