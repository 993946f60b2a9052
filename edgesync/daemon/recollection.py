"""What the daemon remembers of its own doings from turn to turn, for fairness and patience.

In memory only: all of it is about the last hour, and a new daemon may well begin with a clean slate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edgesync.domain.action import Start
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, CopyResult, Engine, StoreResult, Work
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.execute.wording import NOTHING_TO_MEND

HOUR = timedelta(hours=1)
# A copy that was mended is left alone for so long: the next audit may see it differently. One that could not be, twice
# as long each time, up to the longest; clones keep a copy from being pruned for longer than a site from being mended.
REST = timedelta(minutes=5)
LONGEST_REST = {Work.REMOVE: timedelta(days=1)}
# How long it is remembered after that how often it could not be.
FORGET = timedelta(days=1)
# How much the newest copy counts in a store's rate.
WEIGHT = 0.3
# More retries into one store than any budget allows need not be counted.
MOST_RETRIES = 10_000


@dataclass(kw_only=True, slots=True)
class _Care:
    """What was last done to a copy that is there."""

    until: datetime
    failures: int = 0


class Recollection:
    """Who was served when, what was retried and mended lately, how fast copies went."""

    def __init__(self) -> None:
        self.served: dict[StoreId, datetime] = {}
        self.rates: dict[tuple[StoreId, Engine], float] = {}
        self._last = datetime.min.replace(tzinfo=UTC)
        self._retried: dict[StoreId, deque[datetime]] = {}
        self._cared: dict[tuple[ImageId, StoreId], _Care] = {}
        self._unproven: dict[tuple[ImageId, StoreId], datetime] = {}

    def started(self, action: Start, ledger: Ledger, now: datetime) -> None:
        """An attempt has begun. No two count as begun at the same time: names would decide who waited longer."""
        now = self._last = max(now, self._last + timedelta(microseconds=1))
        for store in action.stores:
            if not action.work.brings:
                self._care(action.image, store).until = now + REST
                continue
            self.served[store] = now
            if (action.image, store) in ledger.failures:
                self._retried.setdefault(store, deque(maxlen=MOST_RETRIES)).append(now)

    def cared_for(self, attempt: Attempt, entry: StoreResult, now: datetime) -> None:
        """A removal or repair has ended."""
        care = self._care(attempt.image, entry.store)
        if entry.result is not CopyResult.FAILED:
            care.failures = 0
            if entry.reason.startswith(NOTHING_TO_MEND):
                # Nothing was done: what is wrong next is not the same again.
                care.until = now
            return
        if attempt.work is Work.SEAL:
            # Something else is to be done about it, at once.
            self._unproven[attempt.image, entry.store] = care.until = now
            return
        care.failures += 1
        care.until = now + min(LONGEST_REST.get(attempt.work, HOUR), REST * 2 ** min(care.failures, 10))

    def recall(self, attempt: Attempt, size: int) -> None:
        """An ended attempt at an image of so many bytes, as the journal tells of it: the older one before."""
        ended_at = attempt.ended_at or attempt.started_at
        for entry in attempt.results:
            if attempt.work.brings:
                self.served[entry.store] = attempt.started_at
            if attempt.work.brings and entry.result is CopyResult.COPIED:
                self.copied(entry.store, attempt.engine, size, (ended_at - attempt.started_at).total_seconds())
            elif not attempt.work.brings:
                self._care(attempt.image, entry.store).until = attempt.started_at + REST
                self.cared_for(attempt, entry, ended_at)

    def copied(self, store: StoreId, engine: Engine, size: int, seconds: float) -> None:
        """A copy was made in so many seconds. One engine's say nothing of the other's."""
        if size > 0 and seconds > 0:
            rate = size / seconds
            before = self.rates.get((store, engine), rate)
            self.rates[store, engine] = before + WEIGHT * (rate - before)

    def retries(self, now: datetime) -> Mapping[StoreId, int]:
        """Retries into each store within the last hour."""
        for times in self._retried.values():
            while times and now - times[0] > HOUR:
                times.popleft()
        return {store: len(times) for store, times in self._retried.items() if times}

    def resting(self, now: datetime) -> frozenset[tuple[ImageId, StoreId]]:
        """Copies that were just seen to."""
        self._cared = {copy: care for copy, care in self._cared.items() if now - care.until < FORGET}
        return frozenset(copy for copy, care in self._cared.items() if now < care.until)

    def unproven(self, now: datetime) -> frozenset[tuple[ImageId, StoreId]]:
        """Copies that could not be proven whole within the last day."""
        self._unproven = {copy: at for copy, at in self._unproven.items() if now - at < FORGET}
        return frozenset(self._unproven)

    def _care(self, image: ImageId, store: StoreId) -> _Care:
        return self._cared.setdefault((image, store), _Care(until=self._last))


def recalled(newest_first: Sequence[Attempt], images: Mapping[ImageId, Image]) -> Recollection:
    """What a daemon would remember that has made these attempts, but for its retries."""
    memory = Recollection()
    for attempt in reversed(newest_first):
        image = images.get(attempt.image)
        memory.recall(attempt, image.size or 0 if image is not None else 0)
    return memory
