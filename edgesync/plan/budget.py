"""How many imports may run, over all stores and into each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgesync.domain.job import Attempt
from edgesync.domain.store import StoreId, StoreSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The limits of the configuration."""

    # Imports at the same time, over all stores.
    imports: int
    per_store: int
    stores: Mapping[StoreId, StoreSettings] = field(default_factory=dict)

    def of(self, store: StoreId) -> int:
        settings = self.stores.get(store)
        return self.per_store if settings is None else settings.max_concurrent


class Slots:
    """The budget less what is running and what this plan has given away so far."""

    def __init__(self, budget: Budget, running: Iterable[Attempt]) -> None:
        self._budget = budget
        self._used: Counter[StoreId] = Counter()
        self._imports = 0
        for attempt in running:
            self.take(attempt.stores)

    def free(self, stores: Iterable[StoreId], *, joining: bool = False) -> frozenset[StoreId]:
        """Those of the stores into which one more import may run now; `joining` an import that has its slot."""
        if self._imports >= self._budget.imports and not joining:
            return frozenset()
        return frozenset(store for store in stores if self._used[store] < self._budget.of(store))

    def take(self, stores: Iterable[StoreId], *, joining: bool = False) -> None:
        if not joining:
            self._imports += 1
        self._used.update(stores)
