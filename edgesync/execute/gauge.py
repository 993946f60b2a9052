"""Reads off a site how much of an image has arrived there; Glance itself tells once a minute at most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from edgesync.domain.job import Attempt
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.execute.workbench import Workbench

# Counting the objects of a large image is work for the site: seconds between two readings, and after a failed one.
EVERY = timedelta(seconds=5)
AFTER_TROUBLE = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the site told last."""

    # False: nobody could look.
    looked: bool = False
    # Bytes; None: there is no such RBD image, or nobody could look.
    written: int | None = None


class Gauge:
    """For one attempt: the store may change from one reading to the next."""

    def __init__(self, bench: Workbench, attempt: Attempt) -> None:
        self._bench = bench
        self._attempt = attempt
        self._store: StoreId | None = None
        self._last = Reading()
        self._again_at: datetime | None = None

    async def read(self, store: StoreId | None) -> Reading:
        """The bytes at the store, at most a few seconds old. Raises nothing: progress is only for people."""
        now = self._bench.clock.now()
        if store != self._store:
            self._store, self._last, self._again_at = store, Reading(), None
        cluster = None if store is None else self._bench.clusters.get(store)
        if cluster is None or (self._again_at is not None and now < self._again_at):
            return self._last
        try:
            self._last = Reading(looked=True, written=await cluster.written(self._attempt.image))
        except NotFoundError:
            self._last = Reading(looked=True)
        except EdgesyncError:
            self._last = Reading()
            self._again_at = self._bench.clock.now() + AFTER_TROUBLE
            return self._last
        self._again_at = now + EVERY
        return self._last
