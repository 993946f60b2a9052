"""Gauges of the sites: health, room, findings, stalls, pauses. Read off the last picture when scraped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from edgesync.domain.site import BreakerState, Defect
from edgesync.expose.picture import Picture


def sites(picture: Picture) -> Iterator[Metric]:
    yield _up(picture)
    yield _breakers(picture)
    yield from _pools(picture)
    yield _findings(picture)
    yield _oldest(picture)
    yield _stalled(picture)
    pauses = GaugeMetricFamily("edgesync_pauses", "Pauses in force.")
    pauses.add_metric([], len(picture.ledger.pauses))
    yield pauses


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


def _pools(picture: Picture) -> Iterator[Metric]:
    """Only where Ceph has told."""
    used = GaugeMetricFamily("edgesync_pool_used_bytes", "Image data in the store's pool.", labels=["store"])
    available = GaugeMetricFamily("edgesync_pool_available_bytes", "Room left in the store's pool.", labels=["store"])
    for store, site in sorted(picture.world.sites.items()):
        if site.capacity is not None:
            used.add_metric([store], site.capacity.used)
            available.add_metric([store], site.capacity.available)
    yield used
    yield available


def _findings(picture: Picture) -> Metric:
    """Only of stores that were audited: no finding and no look are not the same."""
    family = GaugeMetricFamily(
        "edgesync_findings",
        "Copies on which Glance and Ceph disagree, by defect, in the last audit.",
        labels=["store", "defect"],
    )
    for store, site in sorted(picture.world.sites.items()):
        if site.audited_at is None and not site.findings:
            continue
        counts = Counter(finding.defect for finding in site.findings.values())
        for defect in Defect:
            family.add_metric([store, defect.value], counts[defect])
    return family


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


def _stalled(picture: Picture) -> Metric:
    family = GaugeMetricFamily(
        "edgesync_stalled_imports", "Imports of ours that do not get on, by the store being written.", labels=["store"]
    )
    followed = {attempt.id for attempt in picture.ledger.attempts}
    counts = Counter(stall.store for attempt, stall in picture.stalls.items() if attempt in followed)
    for store in sorted(picture.world.topology.stores):
        family.add_metric([store], counts[store])
    return family
