"""When a failed copy is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from edgesync.domain.copy import Failure
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Doubles from `first` to `ceiling` (seconds); after `attempts` failures it is the ceiling at once."""

    first: float
    ceiling: float
    attempts: int

    def delay(self, failures: int, jitter: float) -> float:
        """Seconds to wait after so many failures in a row. `jitter` in [0, 1) spreads the upper half of the delay."""
        if failures >= self.attempts:
            return self.ceiling
        whole = min(self.ceiling, self.first * 2.0 ** min(failures - 1, 60))
        return whole * (1 + jitter) / 2


def remember(
    before: Failure | None,
    *,
    image: ImageId,
    store: StoreId,
    error: str,
    remedy: str,
    hopeless: bool,
    backoff: Backoff,
    jitter: float,
    now: datetime,
) -> Failure:
    """The memory of one more failure. A hopeless one (quota, policy) waits the longest at once."""
    attempts = (before.attempts if before else 0) + 1
    delay = backoff.ceiling if hopeless else backoff.delay(attempts, jitter)
    return Failure(
        image=image,
        store=store,
        attempts=attempts,
        error=error,
        remedy=remedy,
        failed_at=now,
        next_try=now + timedelta(seconds=delay),
    )
