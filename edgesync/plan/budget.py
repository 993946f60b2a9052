"""How many imports may run, over all stores and into each, and how much room there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, AttemptId
from edgesync.domain.site import BreakerState, Site
from edgesync.domain.store import StoreId, StoreSettings
from edgesync.domain.words import NAMED, some_of

NOTHING: frozenset[StoreId] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The limits of the configuration."""

    # Imports at the same time, over all stores.
    imports: int
    # For the stores that `stores` does not name.
    default: StoreSettings = field(default_factory=StoreSettings)
    stores: Mapping[StoreId, StoreSettings] = field(default_factory=dict)
    # Retries of failed copies into one store within an hour.
    retries: int = 60
    # Removals and repairs at the same time.
    upkeep: int = 8

    def settings(self, store: StoreId) -> StoreSettings:
        return self.stores.get(store, self.default)

    def of(self, store: StoreId) -> int:
        """Imports that may write to the store at the same time."""
        return self.settings(store).max_concurrent


class Slots:
    """The budget less what is running and what this plan has given away so far.

    An import that does not get on keeps no other from starting. But it isn't forgotten either, or a store that takes
    all and finishes nothing would collect them without bound: beyond its own number, they count again.
    """

    def __init__(
        self,
        budget: Budget,
        attempts: Iterable[Attempt],
        sites: Mapping[StoreId, Site],
        stalled: Set[AttemptId] = frozenset(),
    ) -> None:
        self._budget = budget
        self._doubtful = frozenset(
            store for store, site in sites.items() if site.breaker.state is not BreakerState.CLOSED
        )
        self._used: Counter[StoreId] = Counter()
        self._imports = 0
        stuck: Counter[StoreId] = Counter()
        for attempt in attempts:
            if not attempt.work.brings:
                continue
            if attempt.id in stalled:
                stuck.update(attempt.stores)
            else:
                self.take(attempt.stores)
        # Stores whose slots may not come free soon.
        self._slow = self._doubtful | stuck.keys()
        for store, number in stuck.items():
            self._used[store] += number if store in self._doubtful else max(0, number - budget.of(store))

    @property
    def left(self) -> int:
        """Imports that may still start."""
        return max(0, self._budget.imports - self._imports)

    def used(self, store: StoreId) -> int:
        return self._used[store]

    def free(self, stores: Iterable[StoreId]) -> frozenset[StoreId]:
        """Those of the stores into which one more import may write now."""
        return frozenset(store for store in stores if self._used[store] < self._limit(store))

    def soon(self, stores: frozenset[StoreId]) -> bool:
        """Whether each of the stores is going to have a free slot before long: nothing has come to a halt there."""
        return stores.isdisjoint(self._slow)

    def take(self, stores: Iterable[StoreId], *, joining: bool = False) -> None:
        """`joining`: by an import that has its own slot already."""
        if not joining:
            self._imports += 1
        self._used.update(stores)

    def reserve(self, stores: Iterable[StoreId]) -> None:
        """Give a slot of each store to nobody: it is kept for an import that needs all of them at once."""
        self._used.update(stores)

    def _limit(self, store: StoreId) -> int:
        """A store that may have come back gets one copy, to see whether it has."""
        return 1 if store in self._doubtful else self._budget.of(store)


class Room:
    """Bytes that may still go into each pool, less what running imports will take at most."""

    def __init__(
        self,
        budget: Budget,
        sites: Mapping[StoreId, Site],
        running: Iterable[Attempt],
        images: Mapping[ImageId, Image],
    ) -> None:
        self._budget = budget
        # Only of stores whose capacity is known.
        self._capacity = {store: site.capacity for store, site in sites.items() if site.capacity is not None}
        self._left = {
            store: int(budget.settings(store).max_pool_fill * capacity.total) - capacity.used
            for store, capacity in self._capacity.items()
        }
        self._coming: Counter[StoreId] = Counter()
        # What fits into the fullest fits everywhere: that is the answer for almost every image.
        self._least = min(self._left.values(), default=0)
        for attempt in running:
            image = images.get(attempt.image)
            if attempt.work.brings and image is not None:
                self.take(attempt.stores, image.size or 0)

    def lacking(self, stores: frozenset[StoreId], size: int) -> frozenset[StoreId]:
        """Those of the stores whose pool would be filled beyond its limit, or is already."""
        if not self._left or size <= self._least:
            return NOTHING
        return frozenset(store for store in stores if size > self._left.get(store, size))

    def take(self, stores: Iterable[StoreId], size: int) -> None:
        for store in self._left.keys() & stores:
            self._coming[store] += size
            self._left[store] -= size
            self._least = min(self._least, self._left[store])

    def explain(self, stores: Collection[StoreId], size: int) -> str:
        """The figures, for people; of many stores only some."""
        if len(stores) == 1:
            (store,) = stores
            return self._figures(store, size)
        return some_of(
            [f"{store}: {self._figures(store, size)}" for store in sorted(stores)[:NAMED]], len(stores), between="; "
        )

    def _figures(self, store: StoreId, size: int) -> str:
        capacity, coming = self._capacity[store], self._coming[store]
        full = f"its pool holds {gib(capacity.used)} of {gib(capacity.total)} ({capacity.fill():.0%})"
        if coming:
            full += f", {gib(coming)} are on their way"
        limit = f"max_pool_fill, {self._budget.settings(store).max_pool_fill:.0%}"
        return f"{full}; {gib(size)} more would pass {limit}" if size else f"{full}: beyond {limit}"


def gib(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
