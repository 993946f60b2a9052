"""Which images a list shows: all or those that concern edgesync, by name, policy, and the states of their copies."""

from __future__ import annotations

import asyncio
import fnmatch
import re
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from edgesync.domain.copy import CopyState
from edgesync.domain.image import Image
from edgesync.domain.store import StoreId
from edgesync.errors import NotFoundError, RequestError
from edgesync.expose.matrix import by_name, everything, managed
from edgesync.expose.picture import Picture
from edgesync.expose.places import Places
from edgesync.expose.requests import Word

MAX_ROWS = 1000
# Images that are looked at before others get their turn: each may have a hundred copies.
STRIDE = 50


class Page(BaseModel):
    """Query of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=MAX_ROWS)


class ImagesQuery(Page):
    # The id of the last image of the page before.
    marker: Word | None = None
    # All images, not only those that concern edgesync.
    all: bool = False
    # Id or name.
    image: Word | None = None
    # A pattern of names, with *, ? and [...].
    name: Word | None = None
    # Wanted by that policy.
    policy: Word | None = None
    # With a copy in that state; with `store`, there.
    state: CopyState | None = None
    store: Word | None = None


async def chosen(query: ImagesQuery, picture: Picture) -> list[Image]:
    """The images that a query means, by name, after its marker: a page of them, and one more if there is."""
    if query.store is not None and StoreId(query.store) not in picture.world.topology.stores:
        stores = ", ".join(sorted(picture.world.topology.stores))
        raise RequestError(f"store: Glance has no store {query.store!r}", remedy=f"its stores are {stores}")
    page: list[Image] = []
    places = Places(picture)
    # `fnmatch` itself would keep each pattern that anybody ever asked for.
    names = re.compile(fnmatch.translate(query.name)) if query.name is not None else None
    for number, image in enumerate(_after_marker(query, picture), start=1):
        if (names is None or names.fullmatch(image.name)) and _fits(query, picture, image, places):
            page.append(image)
        if len(page) > query.limit:
            break
        if number % STRIDE == 0:
            await asyncio.sleep(0)
    return page


def named(wanted: str, picture: Picture) -> list[Image]:
    """By id or name."""
    found = [image for image in picture.world.images.values() if wanted in {image.id, image.name}]
    if not found:
        raise NotFoundError(f"there is no image {wanted!r}", remedy="edgesync status --all lists them")
    return by_name(found)


def _after_marker(query: ImagesQuery, picture: Picture) -> Iterator[Image]:
    if query.image is not None:
        return iter(named(query.image, picture))
    listed = everything(picture) if query.all else managed(picture)
    if query.marker is None:
        return iter(listed)
    place = next((index for index, image in enumerate(listed) if image.id == query.marker), None)
    if place is None:
        raise RequestError(f"marker: no image {query.marker!r} in this list", remedy="start again without a marker")
    return iter(listed[place + 1 :])


def _fits(query: ImagesQuery, picture: Picture, image: Image, places: Places) -> bool:
    if query.policy is not None:
        want = picture.wants.images.get(image.id)
        if want is None or all(policy.name != query.policy for policy in want.policies):
            return False
    if query.state is None:
        return query.store is None or StoreId(query.store) in image.stores
    stores = {StoreId(query.store)} if query.store is not None else picture.world.topology.stores.keys()
    return places.has(image, {query.state}, stores)
