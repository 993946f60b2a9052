"""The limits of the sites' lines and of the hub's: the same for all copies that go on at once."""

from __future__ import annotations

from collections.abc import Callable

from edgesync.domain.store import StoreId
from edgesync.execute.rbd.throttle import Throttle

# What the configuration allows at present, in bytes per second; None: no limit. For a store, or for all together.
Allowed = Callable[[StoreId | None], float | None]


class Lines:
    """One throttle for each site, and one for the line that all share."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._uplink = Throttle(lambda: allowed(None))
        self._sites: dict[StoreId, Throttle] = {}

    def rate(self, store: StoreId) -> float | None:
        """What the line to a site makes at most, as far as the configuration says."""
        rates = [rate for rate in (self._allowed(store), self._allowed(None)) if rate is not None]
        return min(rates, default=None)

    def to(self, store: StoreId) -> tuple[Throttle, Throttle]:
        """What a copy to that site has to pass: its own line first, so that nobody takes the shared one in vain."""
        if store not in self._sites:
            self._sites[store] = Throttle(lambda: self._allowed(store))
        return self._sites[store], self._uplink
