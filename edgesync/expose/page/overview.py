"""The front page: what is wrong, the matrix, what is moving, the sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from edgesync.domain.copy import CopyState, WaitReason
from edgesync.domain.image import Image
from edgesync.domain.job import Attempt
from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags, policies_of
from edgesync.expose.lateness import Wait, waits_of
from edgesync.expose.matrix import copy_view, image_view, natural
from edgesync.expose.page.filters import Filters
from edgesync.expose.page.selection import select
from edgesync.expose.page.trouble import Trouble, trouble_of
from edgesync.expose.picture import Picture, Showcase
from edgesync.expose.stores import store_views
from edgesync.expose.views import CopyView, ImageView, StoreView

# Rows about what is moving, of which many may be: each import slot of a large configuration.
MOST_MOVEMENTS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Movement:
    """Work under way on one copy."""

    image: str
    image_name: str
    store: str
    # What is done: copy, import, remove, ...; and who moves the data.
    work: str
    engine: str
    copy: CopyView
    since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """Copies that wait for the same reason."""

    reason: WaitReason
    copies: int
    # What one of them waits for, and when that ends, if that is known.
    example: str
    until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    rows: tuple[ImageView, ...]
    stores: tuple[StoreId, ...]
    # Those that take no copies just now.
    down: frozenset[StoreId]
    # Whether there is a page after this one.
    more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    trouble: Trouble
    filters: Filters
    # Copies of all images, by state.
    counts: Counter[CopyState]
    # None before the first look at Glance; nothing below is known then.
    at: datetime | None
    # The present, against which what is wrong is counted.
    now: datetime | None = None
    matrix: Matrix | None = None
    movements: tuple[Movement, ...] = ()
    # Movements beyond those.
    left: int = 0
    queues: tuple[Queue, ...] = ()
    sites: tuple[StoreView, ...] = ()
    # By site, where a wanted copy is missing.
    waits: Mapping[StoreId, tuple[Wait, ...]] = field(default_factory=dict)
    images: int = 0
    policies: tuple[str, ...] = ()


def overview(showcase: Showcase, lags: Lags, filters: Filters) -> Overview:
    picture = showcase.picture
    counts: Counter[CopyState] = Counter()
    if picture is None:
        return Overview(trouble=trouble_of(None, showcase.health, counts, {}), filters=filters, counts=counts, at=None)
    waits = waits_of(picture, lags)
    sites = tuple(store_views(picture, waits))
    for site in sites:
        counts.update(site.copies)
    moving = list(_movements(picture))
    return Overview(
        trouble=trouble_of(picture, showcase.health, counts, waits),
        filters=filters,
        counts=counts,
        at=picture.world.at,
        now=showcase.at,
        matrix=_matrix(picture, filters),
        movements=tuple(moving[:MOST_MOVEMENTS]),
        left=len(moving[MOST_MOVEMENTS:]),
        queues=tuple(_queues(picture)),
        sites=sites,
        waits=waits,
        images=len(picture.world.images),
        policies=tuple(policy.name for policy in policies_of(picture)),
    )


def _matrix(picture: Picture, filters: Filters) -> Matrix:
    chosen = select(picture, filters)
    return Matrix(
        rows=tuple(image_view(picture, image, chosen.stores) for image in chosen.images),
        stores=chosen.stores,
        down=frozenset(store for store in chosen.stores if not picture.admits(store)),
        more=chosen.more,
    )


def _movements(picture: Picture) -> Iterator[Movement]:
    """Ours, those that don't get on first; then what others do."""
    ours = [entry for attempt in picture.ledger.attempts for entry in _of_attempt(picture, attempt)]
    yield from sorted(ours, key=lambda entry: (entry.copy.state is not CopyState.STALLED, natural(entry.store)))
    for image_id in picture.world.locks:
        image = picture.world.images.get(image_id)
        if image is not None and image.moving and image_id not in picture.attempts:
            yield from _rivals(picture, image)


def _of_attempt(picture: Picture, attempt: Attempt) -> Iterator[Movement]:
    image = picture.world.images.get(attempt.image)
    for store in attempt.stores:
        copy = copy_view(picture, image, store) if image is not None else CopyView(state=CopyState.COPYING)
        if attempt.work.brings and image is not None and store in image.stores:
            # It has arrived; the attempt goes on for the sake of others.
            continue
        yield Movement(
            image=attempt.image,
            image_name=image.name if image else "",
            store=store,
            work=attempt.work,
            engine=attempt.engine if attempt.work.brings else "",
            copy=copy,
            since=attempt.started_at,
        )


def _rivals(picture: Picture, image: Image) -> Iterator[Movement]:
    for store in islice(sorted(image.importing_to, key=natural), MOST_MOVEMENTS):
        copy = copy_view(picture, image, store)
        if copy.state is CopyState.COPYING:
            yield Movement(
                image=image.id,
                image_name=image.name,
                store=store,
                work="import",
                engine="somebody else's",
                copy=copy,
                since=copy.since,
            )


def _queues(picture: Picture) -> Iterator[Queue]:
    """Most copies first."""
    copies: Counter[WaitReason] = Counter()
    examples: dict[WaitReason, tuple[str, datetime | None]] = {}
    for waiting in picture.plan.waiting:
        copies[waiting.reason] += len(waiting.stores)
        examples.setdefault(waiting.reason, (waiting.why, waiting.until))
    for reason, number in copies.most_common():
        yield Queue(reason=reason, copies=number, example=examples[reason][0], until=examples[reason][1])
