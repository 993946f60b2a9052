"""The image x store matrix: the state of every copy, from everything that is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from edgesync.domain.copy import CopyState, WaitReason
from edgesync.domain.image import Image, ImageId
from edgesync.domain.store import Store, StoreId
from edgesync.expose.picture import Picture
from edgesync.expose.views import CopyView, ImageView, StoreView


def copy_view(picture: Picture, image: Image, store: StoreId) -> CopyView:
    """The state of one copy, from everything that is known of it."""
    if store in image.stores:
        return CopyView(state=_state_of_present(picture, image, store))
    attempt = picture.attempts.get(image.id)
    if attempt is not None and store in attempt.stores:
        progress = picture.progress.get((image.id, store))
        if progress is None:
            return CopyView(state=CopyState.COPYING, bytes_done=0, bytes_total=image.size)
        return CopyView(
            state=CopyState.COPYING,
            bytes_done=progress.bytes_done,
            bytes_total=progress.bytes_total,
            rate=progress.rate,
            eta=progress.eta,
            since=progress.since,
        )
    if image.moving and store in image.importing_to:
        return CopyView(state=CopyState.COPYING, reason="somebody else's import")
    return _missing(picture, image, store)


def _state_of_present(picture: Picture, image: Image, store: StoreId) -> CopyState:
    if store == picture.world.topology.hub or store in picture.wants.stores(image.id):
        return CopyState.PRESENT
    return CopyState.UNWANTED


def _missing(picture: Picture, image: Image, store: StoreId) -> CopyView:
    waits = [waiting for waiting in picture.waits.get(image.id, ()) if store in waiting.stores]
    failure = picture.ledger.failures.get((image.id, store))
    wanted = store in picture.asked.get(image.id, ()) or store in picture.wants.stores(image.id)
    if failure is not None and not wanted:
        return CopyView(state=CopyState.ABSENT, reason=f"a copy was asked for and failed: {failure.error}")
    if failure is not None and (not waits or waits[0].reason is WaitReason.BACKOFF):
        return CopyView(
            state=CopyState.FAILED,
            reason=failure.error,
            attempts=failure.attempts,
            next_try=failure.next_try,
            remedy=failure.remedy,
        )
    if waits:
        return CopyView(state=CopyState.WAITING, reason=f"{waits[0].reason}: {waits[0].why}")
    if wanted:
        return CopyView(state=CopyState.WAITING, reason=f"{WaitReason.READY}: it starts next")
    return CopyView(state=CopyState.ABSENT)


def image_view(picture: Picture, image: Image) -> ImageView:
    want = picture.wants.images.get(image.id)
    return ImageView(
        id=image.id,
        name=image.name,
        status=image.status,
        visibility=image.visibility,
        size=image.size,
        policies=[policy.name for policy in want.policies] if want else [],
        copies={store: copy_view(picture, image, store) for store in ordered_stores(picture)},
    )


def ordered_stores(picture: Picture) -> list[StoreId]:
    """The hub first, then the edges by name, numbers in their order (dcn2 before dcn10)."""
    topology = picture.world.topology
    return sorted(topology.stores, key=lambda store: (store != topology.hub, natural(store)))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which `dcn2` comes before `dcn10`."""
    parts: list[tuple[int, int, str]] = []
    word = ""
    for char in f"{text}\0":
        if word and char.isdecimal() != word[-1].isdecimal():
            parts.append((0, int(word), "") if word.isdecimal() else (1, 0, word))
            word = ""
        word += char
    return tuple(parts)


def managed(picture: Picture) -> Iterator[Image]:
    """The images that concern edgesync: wanted by a policy, asked for, or with a failure remembered; by name."""
    ids: set[ImageId] = set(picture.wants.images)
    ids.update(job.image for job in picture.ledger.jobs)
    ids.update(image for image, _ in picture.ledger.failures)
    ids.update(picture.attempts)
    return by_name(picture.world.images[image] for image in ids if image in picture.world.images)


def by_name(images: Iterable[Image]) -> Iterator[Image]:
    return iter(sorted(images, key=lambda image: (image.name, image.id)))


def store_views(picture: Picture) -> list[StoreView]:
    counts = count_copies(picture)
    running = Counter(store for attempt in picture.ledger.attempts for store in attempt.stores)
    return [
        _store_view(picture, picture.world.topology.stores[store], counts, running[store])
        for store in ordered_stores(picture)
    ]


def _store_view(picture: Picture, store: Store, counts: Counter[tuple[StoreId, CopyState]], running: int) -> StoreView:
    return StoreView(
        id=store.id,
        role=picture.world.topology.role(store.id),
        type=store.type,
        description=store.description,
        read_only=store.read_only,
        copies={state: counts[store.id, state] for state in CopyState if counts[store.id, state]},
        running=running,
        max_concurrent=picture.budget.of(store.id),
    )


def count_copies(picture: Picture) -> Counter[tuple[StoreId, CopyState]]:
    """How many copies each store has in each state, `absent` left out.

    Images at rest in the same position are counted together: a million copies take milliseconds.
    """
    counts: Counter[tuple[StoreId, CopyState]] = Counter()
    lively = {*picture.wants.gaps, *picture.attempts, *(job.image for job in picture.ledger.jobs)}
    lively.update(image for image, _ in picture.ledger.failures)
    groups: Counter[tuple[frozenset[StoreId], frozenset[StoreId]]] = Counter()
    stores = tuple(picture.world.topology.stores)
    for image in picture.world.images.values():
        if image.id in lively or image.moving:
            for store in stores:
                state = copy_view(picture, image, store).state
                if state is not CopyState.ABSENT:
                    counts[store, state] += 1
        else:
            groups[image.stores, picture.wants.stores(image.id)] += 1
    hub = picture.world.topology.hub
    for (present, wanted), number in groups.items():
        for store in present:
            state = CopyState.PRESENT if store == hub or store in wanted else CopyState.UNWANTED
            counts[store, state] += number
    return counts
