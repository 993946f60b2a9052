"""Prometheus metrics: what is counted as it happens. Gauges, which are computed when scraped, are in `scrape`.

Names and labels follow Prometheus' conventions. Labels have few values, whatever the number of images: an image id is
never one.
"""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics

from edgesync.domain.copy import StallCause
from edgesync.domain.image import UNFINISHED, temporary_name
from edgesync.domain.job import Attempt, CopyResult, Engine, StoreResult, Work
from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags, asked_at
from edgesync.expose.picture import Showcase
from edgesync.expose.scrape import Gauges, Machinery

COPY_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
WAIT_SECONDS = (1, 10, 60, 300, 900, 3600, 14400, 43200, 86400, 259200)
JOURNAL_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10)

# Of each counter when it was made: a third more lines, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Told of what happens at the daemon's rims."""

    def __init__(self, showcase: Showcase) -> None:
        self._showcase = showcase
        self.registry = CollectorRegistry()
        self.lags = Lags()
        self.machinery = Machinery()
        # Bytes that copies under way have written so far, by their RBD name and store.
        self._sending: dict[tuple[str, StoreId], int] = {}
        self._count_calls()
        self._count_copies()
        self._count_care()
        ProcessCollector(registry=self.registry)
        self.registry.register(Gauges(showcase, self.lags, self.machinery))

    def _count_calls(self) -> None:
        """Of other services, and the daemon's own turns."""
        self._requests = self._histogram(
            "edgesync_glance_request_duration_seconds",
            "Time that requests to Glance took, by operation and HTTP status (or timeout, unreachable).",
            ["operation", "status"],
        )
        self._logins = self._histogram(
            "edgesync_login_duration_seconds",
            "Time that log-ins to Keystone took, by result (ok, refused, unreachable).",
            ["result"],
        )
        self._transactions = self._histogram(
            "edgesync_journal_transaction_duration_seconds",
            "Time that the journal's transactions took, by kind (read, write).",
            ["kind"],
            JOURNAL_SECONDS,
        )
        self._lock_waits = self._histogram(
            "edgesync_journal_lock_wait_seconds",
            "Time that they waited for their turn, and for the database's lock.",
            ["kind"],
            JOURNAL_SECONDS,
        )
        self._journal_errors = self._counter(
            "edgesync_journal_errors", "Transactions that the database failed, by kind.", ["kind"]
        )
        self._ticks = self._histogram("edgesync_tick_duration_seconds", "Time that one turn of the daemon took.", [])
        # From zero on, so that the first failure is an increase.
        for result in ("ok", "refused", "unreachable"):
            self._logins.labels(result)
        for kind in ("read", "write"):
            self._journal_errors.labels(kind)
        self._failed_ticks = self._counter("edgesync_ticks_failed", "Turns that could not be finished.", [])

    def _count_copies(self) -> None:
        ended = ["store", "engine", "result"]
        self._copies = self._counter(
            "edgesync_copy_results", "Copies and imports that ended, by store, engine and result.", ended
        )
        self._bytes = self._counter(
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
        self._durations = self._histogram(
            "edgesync_copy_duration_seconds",
            "Time from its start to the end of a copy or import that succeeded, by store and engine.",
            ["store", "engine"],
            COPY_SECONDS,
        )
        self._waits = self._histogram(
            "edgesync_queue_wait_seconds",
            "Time from when a copy was asked for, or found missing, to the start of the attempt that made it.",
            [],
            WAIT_SECONDS,
        )
        self._retries = self._counter(
            "edgesync_copy_retries", "Copies that were tried again after a failure.", ["store"]
        )
        self._stalls = self._counter(
            "edgesync_stalls", "Imports of ours that ceased to get on, by store and cause.", ["store", "cause"]
        )

    def _count_care(self) -> None:
        """Verifications, repairs, removals."""
        self._verified = self._counter(
            "edgesync_verifications",
            "Copies compared with their image, by store and result (sound, damaged, failed: could not be compared).",
            ["store", "result"],
        )
        self._trashed = self._counter("edgesync_orphans_trashed", "Leftover RBD images moved to the trash.", ["store"])
        self._repaired = self._counter(
            "edgesync_copies_repaired",
            "Broken copies mended, by store and what was done (protect, unlist, renew).",
            ["store", "repair"],
        )
        self._removed = self._counter("edgesync_copies_removed", "Copies deleted on purpose.", ["store"])

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: list[str], buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS
    ) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def request(self, operation: str, status: str, seconds: float) -> None:
        self._requests.labels(operation, status).observe(seconds)

    def login(self, result: str, seconds: float) -> None:
        self._logins.labels(result).observe(seconds)

    def certificate(self, service: str, ends: datetime) -> None:
        """A service has shown a certificate."""
        self.machinery.certificates[service] = ends

    def transaction(self, kind: str, waited: float, seconds: float, failed: bool) -> None:
        """The journal's; `kind` is read or write, `waited` what of the seconds it had to wait for its turn."""
        self._transactions.labels(kind).observe(seconds)
        self._lock_waits.labels(kind).observe(waited)
        if failed:
            self._journal_errors.labels(kind).inc()

    def tick(self, seconds: float, good: bool) -> None:
        self._ticks.observe(seconds)
        if not good:
            self._failed_ticks.inc()
        if self._showcase.picture is not None:
            self.lags.update(self._showcase.picture)
            for store in self._showcase.picture.world.topology.stores:
                for result in (CopyResult.SOUND, CopyResult.DAMAGED, CopyResult.FAILED):
                    self._verified.labels(store, result.value)

    def stalled(self, store: StoreId, cause: StallCause) -> None:
        self._stalls.labels(store, cause.value).inc()

    def compared(self, store: StoreId, result: CopyResult) -> None:
        """A copy was verified, or could not be."""
        self._verified.labels(store, result.value).inc()

    def sent(self, store: StoreId, name: str, size: int) -> None:
        """Bytes were written to an RBD image."""
        self._sent.labels(store).inc(size)
        if name.endswith(UNFINISHED):
            self._sending[name, store] = self._sending.get((name, store), 0) + size

    def ended(self, attempt: Attempt, entry: StoreResult, seconds: float) -> None:
        """Any work at one store has ended."""
        work, store, result = attempt.work, entry.store, entry.result
        if work.brings:
            self._copied(attempt, entry, seconds)
        elif work is Work.REMOVE and result is CopyResult.REMOVED:
            self._removed.labels(store).inc()
        elif work is Work.TRASH and result.good:
            self._trashed.labels(store).inc()
        elif work.repairs and result.good:
            self._repaired.labels(store, work.value).inc()

    def _copied(self, attempt: Attempt, entry: StoreResult, seconds: float) -> None:
        store, engine = entry.store, attempt.engine
        labels = (store, engine.value, entry.result.value)
        self._copies.labels(*labels).inc()
        sent = self._sending.pop((temporary_name(attempt.image), store), 0)
        picture = self._showcase.picture
        image = picture.world.images.get(attempt.image) if picture is not None else None
        size = (image.size or 0) if image is not None else 0
        if entry.result is CopyResult.COPIED:
            self._durations.labels(store, engine.value).observe(seconds)
            self._wait(attempt, store)
            sent = sent if engine is Engine.RBD else size
        self._bytes.labels(*labels).inc(size)
        self._wire.labels(*labels).inc(sent)
        if picture is not None and (attempt.image, store) in picture.ledger.failures:
            self._retries.labels(store).inc()

    def _wait(self, attempt: Attempt, store: StoreId) -> None:
        picture = self._showcase.picture
        asked = asked_at(picture, attempt) if picture is not None else None
        known = [at for at in (asked, self.lags.since(attempt.image, store)) if at is not None]
        if known:
            self._waits.observe(max(0.0, (attempt.started_at - min(known)).total_seconds()))
