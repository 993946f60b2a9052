"""What the daemon remembers of its own doings from turn to turn, for fairness and patience.

In memory only: all of it is about the recent past, and a new daemon may well begin with a clean slate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from edgesync.domain.action import Start
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger

HOUR = timedelta(hours=1)
# A copy that was mended, or could not be, is left alone for so long: the next audit may see it differently.
REST = timedelta(minutes=5)
# A copy whose removal was refused (somebody cloned a disk from it) is not pruned for so long: it would be the first in
# each pass, and refused again, and nothing else's turn would come.
RELENT = timedelta(days=1)
# How much the newest copy counts in a store's rate.
WEIGHT = 0.3
# More retries into one store than any budget allows need not be counted.
MOST_RETRIES = 10_000


class Recollection:
    """Who was served when, what was retried and mended lately, how fast copies went."""

    def __init__(self) -> None:
        self.served: dict[StoreId, datetime] = {}
        self.rates: dict[StoreId, float] = {}
        self._last = datetime.min.replace(tzinfo=UTC)
        self._retried: dict[StoreId, deque[datetime]] = {}
        self._mended: dict[tuple[ImageId, StoreId], datetime] = {}
        self._refused: dict[tuple[ImageId, StoreId], datetime] = {}

    def started(self, action: Start, ledger: Ledger, now: datetime) -> None:
        """An attempt has begun. No two count as begun at the same time: names would decide who waited longer."""
        now = self._last = max(now, self._last + timedelta(microseconds=1))
        for store in action.stores:
            if not action.work.brings:
                self._mended[action.image, store] = now
                continue
            self.served[store] = now
            if (action.image, store) in ledger.failures:
                self._retried.setdefault(store, deque(maxlen=MOST_RETRIES)).append(now)

    def copied(self, store: StoreId, size: int, seconds: float) -> None:
        """A copy was made in so many seconds."""
        if size > 0 and seconds > 0:
            rate = size / seconds
            before = self.rates.get(store, rate)
            self.rates[store] = before + WEIGHT * (rate - before)

    def retries(self, now: datetime) -> Mapping[StoreId, int]:
        """Retries into each store within the last hour."""
        for times in self._retried.values():
            while times and now - times[0] > HOUR:
                times.popleft()
        return {store: len(times) for store, times in self._retried.items() if times}

    def resting(self, now: datetime) -> frozenset[tuple[ImageId, StoreId]]:
        """Copies that were just seen to."""
        self._mended = {copy: at for copy, at in self._mended.items() if now - at < REST}
        return frozenset(self._mended)

    def refused(self, image: ImageId, store: StoreId, now: datetime) -> None:
        """A copy could not be removed."""
        self._refused[image, store] = now

    def unprunable(self, now: datetime) -> frozenset[tuple[ImageId, StoreId]]:
        """Copies whose removal was refused lately."""
        self._refused = {copy: at for copy, at in self._refused.items() if now - at < RELENT}
        return frozenset(self._refused)
