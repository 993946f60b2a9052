"""Prometheus metrics: what is counted as it happens, copies by `copying`. Gauges, computed when scraped: `scrape`.

Names and labels follow Prometheus' conventions. Labels have few values, whatever the number of images: an image id is
never one.
"""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics

from edgesync.domain.job import Attempt, CopyResult, StoreResult, Work
from edgesync.domain.store import StoreId
from edgesync.expose.copying import CopyCounters
from edgesync.expose.lag import Lags
from edgesync.expose.picture import Picture, Showcase
from edgesync.expose.scrape import Gauges, Machinery

JOURNAL_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10)

# Of each counter when it was made: a third more lines, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Told of what happens at the daemon's rims."""

    def __init__(self, showcase: Showcase) -> None:
        self._showcase = showcase
        # Stores whose counters have begun.
        self._known: set[StoreId] = set()
        self.registry = CollectorRegistry()
        self.lags = Lags()
        self.machinery = Machinery()
        self.copies = CopyCounters(self.registry, showcase, self.lags)
        self._count_calls()
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
        """A service has shown a certificate, or the daemon's own (api) was loaded."""
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

    def seen(self, picture: Picture) -> None:
        """The next picture was made."""
        self.copies.seen(picture)
        self.lags.update(picture)
        for store in picture.world.topology.stores.keys() - self._known:
            self._known.add(store)
            for result in (CopyResult.SOUND, CopyResult.DAMAGED, CopyResult.FAILED):
                self._verified.labels(store, result.value)

    def compared(self, store: StoreId, result: CopyResult) -> None:
        """A copy was verified, or could not be."""
        self._verified.labels(store, result.value).inc()

    def ended(self, attempt: Attempt, entry: StoreResult, seconds: float) -> None:
        """Any work at one store has ended."""
        work, store, result = attempt.work, entry.store, entry.result
        if work.brings:
            self.copies.ended(attempt, entry, seconds)
            return
        # What a repair has written is no copy's.
        self.copies.taken(attempt.image, store)
        if work is Work.REMOVE and result is CopyResult.REMOVED:
            self._removed.labels(store).inc()
        elif work is Work.TRASH and result.good:
            self._trashed.labels(store).inc()
        elif work.repairs and result.good:
            self._repaired.labels(store, work.value).inc()
