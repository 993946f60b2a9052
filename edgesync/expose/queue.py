"""Gauges of the work: copies by state, what waits and for what, how late it is, what runs. Off the last picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from edgesync.domain.copy import CopyState, WaitReason
from edgesync.domain.job import JobState
from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags, policies_of, wanted_at
from edgesync.expose.matrix import count_copies
from edgesync.expose.picture import Picture


def work(picture: Picture, lags: Lags) -> Iterator[Metric]:
    yield _copies(picture)
    yield _waiting(picture)
    yield from _lag(picture, lags)
    yield _running(picture)
    yield _rates(picture)
    yield _jobs(picture)
    yield _stalled(picture)
    yield from _locks(picture)
    pauses = GaugeMetricFamily("edgesync_pauses", "Pauses in force.")
    pauses.add_metric([], len(picture.ledger.pauses))
    yield pauses


def _copies(picture: Picture) -> Metric:
    family = GaugeMetricFamily("edgesync_copies", "Copies by store and state.", labels=["store", "state"])
    counts = picture.once(count_copies)
    for store in sorted(picture.world.topology.stores):
        for state in CopyState:
            if state is not CopyState.ABSENT:
                family.add_metric([store, state.value], counts[store, state])
    return family


def _waiting(picture: Picture) -> Metric:
    family = GaugeMetricFamily(
        "edgesync_waiting_copies", "Copies that wait for their turn, by store and reason.", labels=["store", "reason"]
    )
    # Thousands of images wait for the same at the same stores.
    alike = Counter((waiting.stores, waiting.reason) for waiting in picture.plan.waiting)
    counts: Counter[tuple[StoreId, WaitReason]] = Counter()
    for (stores, reason), number in alike.items():
        counts.update(dict.fromkeys(((store, reason) for store in stores), number))
    for store in sorted(picture.world.topology.stores):
        for reason in WaitReason:
            family.add_metric([store, reason.value], counts[store, reason])
    # Only the configuration can name others, so they are few.
    for store, reason in sorted(counts.keys()):
        if reason is WaitReason.NO_STORE and store not in picture.world.topology.stores:
            family.add_metric([store, reason.value], counts[store, reason])
    return family


def _lag(picture: Picture, lags: Lags) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "edgesync_lag_seconds",
        "How long the copy has been missing, of those that a policy wants at a store, that is missing for the longest.",
        labels=["store", "policy"],
    )
    objective = GaugeMetricFamily(
        "edgesync_lag_objective_seconds", "The lag that a policy allows; only of policies with one.", labels=["policy"]
    )
    oldest = lags.oldest(picture)
    now = picture.world.at
    for policy in policies_of(picture):
        for store in sorted(wanted_at(policy, picture)):
            since = oldest.get((store, policy.name), now)
            lag.add_metric([store, policy.name], (now - since).total_seconds())
        if policy.lag_objective is not None:
            objective.add_metric([policy.name], policy.lag_objective.total_seconds())
    yield lag
    yield objective


def _running(picture: Picture) -> Metric:
    family = GaugeMetricFamily("edgesync_imports_running", "Imports under way into each store.", labels=["store"])
    for store in sorted(picture.world.topology.stores):
        running = sum(attempt.work.brings and store in attempt.stores for attempt in picture.ledger.attempts)
        family.add_metric([store], running)
    return family


def _rates(picture: Picture) -> Metric:
    family = GaugeMetricFamily(
        "edgesync_copy_rate_bytes_per_second",
        "How fast images arrive at each store at present, zeros and all, by whatever engine.",
        labels=["store"],
    )
    rates: Counter[StoreId] = Counter()
    for progress in picture.progress.values():
        rates[progress.store] += round(progress.rate)
    for store in sorted(picture.world.topology.stores):
        family.add_metric([store], rates[store])
    return family


def _jobs(picture: Picture) -> Metric:
    family = GaugeMetricFamily("edgesync_jobs_open", "Jobs that are not finished, by state.", labels=["state"])
    for state in (JobState.QUEUED, JobState.RUNNING):
        family.add_metric([state.value], sum(job.state is state for job in picture.ledger.jobs))
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


def _locks(picture: Picture) -> Iterator[Metric]:
    """Of images that somebody else's import holds: until it lets go, nothing else is copied of them."""
    tasks = [task for image, task in picture.world.locks.items() if image not in picture.attempts]
    held = GaugeMetricFamily("edgesync_foreign_locks", "Images whose lock somebody else's import holds.")
    held.add_metric([], len(tasks))
    yield held
    silent = GaugeMetricFamily(
        "edgesync_oldest_foreign_lock_timestamp_seconds",
        "Last sign of life of the one of these imports that has been silent for the longest.",
    )
    if tasks:
        silent.add_metric([], min(task.updated_at for task in tasks).timestamp())
    yield silent
