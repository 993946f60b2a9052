"""Prometheus metrics. Names and labels follow Prometheus' conventions; an image id is never a label."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from edgesync import __version__
from edgesync.domain.copy import CopyState
from edgesync.domain.job import CopyResult, JobState, Work
from edgesync.domain.store import StoreId
from edgesync.expose.gauges import sites
from edgesync.expose.matrix import count_copies
from edgesync.expose.picture import Picture, Showcase

COPY_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)


class Metrics:
    """The counters that are incremented as things happen, and the gauges that are read off the last picture."""

    def __init__(self, showcase: Showcase) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "edgesync_glance_request_duration_seconds",
            "Time that requests to Glance took, by operation and HTTP status (or timeout, unreachable).",
            ["operation", "status"],
            registry=self.registry,
        )
        self._ticks = Histogram(
            "edgesync_tick_duration_seconds", "Time that one turn of the daemon took.", registry=self.registry
        )
        self._failed_ticks = Counter(
            "edgesync_ticks_failed", "Turns that could not be finished.", registry=self.registry
        )
        self._copies = Counter(
            "edgesync_copy_results",
            "Copies and imports that ended, by store and result.",
            ["store", "engine", "result"],
            registry=self.registry,
        )
        self._durations = Histogram(
            "edgesync_copy_duration_seconds",
            "Time from the request to Glance to the end of a copy or import, by store.",
            ["store", "engine"],
            buckets=COPY_SECONDS,
            registry=self.registry,
        )
        self._trashed = Counter(
            "edgesync_orphans_trashed", "Leftover RBD images moved to the trash.", ["store"], registry=self.registry
        )
        self._repaired = Counter(
            "edgesync_copies_repaired",
            "Broken copies mended, by store and what was done (protect, unlist, renew).",
            ["store", "repair"],
            registry=self.registry,
        )
        self._verified = Counter(
            "edgesync_verifications",
            "Copies compared with their image, by store and result (sound, damaged, failed: could not be compared).",
            ["store", "result"],
            registry=self.registry,
        )
        self._removed = Counter(
            "edgesync_copies_removed", "Copies deleted on purpose.", ["store"], registry=self.registry
        )
        self.registry.register(_Gauges(showcase))

    def request(self, operation: str, status: str, seconds: float) -> None:
        self._requests.labels(operation, status).observe(seconds)

    def tick(self, seconds: float, good: bool) -> None:
        self._ticks.observe(seconds)
        if not good:
            self._failed_ticks.inc()

    def copied(self, store: StoreId, result: CopyResult, seconds: float) -> None:
        self._copies.labels(store, "copy-image", result.value).inc()
        if result is CopyResult.COPIED:
            self._durations.labels(store, "copy-image").observe(seconds)

    def compared(self, store: StoreId, result: CopyResult) -> None:
        """A copy was verified, or could not be."""
        self._verified.labels(store, result.value).inc()

    def ended(self, work: Work, store: StoreId, result: CopyResult, seconds: float) -> None:
        """Any work at one store has ended."""
        if work.brings:
            self.copied(store, result, seconds)
        elif work is Work.REMOVE and result is CopyResult.REMOVED:
            self._removed.labels(store).inc()
        elif work is Work.TRASH and result.good:
            self._trashed.labels(store).inc()
        elif work.repairs and result.good:
            self._repaired.labels(store, work.value).inc()


class _Gauges(Collector):
    """Computed when scraped, so that they can't disagree with the API."""

    def __init__(self, showcase: Showcase) -> None:
        self._showcase = showcase

    def describe(self) -> Iterator[Metric]:
        """Nothing to look up at registration: the daemon has seen nothing yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("edgesync_build", "Version of edgesync.", value={"version": __version__})
        yield from self._daemon()
        picture = self._showcase.picture
        if picture is not None:
            yield _copies(picture)
            yield _running(picture)
            yield _jobs(picture)
            yield from sites(picture)

    def _daemon(self) -> Iterator[Metric]:
        health = self._showcase.health
        up = GaugeMetricFamily("edgesync_glance_up", "1 while Glance answers, else 0.")
        up.add_metric([], int(health.sees_glance))
        yield up
        last = GaugeMetricFamily(
            "edgesync_last_good_tick_timestamp_seconds", "When the last turn that went well ended; 0 before the first."
        )
        last.add_metric([], health.ticked_at.timestamp() if health.ticked_at else 0)
        yield last
        reloaded = GaugeMetricFamily(
            "edgesync_config_last_reload_successful", "0 after a configuration was refused, until one is taken, else 1."
        )
        reloaded.add_metric([], int(not health.config.error))
        yield reloaded


def _copies(picture: Picture) -> Metric:
    family = GaugeMetricFamily("edgesync_copies", "Copies by store and state.", labels=["store", "state"])
    counts = count_copies(picture)
    for store in sorted(picture.world.topology.stores):
        for state in CopyState:
            if state is not CopyState.ABSENT:
                family.add_metric([store, state.value], counts[store, state])
    return family


def _running(picture: Picture) -> Metric:
    family = GaugeMetricFamily("edgesync_imports_running", "Imports under way into each store.", labels=["store"])
    for store in sorted(picture.world.topology.stores):
        running = sum(attempt.work.brings and store in attempt.stores for attempt in picture.ledger.attempts)
        family.add_metric([store], running)
    return family


def _jobs(picture: Picture) -> Metric:
    family = GaugeMetricFamily("edgesync_jobs_open", "Jobs that are not finished, by state.", labels=["state"])
    for state in (JobState.QUEUED, JobState.RUNNING):
        family.add_metric([state.value], sum(job.state is state for job in picture.ledger.jobs))
    return family
