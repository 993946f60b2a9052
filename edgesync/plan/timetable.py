"""The stores' windows at one instant: which are shut, and what still fits into those that are open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from edgesync.domain.store import Overrun, StoreId
from edgesync.domain.window import Windows
from edgesync.plan.budget import Budget

Stores = frozenset[StoreId]


class Timetable:
    """Worked out once per plan. Sites with the same windows (most have) share the search for the next change."""

    def __init__(self, budget: Budget, rates: Mapping[StoreId, float], now: datetime) -> None:
        changes: dict[Windows, datetime | None] = {}
        # When the next window opens, of stores that are shut; None: never.
        self._shut: dict[StoreId, datetime | None] = {}
        # Of open stores with `overrun: stop`: bytes that go in before the window closes, and when that is.
        self._fits: dict[StoreId, tuple[float, datetime]] = {}
        for store, settings in budget.stores.items():
            windows, rate = settings.windows, rates.get(store, 0)
            shut = not windows.open_at(now)
            if not shut and (settings.overrun is Overrun.FINISH or not rate):
                continue
            if windows not in changes:
                changes[windows] = windows.next_change(now)
            change = changes[windows]
            if shut:
                self._shut[store] = change
            elif change is not None:
                self._fits[store] = (rate * (change - now).total_seconds(), change)

    def shut(self, stores: Stores) -> dict[datetime | None, Stores]:
        """Those of the stores that are shut, by the time at which they open."""
        return _grouped({store: self._shut[store] for store in stores.intersection(self._shut)})

    def too_late(self, stores: Stores, size: int) -> dict[datetime | None, Stores]:
        """Those whose window closes before a copy of that size would end, by the time at which it does.

        By the rate of recent copies; where that isn't known, nothing is too late.
        """
        late: dict[StoreId, datetime | None] = {}
        for store in stores.intersection(self._fits):
            fits, closes = self._fits[store]
            if size > fits:
                late[store] = closes
        return _grouped(late)


def _grouped(changes: dict[StoreId, datetime | None]) -> dict[datetime | None, Stores]:
    groups: dict[datetime | None, set[StoreId]] = {}
    for store, when in changes.items():
        groups.setdefault(when, set()).add(store)
    return {when: frozenset(group) for when, group in groups.items()}
