"""What is computed when somebody scrapes, so that it can't disagree with the API: all gauges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from edgesync import __version__
from edgesync.domain.store import StoreId
from edgesync.expose.gauges import sites
from edgesync.expose.lag import Lags
from edgesync.expose.picture import Picture, Showcase
from edgesync.expose.queue import work


class Threads(Protocol):
    """The threads for one kind of blocking calls."""

    @property
    def limit(self) -> int: ...

    @property
    def busy(self) -> int: ...

    @property
    def stuck(self) -> int: ...


@dataclass(kw_only=True, slots=True)
class Machinery:
    """Parts of the daemon of which no picture is made; filled in as they are built."""

    # What the lines allow at present, in bytes per second: to a store, or (None) to all together. None: no limit.
    allowed: Callable[[StoreId | None], float | None] = lambda _: None
    # By store and purpose: `ceph` for probes, audits, repairs; `rbd` for the blocks of copies; `mgr` for its manager.
    threads: Mapping[tuple[StoreId, str], Threads] = field(default_factory=dict)
    # When certificates end that were seen, by whose they are.
    certificates: dict[str, datetime] = field(default_factory=dict)


class Gauges(Collector):
    """All of them, off the last picture and the machinery."""

    def __init__(self, showcase: Showcase, lags: Lags, machinery: Machinery) -> None:
        self._showcase = showcase
        self._lags = lags
        self._machinery = machinery

    def describe(self) -> Iterator[Metric]:
        """Nothing to look up at registration: the daemon has seen nothing yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("edgesync_build", "Version of edgesync.", value={"version": __version__})
        yield from self._daemon()
        yield from self._threads()
        yield self._certificates()
        picture = self._showcase.picture
        if picture is not None:
            yield from work(picture, self._lags)
            yield from sites(picture)
            yield from self._lines(picture)

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

    def _threads(self) -> Iterator[Metric]:
        labels = ["store", "pool"]
        limit = GaugeMetricFamily("edgesync_threads_limit", "Threads that calls to a store may take.", labels=labels)
        busy = GaugeMetricFamily("edgesync_threads_busy", "Threads in which such a call is under way.", labels=labels)
        stuck = GaugeMetricFamily(
            "edgesync_threads_stuck", "Those of them whose call should have ended by its deadline.", labels=labels
        )
        for (store, pool), threads in sorted(self._machinery.threads.items()):
            limit.add_metric([store, pool], threads.limit)
            busy.add_metric([store, pool], threads.busy)
            stuck.add_metric([store, pool], threads.stuck)
        yield from (limit, busy, stuck)

    def _certificates(self) -> Metric:
        family = GaugeMetricFamily(
            "edgesync_certificate_expiry_timestamp_seconds",
            "When the certificate ends that a service showed last, or the daemon's own (api); only with TLS.",
            labels=["service"],
        )
        for service, ends in sorted(self._machinery.certificates.items()):
            family.add_metric([service], ends.timestamp())
        return family

    def _lines(self, picture: Picture) -> Iterator[Metric]:
        """Only where there is a limit."""
        line = GaugeMetricFamily(
            "edgesync_rate_limit_bytes_per_second", "What may be sent to a store at present.", labels=["store"]
        )
        for store in sorted(picture.world.topology.stores):
            if (rate := self._machinery.allowed(store)) is not None:
                line.add_metric([store], rate)
        yield line
        uplink = GaugeMetricFamily(
            "edgesync_uplink_rate_limit_bytes_per_second", "What may be sent to all stores together at present."
        )
        if (rate := self._machinery.allowed(None)) is not None:
            uplink.add_metric([], rate)
        yield uplink
