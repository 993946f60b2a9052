"""A real Prometheus scrapes the real daemon: whoever is on call hears of a dead site, and that it is well again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from deploy.lab import faults
from deploy.lab.faults import How
from tests.lab.daemon import EDGES, MIB, SITES, DaemonProcess
from tests.servers.prometheus import PrometheusServer, prometheus_server, promtool

SMALL = 16 * MIB


@pytest.fixture
def prometheus(daemon: DaemonProcess, tmp_path: Path) -> Iterator[PrometheusServer]:
    with prometheus_server(tmp_path, daemon.url.removeprefix("http://")) as server:
        yield server


def scrape(daemon: DaemonProcess) -> str:
    answer = requests.get(f"{daemon.url}/metrics", timeout=30)
    assert answer.ok
    return answer.text


def figure(daemon: DaemonProcess, name: str, **labels: str) -> float | None:
    """One series as the daemon shows it; None: it doesn't."""
    for family in text_string_to_metric_families(scrape(daemon)):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def test_a_dead_site_is_alerted_with_its_name_and_the_alert_ends_when_it_is_healed(
    daemon: DaemonProcess, prometheus: PrometheusServer
) -> None:
    image = daemon.put(SMALL)
    daemon.start()
    daemon.until_at(image, *EDGES)
    daemon.until(lambda: prometheus.value('up{job="edgesync"}') == 1, "Prometheus has the daemon")
    daemon.until(lambda: prometheus.firing() == {}, "nothing is wrong")

    faults.break_site(daemon.lab, "dcn0", How.KILL_OSD)
    daemon.until(lambda: "EdgesyncStoreDown" in prometheus.firing(), "the alert", seconds=180)
    (alert,) = prometheus.firing()["EdgesyncStoreDown"]
    assert (alert["store"], alert["severity"], alert["summary"]) == ("dcn0", "critical", "dcn0 is down")
    assert alert["runbook_url"].endswith("RUNBOOK.md#edgesyncstoredown")
    # Page and command lead with the same.
    assert daemon.get("/v1/health")["problems"][0]["what"].startswith("dcn0 is down since")
    assert "dcn0 is down since" in daemon.command("status").stdout.splitlines()[0]
    late = daemon.put(SMALL)
    daemon.until(
        lambda: prometheus.value('edgesync_waiting_copies{store="dcn0",reason="store-down"}') == 1,
        "what waits is shown",
    )
    daemon.until(lambda: (prometheus.value('edgesync_lag_seconds{store="dcn0"}') or 0) >= 1, "and for how long")

    faults.heal_site(daemon.lab, "dcn0")
    daemon.until(lambda: "EdgesyncStoreDown" not in prometheus.firing(), "the alert ends by itself", seconds=180)
    assert daemon.get("/v1/health")["problems"] == []
    assert "dcn0 is down" not in daemon.command("status").stdout
    daemon.until_at(late, *EDGES)
    daemon.until(lambda: prometheus.value('edgesync_lag_seconds{store="dcn0"}') == 0, "nothing is late any more")
    daemon.good(late, *SITES, size=SMALL)


def test_a_daemon_that_is_gone_is_alerted(daemon: DaemonProcess, prometheus: PrometheusServer) -> None:
    daemon.start()
    daemon.until(lambda: prometheus.value('up{job="edgesync"}') == 1, "Prometheus has the daemon")
    daemon.kill()
    daemon.until(lambda: "EdgesyncDown" in prometheus.firing(), "the alert", seconds=240)
    daemon.start()
    daemon.until(lambda: "EdgesyncDown" not in prometheus.firing(), "the alert ends")


def test_what_a_real_daemon_shows_has_promtool_s_approval(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL)
    daemon.start()
    daemon.until_at(image, *EDGES)
    # Glance lists a copy before its attempt has ended.
    daemon.until(lambda: (figure(daemon, "edgesync_queue_wait_seconds_count") or 0) >= 2, "both attempts have ended")
    checked = promtool("check", "metrics", text=scrape(daemon))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert figure(daemon, "edgesync_copy_wire_bytes_total", store="dcn0", engine="copy-image", result="copied") == SMALL
    assert figure(daemon, "edgesync_threads_limit", store="dcn0", pool="ceph") == 4
    assert (figure(daemon, "edgesync_login_duration_seconds_count", result="ok") or 0) >= 1
    assert (figure(daemon, "edgesync_journal_transaction_duration_seconds_count", kind="write") or 0) >= 1


def test_what_the_rbd_engine_sends_is_counted(mover: DaemonProcess) -> None:
    image = mover.put(SMALL)
    mover.start()
    mover.until_at(image, *EDGES)
    ended = "edgesync_copy_results_total"
    for store in EDGES:
        of_it = {"store": store, "engine": "rbd", "result": "copied"}
        # Glance lists a copy before its attempt has ended.
        mover.until(lambda of_it=of_it: figure(mover, ended, **of_it), "its end is counted")  # type: ignore[misc]
        assert figure(mover, "edgesync_copy_logical_bytes_total", **of_it) == SMALL
        # The bytes are random, and so none of them is a zero that need not be sent.
        assert figure(mover, "edgesync_copy_wire_bytes_total", **of_it) == SMALL
        assert figure(mover, "edgesync_sent_bytes_total", store=store) == SMALL
