"""What the journal need not know any more: old history, and what was found of images and copies that are gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice

from edgesync.domain.blocks import Verification
from edgesync.domain.image import ImageId
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.store import StoreId
from edgesync.domain.world import World

TRIM_EVERY = timedelta(hours=1)
# Images whose data are dropped in one turn, each in a transaction: when thousands are deleted, the turn stays short.
GONE_AT_ONCE = 100
# Copies whose verifications are dropped in one turn.
COPIES_AT_ONCE = 1000


def verified_and_gone(
    world: World, known: Mapping[StoreId, Mapping[ImageId, Verification]]
) -> list[tuple[ImageId, StoreId]]:
    """Copies that were verified once and that Glance lists no more: somebody has deleted them.

    After a full pass of all, else of the images that changed; so many of them that the turn stays short.
    """
    return list(islice(_verified_and_gone(world, known), COPIES_AT_ONCE))


def _verified_and_gone(
    world: World, known: Mapping[StoreId, Mapping[ImageId, Verification]]
) -> Iterator[tuple[ImageId, StoreId]]:
    for store, verified in known.items():
        suspects = verified.keys() if world.full or world.changed is None else verified.keys() & world.changed
        for image in list(suspects):
            seen = world.images.get(image)
            if seen is None or store not in seen.stores:
                yield image, store


class Forgetting:
    """Done at the end of each turn, a piece at a time."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._gone: set[ImageId] = set()
        # None: at the next turn.
        self._trim_at: datetime | None = None

    def lost(self, images: Collection[ImageId]) -> None:
        """Glance has them no more. What the journal knows of their blocks goes at the next turns."""
        self._gone.update(images)

    async def turn(self, images: Collection[ImageId], retention: timedelta) -> bool:
        """True when something went that a ledger may have had. `images` are those that Glance has."""
        # One may have been hidden from us, and be back.
        self._gone.difference_update(images)
        for image in sorted(self._gone)[:GONE_AT_ONCE]:
            await self._journal.forget_image(image)
            self._gone.discard(image)
        return await self._trim(retention)

    async def _trim(self, retention: timedelta) -> bool:
        """Trim the journal now and then, a batch at a time."""
        now = self._clock.now()
        if self._trim_at is not None and now < self._trim_at:
            return False
        removed = await self._journal.trim(now - retention)
        # As long as something was old there may be more, for the next turn.
        self._trim_at = None if removed else now + TRIM_EVERY
        return bool(removed)
