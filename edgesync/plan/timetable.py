"""The stores' windows at one instant: which are shut, and what still fits into those that are open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from edgesync.domain.job import Engine
from edgesync.domain.store import Overrun, StoreId
from edgesync.domain.window import Windows
from edgesync.plan.budget import Budget

Stores = frozenset[StoreId]


class Timetable:
    """Worked out once per plan. Sites with the same windows (most have) share the search for the next change."""

    def __init__(self, budget: Budget, rates: Mapping[tuple[StoreId, Engine], float], now: datetime) -> None:
        changes: dict[Windows, datetime | None] = {}
        # When the next window opens, of stores that are shut; None: never.
        self._shut: dict[StoreId, datetime | None] = {}
        # Of open stores with `overrun: stop`: when they close, and the bytes that each engine brings in before.
        self._closing: dict[StoreId, datetime] = {}
        self._fits: dict[tuple[StoreId, Engine], float] = {}
        for store, settings in budget.stores.items():
            windows = settings.windows
            shut = not windows.open_at(now)
            if not shut and settings.overrun is Overrun.FINISH:
                continue
            if windows not in changes:
                changes[windows] = windows.next_change(now)
            change = changes[windows]
            if shut:
                self._shut[store] = change
            elif change is not None:
                self._closing[store] = change
                for engine in Engine:
                    if rate := rates.get((store, engine)):
                        self._fits[store, engine] = rate * (change - now).total_seconds()

    def shut(self, stores: Stores) -> dict[datetime | None, Stores]:
        """Those of the stores that are shut, by the time at which they open."""
        return _grouped({store: self._shut[store] for store in stores.intersection(self._shut)})

    def closing(self, stores: Stores) -> Stores:
        """Those of the stores where a copy has to end in time."""
        return stores.intersection(self._closing)

    def too_late(self, stores: Stores, size: int, engine: Engine) -> dict[datetime | None, Stores]:
        """Those whose window closes before a copy of that size would end, by the time at which it does.

        By the rate of the engine's recent copies; where that isn't known, nothing is too late.
        """
        late = [store for store in self.closing(stores) if size > self._fits.get((store, engine), size)]
        return _grouped({store: self._closing[store] for store in late})


def _grouped(changes: Mapping[StoreId, datetime | None]) -> dict[datetime | None, Stores]:
    groups: dict[datetime | None, set[StoreId]] = {}
    for store, when in changes.items():
        groups.setdefault(when, set()).add(store)
    return {when: frozenset(group) for when, group in groups.items()}
