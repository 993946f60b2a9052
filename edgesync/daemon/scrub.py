"""The scrub: every copy is compared with its image once in so many days, the one that was longest ago first.

One copy at a time at each site, and after each a rest as long as reading so many bytes would have taken at the allowed
bandwidth; what has to be read at the hub, whose digests nobody knows yet, is read no faster than that, for all sites
together. What was verified is in the journal: a new daemon goes on where the former one was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from edgesync.domain.blocks import Verification
from edgesync.domain.image import ImageId
from edgesync.domain.ports import Clock
from edgesync.domain.site import BreakerState
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError
from edgesync.execute.rbd.comparison import Found
from edgesync.execute.rbd.reference import Pace
from edgesync.execute.rbd.throttle import Throttle
from edgesync.expose.picture import Picture, Showcase

log = structlog.get_logger(__name__)

# Seconds between two looks whether a site has something to scrub.
LOOK = 60.0
# Seconds between two looks whether there is anything to be seen yet.
FIRST_LOOK = 1.0
# What could not be compared, or is broken in a way that needs no comparison, is left alone for so long.
LATER = timedelta(hours=1)
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScrubRules:
    # Seconds within which each copy is compared once; None: never.
    every: float | None
    # Bytes per second that this may read, at each site and at the hub for all of them.
    bandwidth: float


class Verifications(Protocol):
    """How the copies of a store were last found; the sites know."""

    async def verifications(self, store: StoreId) -> Mapping[ImageId, Verification]: ...


class Looks(Protocol):
    """Compares one copy, reading at the hub at that pace; a `Comparison` does."""

    async def look(self, image: ImageId, store: StoreId, *, pace: Pace) -> Found: ...


class Scrub:
    """A task for each site with something to do."""

    def __init__(
        self,
        showcase: Showcase,
        known: Verifications,
        comparison: Looks,
        clock: Clock,
        rules: ScrubRules,
        stores: Collection[StoreId],
    ) -> None:
        self._showcase = showcase
        self._known = known
        self._comparison = comparison
        self._clock = clock
        self._rules = rules
        # Those where blocks can be compared.
        self._stores = stores
        self._at_hub = Throttle(lambda: self._rules.bandwidth, time=lambda: clock.now().timestamp(), sleep=clock.sleep)
        self._not_before: dict[tuple[ImageId, StoreId], datetime] = {}

    def configure(self, rules: ScrubRules) -> None:
        self._rules = rules

    async def run(self) -> None:
        """Scrub all sites for ever; one that hangs costs only itself."""
        async with asyncio.TaskGroup() as group:
            for store in sorted(self._stores):
                group.create_task(self._site(store), name=f"scrub {store}")

    async def _site(self, store: StoreId) -> None:
        while self._showcase.picture is None:
            await self._clock.sleep(FIRST_LOOK)
        while True:
            try:
                for image in await self._due(store):
                    await self._scrub(image, store)
            except EdgesyncError as error:
                log.warning("scrub interrupted", store=store, why=error.message, remedy=error.remedy)
            except Exception:
                log.exception("scrub broke off", store=store)
            await self._clock.sleep(LOOK)

    async def _scrub(self, image: ImageId, store: StoreId) -> None:
        if not self._may(image, store):
            return
        found = await self._comparison.look(image, store, pace=self._at_hub.take)
        if not found.recorded:
            self._not_before[image, store] = self._clock.now() + LATER
        await self._clock.sleep(found.size / self._rules.bandwidth)

    async def _due(self, store: StoreId) -> list[ImageId]:
        """The copies whose time has come, the one that was longest ago first."""
        picture = self._showcase.picture
        if self._rules.every is None or picture is None:
            return []
        known = await self._known.verifications(store)
        now = self._clock.now()
        self._not_before = {copy: until for copy, until in self._not_before.items() if until > now}
        before = now - timedelta(seconds=self._rules.every)
        last = {
            image.id: known[image.id].at if image.id in known else NEVER
            for image in picture.world.images.values()
            if store in image.stores and (image.id, store) not in self._not_before
        }
        return sorted((image for image, at in last.items() if at <= before), key=lambda image: (last[image], image))

    def _may(self, image: ImageId, store: StoreId) -> bool:
        """Whether the copy may be scrubbed now: what was true when the list was made may have changed."""
        picture = self._showcase.picture
        return picture is not None and self._rules.every is not None and _untroubled(picture, image, store)


def _untroubled(picture: Picture, image: ImageId, store: StoreId) -> bool:
    """Whether the copy is there, its site is up, and nobody has paused it or is at work on it."""
    seen = picture.world.images.get(image)
    if seen is None or store not in seen.stores or picture.site(store).breaker.state is not BreakerState.CLOSED:
        return False
    attempt = picture.attempts.get(image)
    if attempt is not None and store in attempt.stores:
        return False
    return not any(pause.covers(image, store) for pause in picture.ledger.pauses)
