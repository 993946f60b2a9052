"""How many imports may run, over all stores and into each, and how much room there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt
from edgesync.domain.site import BreakerState, Site
from edgesync.domain.store import StoreId, StoreSettings


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
    """The budget less what is running and what this plan has given away so far."""

    def __init__(self, budget: Budget, running: Iterable[Attempt], sites: Mapping[StoreId, Site]) -> None:
        self._budget = budget
        self._sites = sites
        self._used: Counter[StoreId] = Counter()
        self._imports = 0
        for attempt in running:
            self.take(attempt.stores)

    @property
    def left(self) -> int:
        """Imports that may still start."""
        return max(0, self._budget.imports - self._imports)

    def used(self, store: StoreId) -> int:
        return self._used[store]

    def free(self, stores: Iterable[StoreId]) -> frozenset[StoreId]:
        """Those of the stores into which one more import may write now."""
        return frozenset(store for store in stores if self._used[store] < self._limit(store))

    def take(self, stores: Iterable[StoreId], *, joining: bool = False) -> None:
        if not joining:
            self._imports += 1
        self._used.update(stores)

    def _limit(self, store: StoreId) -> int:
        """A store that may have come back gets one copy, to see whether it has."""
        site = self._sites.get(store)
        if site is not None and site.breaker.state is not BreakerState.CLOSED:
            return 1
        return self._budget.of(store)


class Room:
    """Bytes that may still go into each pool, less what running imports will take at most."""

    def __init__(
        self,
        budget: Budget,
        sites: Mapping[StoreId, Site],
        running: Iterable[Attempt],
        images: Mapping[ImageId, Image],
    ) -> None:
        self._sites = sites
        self._budget = budget
        self._left: dict[StoreId, int] = {}
        for store, site in sites.items():
            if site.capacity is not None:
                limit = budget.settings(store).max_pool_fill
                self._left[store] = int(limit * site.capacity.total) - site.capacity.used
        for attempt in running:
            image = images.get(attempt.image)
            if attempt.work.brings and image is not None:
                self.take(attempt.stores, image.size or 0)

    def lacking(self, stores: Iterable[StoreId], size: int) -> frozenset[StoreId]:
        """Those of the stores whose pool would be filled beyond its limit."""
        return frozenset(store for store in stores if size > self._left.get(store, size))

    def take(self, stores: Iterable[StoreId], size: int) -> None:
        for store in stores:
            if store in self._left:
                self._left[store] -= size

    def explain(self, store: StoreId, size: int) -> str:
        """The figures, for people."""
        capacity = self._sites[store].capacity
        if capacity is None:
            return "its pool is full"
        limit = self._budget.settings(store).max_pool_fill
        return (
            f"its pool holds {gib(capacity.used)} of {gib(capacity.total)} ({capacity.fill():.0%}); with {gib(size)} "
            f"more, and what is being copied there, it would pass max_pool_fill, {limit:.0%}"
        )


def gib(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
