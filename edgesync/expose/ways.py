"""Who moves the data of copies that start, why that one, and how much it sends where that is known."""

from __future__ import annotations

from collections.abc import Iterable

from edgesync.domain.action import Start
from edgesync.domain.image import ImageId
from edgesync.domain.job import Engine, Work
from edgesync.domain.store import StoreId
from edgesync.domain.words import some_of
from edgesync.expose.picture import Picture


def engine_of(work: Work, engine: Engine) -> str:
    """The engine of a copy; other work has none."""
    return engine.value if work is Work.COPY else ""


def way_of(picture: Picture, start: Start, stores: Iterable[StoreId]) -> str:
    """A clause on the copies to these stores; empty for work that moves no data of ours or Glance's."""
    told = [picture.ways[start.image, store].why for store in stores if (start.image, store) in picture.ways]
    by = [f"{start.engine}: {start.moved}"] if start.moved else []
    return "; ".join([*by, *([some_of(told, between="; ")] if told else [])])


def bytes_of(picture: Picture, image: ImageId, stores: Iterable[StoreId]) -> int:
    """What goes over the lines: the whole image to each store, or what is known to be sent of it."""
    seen = picture.world.images.get(image)
    whole = seen.size or 0 if seen is not None else 0
    return sum(picture.ways[image, store].sent if (image, store) in picture.ways else whole for store in stores)
