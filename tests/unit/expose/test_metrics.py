"""The metrics: their conventions, their number, and that each says what it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgesync.domain.copy import StallCause
from edgesync.domain.image import ImageId, temporary_name
from edgesync.domain.job import CopyResult, Engine, StoreResult, Work
from edgesync.domain.site import BreakerState, Capacity, Defect, Site
from edgesync.domain.store import StoreId, StoreSettings
from edgesync.expose.metrics import Metrics
from tests.bench.plans import Cloud
from tests.builders import NOW, attempt, failure, image, job, policy, situation, task
from tests.servers.prometheus import promtool
from tests.unit.expose import exposition
from tests.unit.expose.exposition import FixedThreads, metrics_on, samples, text
from tests.unit.expose.pictures import finding, picture_of, site

DCN0 = StoreId("dcn0")
MIB = 1 << 20
LARGE = 1 << 30


def lines(metrics: Metrics) -> set[str]:
    """Of each series name, labels and value, the value as Python writes it."""
    shown = [line.rpartition(" ") for line in text(metrics).splitlines() if not line.startswith("#")]
    return {f"{series} {float(value)}" for series, _, value in shown}


def idle() -> Metrics:
    return metrics_on(picture_of(situation(image())))


def ended(metrics: Metrics, result: CopyResult, engine: Engine, **more: Any) -> None:
    done = replace(attempt(image(), "dcn0", **more), engine=engine)
    metrics.ended(done, StoreResult(store=DCN0, result=result), 2.0)


def test_promtool_finds_nothing_to_complain_about() -> None:
    checked = promtool("check", "metrics", text=exposition.everything())
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_every_metric_is_among_them_with_a_figure() -> None:
    families = text_string_to_metric_families(exposition.everything())
    assert [family.name for family in families if not family.samples] == []


def test_no_label_is_an_image() -> None:
    labels = set().union(*samples(exposition.everything()).values()) - {"le"}
    assert labels == {
        *("store", "role", "state", "reason", "defect", "policy", "engine", "result", "cause", "repair"),
        *("operation", "status", "kind", "pool", "service", "version"),
    }
    assert "id-one" not in exposition.everything()


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_large_cloud_in_which_everything_happened_stays_below_two_mebibytes(everywhere: bool) -> None:
    cloud = Cloud(10_000, 100)
    images = cloud.images(everywhere=everywhere)
    policies = [policy(f"policy-{number}", lag_objective=timedelta(hours=1)) for number in range(5)]
    wanted = [replace(entry, match=replace(entry.match, tags=frozenset())) for entry in policies]
    case = cloud.situation(images)
    case = replace(case, wants=exposition.wants_of(case, wanted))
    sites = exposition.sites(case.world.topology.stores, images[0])
    metrics = metrics_on(picture_of(case, sites=sites))
    exposition.experience(metrics, case.world.topology.stores, images[0])
    shown = text(metrics)
    assert 'edgesync_lag_seconds{policy="policy-4",store="dcn98"}' in shown
    assert len(shown.encode()) < 2 * MIB


def test_what_glance_copied_counts_as_sent_whole() -> None:
    metrics = idle()
    ended(metrics, CopyResult.COPIED, Engine.COPY_IMAGE)
    ended(metrics, CopyResult.FAILED, Engine.COPY_IMAGE)
    assert {
        'edgesync_copy_results_total{engine="copy-image",result="copied",store="dcn0"} 1.0',
        f'edgesync_copy_logical_bytes_total{{engine="copy-image",result="copied",store="dcn0"}} {float(LARGE)}',
        f'edgesync_copy_wire_bytes_total{{engine="copy-image",result="copied",store="dcn0"}} {float(LARGE)}',
        'edgesync_copy_wire_bytes_total{engine="copy-image",result="failed",store="dcn0"} 0.0',
        'edgesync_copy_duration_seconds_count{engine="copy-image",store="dcn0"} 1.0',
    } <= lines(metrics)


def test_what_edgesync_sent_itself_counts_to_the_copy_that_it_was_for() -> None:
    metrics = idle()
    # Of another copy, and of a repair.
    metrics.copies.sent(DCN0, temporary_name(ImageId("other")), MIB)
    metrics.copies.sent(DCN0, "id-img.damaged.1", MIB)
    metrics.copies.sent(DCN0, temporary_name(ImageId("id-img")), MIB)
    ended(metrics, CopyResult.REPAIRED, Engine.COPY_IMAGE, work=Work.RENEW)
    for _ in range(3):
        metrics.copies.sent(DCN0, temporary_name(image().id), MIB)
    ended(metrics, CopyResult.FAILED, Engine.RBD)
    metrics.copies.sent(DCN0, temporary_name(image().id), MIB)
    ended(metrics, CopyResult.COPIED, Engine.RBD)
    assert {
        f'edgesync_copy_wire_bytes_total{{engine="rbd",result="failed",store="dcn0"}} {3.0 * MIB}',
        f'edgesync_copy_wire_bytes_total{{engine="rbd",result="copied",store="dcn0"}} {1.0 * MIB}',
        f'edgesync_sent_bytes_total{{store="dcn0"}} {7.0 * MIB}',
    } <= lines(metrics)


def test_a_copy_that_had_failed_before_counts_as_retried() -> None:
    metrics = metrics_on(picture_of(situation(image(), policies=[policy()], failures=[failure(image(), "dcn0")])))
    ended(metrics, CopyResult.FAILED, Engine.RBD)
    metrics.ended(attempt(image(), "dcn1"), StoreResult(store=StoreId("dcn1"), result=CopyResult.COPIED), 1.0)
    assert 'edgesync_copy_retries_total{store="dcn0"} 1.0' in lines(metrics)
    assert 'edgesync_copy_retries_total{store="dcn1"}' not in text(metrics)


def test_the_wait_of_a_copy_is_counted_from_when_it_was_asked_for() -> None:
    picture = picture_of(situation(image(), jobs=[job(image(), "dcn0")]))
    metrics = metrics_on(picture)
    late = replace(attempt(image(), "dcn0"), started_at=NOW + timedelta(seconds=101))
    metrics.ended(late, StoreResult(store=DCN0, result=CopyResult.COPIED), 1.0)
    assert "edgesync_queue_wait_seconds_sum 100.0" in lines(metrics)


def test_the_wait_of_a_policy_s_copy_is_counted_from_when_it_was_found_missing() -> None:
    metrics = metrics_on(picture_of(situation(image(), policies=[policy()])))
    late = replace(attempt(image(), "dcn0", number=2), started_at=NOW + timedelta(seconds=30))
    metrics.ended(late, StoreResult(store=DCN0, result=CopyResult.COPIED), 1.0)
    assert "edgesync_queue_wait_seconds_sum 30.0" in lines(metrics)


def test_a_copy_that_glance_lists_before_its_attempt_has_ended_has_waited_all_the_same() -> None:
    metrics = metrics_on(picture_of(situation(image(), policies=[policy()])))
    late = replace(attempt(image(), "dcn0"), started_at=NOW + timedelta(seconds=30))
    there = image(stores=("central", "dcn0"))
    for _ in range(3):
        metrics.seen(picture_of(situation(there, policies=[policy()], attempts=[late])))
    metrics.ended(late, StoreResult(store=DCN0, result=CopyResult.COPIED), 1.0)
    assert "edgesync_queue_wait_seconds_sum 30.0" in lines(metrics)


def test_what_waits_is_shown_with_its_reason() -> None:
    down = site("dcn0", state=BreakerState.OPEN, since=NOW)
    metrics = metrics_on(picture_of(situation(image(), policies=[policy()]), sites=[down]))
    assert 'edgesync_waiting_copies{reason="store-down",store="dcn0"} 1.0' in lines(metrics)
    assert 'edgesync_waiting_copies{reason="store-down",store="dcn1"} 0.0' in lines(metrics)


def test_findings_that_need_a_person_are_told_apart() -> None:
    one, two = image("one"), image("two")
    found = [
        finding(one, "dcn0", Defect.ORPHAN, obstacle="somebody has it open"),
        finding(two, "dcn0", Defect.ORPHAN, obstacle="it is too young", passing=True),
    ]
    metrics = metrics_on(picture_of(situation(one, two), sites=[site("dcn0", *found)]))
    assert {
        'edgesync_findings{defect="orphan",store="dcn0"} 2.0',
        'edgesync_findings_held{defect="orphan",store="dcn0"} 1.0',
    } <= lines(metrics)


def test_a_pool_is_shown_with_its_limit() -> None:
    case = situation(image(), settings={"dcn0": StoreSettings(max_pool_fill=0.5)})
    full = Site(store=DCN0, capacity=Capacity(used=3, available=1), refusal="no caps")
    metrics = metrics_on(picture_of(case, sites=[full]))
    assert {
        'edgesync_pool_fill_ratio{store="dcn0"} 0.75',
        'edgesync_pool_fill_limit_ratio{store="dcn0"} 0.5',
        'edgesync_store_watched{store="dcn0"} 0.0',
        'edgesync_store_watched{store="dcn1"} 1.0',
        'edgesync_store_info{role="hub",store="central"} 1.0',
        'edgesync_store_info{role="edge",store="dcn0"} 1.0',
    } <= lines(metrics)


def test_only_somebody_else_s_locks_are_shown() -> None:
    ours, theirs = image("ours", lock="a"), image("theirs", lock="b")
    silent = NOW - timedelta(minutes=40)
    locks = {ours.id: task("a", updated=silent - timedelta(hours=1)), theirs.id: task("b", updated=silent)}
    metrics = metrics_on(picture_of(situation(ours, theirs, attempts=[attempt(ours, "dcn0")]), locks=locks))
    assert "edgesync_foreign_locks 1.0" in lines(metrics)
    (shown,) = [line for line in lines(metrics) if line.startswith("edgesync_oldest_foreign_lock_timestamp_seconds ")]
    assert float(shown.split()[1]) == silent.timestamp()


def test_lines_threads_and_certificates_are_shown_where_there_are_any() -> None:
    metrics = idle()
    names = ("rate_limit_bytes_per_second", "threads_busy", "certificate_expiry_timestamp_seconds")
    assert not any(f"edgesync_{name}{{" in text(metrics) for name in names)
    metrics.machinery.allowed = lambda store: 1e6 if store == DCN0 else 5e6 if store is None else None
    metrics.machinery.threads = {(DCN0, "rbd"): FixedThreads(limit=12, busy=5, stuck=2)}
    metrics.certificate("glance", NOW)
    assert {
        'edgesync_rate_limit_bytes_per_second{store="dcn0"} 1000000.0',
        "edgesync_uplink_rate_limit_bytes_per_second 5000000.0",
        'edgesync_threads_busy{pool="rbd",store="dcn0"} 5.0',
        'edgesync_threads_stuck{pool="rbd",store="dcn0"} 2.0',
        'edgesync_threads_limit{pool="rbd",store="dcn0"} 12.0',
        f'edgesync_certificate_expiry_timestamp_seconds{{service="glance"}} {NOW.timestamp()}',
    } <= lines(metrics)


def test_stalls_log_ins_and_the_journal_s_troubles_are_counted() -> None:
    metrics = idle()
    metrics.copies.stalled(DCN0, StallCause.WORKER_GONE)
    metrics.login("refused", 0.5)
    metrics.transaction("write", 0.25, 1.0, True)
    metrics.transaction("write", 0.25, 1.0, False)
    assert {
        'edgesync_stalls_total{cause="worker-gone",store="dcn0"} 1.0',
        'edgesync_login_duration_seconds_count{result="refused"} 1.0',
        'edgesync_journal_errors_total{kind="write"} 1.0',
        'edgesync_journal_lock_wait_seconds_sum{kind="write"} 0.5',
        'edgesync_journal_transaction_duration_seconds_sum{kind="write"} 2.0',
    } <= lines(metrics)


def test_what_alerts_count_begins_at_zero_so_that_the_first_one_counts() -> None:
    metrics = idle()
    assert {
        'edgesync_login_duration_seconds_count{result="refused"} 0.0',
        'edgesync_journal_errors_total{kind="read"} 0.0',
        'edgesync_verifications_total{result="failed",store="dcn0"} 0.0',
        'edgesync_verifications_total{result="damaged",store="dcn0"} 0.0',
    } <= lines(metrics)


def test_removals_are_no_copies() -> None:
    metrics = idle()
    ended(metrics, CopyResult.REMOVED, Engine.COPY_IMAGE, work=Work.REMOVE)
    assert "edgesync_copy_results_total{" not in text(metrics)
    assert 'edgesync_copies_removed_total{store="dcn0"} 1.0' in lines(metrics)
