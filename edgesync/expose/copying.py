"""What is counted of copies: results, bytes, durations, waits, retries, stalls."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram

from edgesync.domain.copy import StallCause
from edgesync.domain.image import UNFINISHED, ImageId, temporary_name
from edgesync.domain.job import Attempt, AttemptId, CopyResult, Engine, StoreResult
from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags, asked_at
from edgesync.expose.picture import Picture, Showcase

COPY_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
WAIT_SECONDS = (1, 10, 60, 300, 900, 3600, 14400, 43200, 86400, 259200)


class CopyCounters:
    """Told of bytes as they are written, of stalls, and of each store where a copy or import has ended."""

    def __init__(self, registry: CollectorRegistry, showcase: Showcase, lags: Lags) -> None:
        self._registry = registry
        self._showcase = showcase
        self._lags = lags
        # Bytes that copies under way have written so far, by their RBD name and store.
        self._sending: dict[tuple[str, StoreId], int] = {}
        # Since when the copies under way had been missing: once Glance lists one, it is missing no more.
        self._late: dict[tuple[AttemptId, StoreId], datetime] = {}
        ended = ["store", "engine", "result"]
        self._results = self._counter(
            "edgesync_copy_results", "Copies and imports that ended, by store, engine and result.", ended
        )
        self._logical = self._counter(
            "edgesync_copy_logical_bytes", "Size of the images whose copies ended, zeros and all.", ended
        )
        self._wire = self._counter(
            "edgesync_copy_wire_bytes",
            "What was sent for them: counted for the engine rbd; of copies made by Glance, the size of the image.",
            ended,
        )
        self._sent = self._counter(
            "edgesync_sent_bytes", "Image data that edgesync itself has written to a store, as it goes.", ["store"]
        )
        self._retries = self._counter(
            "edgesync_copy_retries", "Copies that were tried again after a failure.", ["store"]
        )
        self._stalls = self._counter(
            "edgesync_stalls", "Imports of ours that ceased to get on, by store and cause.", ["store", "cause"]
        )
        self._durations = Histogram(
            "edgesync_copy_duration_seconds",
            "Time from its start to the end of a copy or import that succeeded, by store and engine.",
            ["store", "engine"],
            buckets=COPY_SECONDS,
            registry=registry,
        )
        self._waits = Histogram(
            "edgesync_queue_wait_seconds",
            "Time from when a copy was asked for, or found missing, to the start of the attempt that made it.",
            buckets=WAIT_SECONDS,
            registry=registry,
        )

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def seen(self, picture: Picture) -> None:
        """The next picture was made; the lags are still those of the one before."""
        self._late = {
            (attempt.id, store): since
            for attempt in picture.ledger.attempts
            for store in attempt.stores
            if (since := self._since(attempt, store)) is not None
        }

    def stalled(self, store: StoreId, cause: StallCause) -> None:
        """An import of ours ceased to get on."""
        self._stalls.labels(store, cause.value).inc()

    def sent(self, store: StoreId, name: str, size: int) -> None:
        """Bytes were written to an RBD image."""
        self._sent.labels(store).inc(size)
        if name.endswith(UNFINISHED):
            self._sending[name, store] = self._sending.get((name, store), 0) + size

    def ended(self, attempt: Attempt, entry: StoreResult, seconds: float) -> None:
        """A copy or import at one store has ended."""
        store, engine = entry.store, attempt.engine
        labels = (store, engine.value, entry.result.value)
        size = self._size(attempt.image)
        sent = self.taken(attempt.image, store)
        if entry.result is CopyResult.COPIED:
            self._durations.labels(store, engine.value).observe(seconds)
            self._wait(attempt, store)
            sent = sent if engine is Engine.RBD else size
        self._results.labels(*labels).inc()
        self._logical.labels(*labels).inc(size)
        self._wire.labels(*labels).inc(sent)
        picture = self._showcase.picture
        if picture is not None and (attempt.image, store) in picture.ledger.failures:
            self._retries.labels(store).inc()

    def taken(self, image: ImageId, store: StoreId) -> int:
        """Bytes written so far for whatever was done there, which is counted now, or never."""
        return self._sending.pop((temporary_name(image), store), 0)

    def _size(self, image: ImageId) -> int:
        picture = self._showcase.picture
        found = picture.world.images.get(image) if picture is not None else None
        return (found.size or 0) if found is not None else 0

    def _since(self, attempt: Attempt, store: StoreId) -> datetime | None:
        return self._late.get((attempt.id, store)) or self._lags.since(attempt.image, store)

    def _wait(self, attempt: Attempt, store: StoreId) -> None:
        picture = self._showcase.picture
        asked = asked_at(picture, attempt) if picture is not None else None
        known = [at for at in (asked, self._since(attempt, store)) if at is not None]
        if known:
            self._waits.observe(max(0.0, (attempt.started_at - min(known)).total_seconds()))
