"""Gauges of the sites: health, room, limits, findings. Read off the last picture when scraped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from edgesync.domain.site import BreakerState, Defect
from edgesync.expose.picture import Picture


def sites(picture: Picture) -> Iterator[Metric]:
    yield _roles(picture)
    yield _up(picture)
    yield _breakers(picture)
    yield _watched(picture)
    yield from _pools(picture)
    yield from _findings(picture)
    yield _oldest(picture)


def _roles(picture: Picture) -> Metric:
    family = GaugeMetricFamily("edgesync_store_info", "1 for each store, with its role.", labels=["store", "role"])
    for store in sorted(picture.world.topology.stores):
        family.add_metric([store, picture.world.topology.role(store).value], 1)
    return family


def _up(picture: Picture) -> Metric:
    family = GaugeMetricFamily(
        "edgesync_store_up",
        "1 while copies are sent to the store; 0 while it is down or being tried.",
        labels=["store"],
    )
    for store in sorted(picture.world.topology.stores):
        family.add_metric([store], int(picture.site(store).breaker.state is BreakerState.CLOSED))
    return family


def _breakers(picture: Picture) -> Metric:
    family = GaugeMetricFamily(
        "edgesync_store_breaker_state", "1 for the state that the store's breaker is in.", labels=["store", "state"]
    )
    for store in sorted(picture.world.topology.stores):
        for state in BreakerState:
            family.add_metric([store, state.value], int(picture.site(store).breaker.state is state))
    return family


def _watched(picture: Picture) -> Metric:
    family = GaugeMetricFamily(
        "edgesync_store_watched", "0 while the store's Ceph refuses to be asked by edgesync, else 1.", labels=["store"]
    )
    for store in sorted(picture.world.topology.stores):
        family.add_metric([store], int(not picture.site(store).refusal))
    return family


def _pools(picture: Picture) -> Iterator[Metric]:
    """Only where Ceph has told."""
    used = GaugeMetricFamily("edgesync_pool_used_bytes", "Image data in the store's pool.", labels=["store"])
    available = GaugeMetricFamily("edgesync_pool_available_bytes", "Room left in the store's pool.", labels=["store"])
    fill = GaugeMetricFamily("edgesync_pool_fill_ratio", "How full the store's pool is, 0 to 1.", labels=["store"])
    limit = GaugeMetricFamily(
        "edgesync_pool_fill_limit_ratio", "No copy is started that would fill the pool beyond this.", labels=["store"]
    )
    for store, site in sorted(picture.world.sites.items()):
        if site.capacity is not None:
            used.add_metric([store], site.capacity.used)
            available.add_metric([store], site.capacity.available)
            fill.add_metric([store], site.capacity.fill())
            limit.add_metric([store], picture.settings_of(store).max_pool_fill)
    yield from (used, available, fill, limit)


def _findings(picture: Picture) -> Iterator[Metric]:
    """Only of stores that were audited: no finding and no look are not the same."""
    found = GaugeMetricFamily(
        "edgesync_findings",
        "Copies on which Glance and Ceph disagree, by defect, in the last audit.",
        labels=["store", "defect"],
    )
    held = GaugeMetricFamily(
        "edgesync_findings_held",
        "Those of them that edgesync leaves alone, for something is in the way that does not pass by itself.",
        labels=["store", "defect"],
    )
    for store, site in sorted(picture.world.sites.items()):
        if site.audited_at is None and not site.findings:
            continue
        findings = site.findings.values()
        counts = Counter(finding.defect for finding in findings)
        left = Counter(finding.defect for finding in findings if finding.obstacle and not finding.passing)
        for defect in Defect:
            found.add_metric([store, defect.value], counts[defect])
            held.add_metric([store, defect.value], left[defect])
    yield found
    yield held


def _oldest(picture: Picture) -> Metric:
    """Only of stores where a copy was verified."""
    family = GaugeMetricFamily(
        "edgesync_oldest_verification_timestamp_seconds",
        "When the copy was verified whose verification is the oldest; those never verified are not counted.",
        labels=["store"],
    )
    for store, site in sorted(picture.world.sites.items()):
        if site.verified:
            family.add_metric([store], min(found.at for found in site.verified.values()).timestamp())
    return family
