"""Which changes a running daemon can't take over."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesync.config import Settings, load, needs_restart
from tests.unit.config.test_good import FULL

BEFORE = """\
cloud: overcloud
hub: central
stores:
  dcn0: {ceph: {conf: /etc/ceph/dcn0.conf, user: edgesync}}
log: {level: info}
"""


def changed(directory: Path, after: str, before: str = BEFORE) -> list[str]:
    def settings(name: str, text: str) -> Settings:
        file = directory / name
        file.write_text(text)
        return load(file, {})

    return [
        line.removeprefix(f"{directory}/") for line in needs_restart(settings("old", before), settings("new", after))
    ]


def test_the_same_settings_need_none(tmp_path: Path) -> None:
    assert changed(tmp_path, BEFORE) == []
    assert changed(tmp_path, "# moved\n" + FULL, FULL) == []


def test_what_is_read_again_in_every_round_needs_none(tmp_path: Path) -> None:
    after = BEFORE + (
        "edge_origin: false\n"
        "uplink: {bandwidth: 1 Gbit/s, timezone: Europe/Madrid}\n"
        "limits: {imports: 9, imports_per_store: 9, split_imports: false, max_pool_fill: 50%}\n"
        "policies: [{name: golden, match: all, stores: all, waves: [[dcn0], rest], engine: rbd}]\n"
        "journal: {retention: 1d}\n"
        "glance: {staging: /srv/staging}\n"
        "polling: {active: 2s, idle: 2s, full_pass: 2s}\n"
        "probes: {every: 2s}\n"
        "breaker: {failures: 9, first: 2s, ceiling: 2s}\n"
        "stall: {after: 2s}\n"
        "audit: {every: 2s, grace: 10s, trash_delay: 2h, orphans: report, repair: report}\n"
        "scrub: {every: off, bandwidth: 1 MB/s}\n"
        "rbd: {max_depth: 1, min_gain: 50%}\n"
        "retry: {first: 2s, ceiling: 2s, attempts: 2, per_store: 2}\n"
    )
    assert changed(tmp_path, after) == []


def test_what_a_store_has_beside_its_ceph_needs_none(tmp_path: Path) -> None:
    after = BEFORE.replace(
        "}}", "}, max_concurrent: 7, max_pool_fill: 50%, windows: [sun], timezone: Europe/Madrid, bandwidth: 1 MB/s}"
    )
    assert after != BEFORE
    assert changed(tmp_path, after.replace("log:", "  dcn1: {overrun: stop}\nlog:")) == []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("cloud", "cloud: other\nhub: central\n"),
        ("clouds_file", "clouds_file: /etc/clouds.yaml\nhub: central\n"),
        ("region", "region: RegionTwo\nhub: central\n"),
        ("hub", "hub: dcn0\n"),
        ("journal.url", "journal: {url: 'sqlite+aiosqlite:////tmp/journal.db'}\nhub: central\n"),
        ("api.listen", "api: {listen: '127.0.0.1:1'}\nhub: central\n"),
        ("glance.timeout", "glance: {timeout: 2s}\nhub: central\n"),
        ("probes.deadline", "probes: {deadline: 2s}\nhub: central\n"),
        ("glance.page_size", "glance: {page_size: 2}\nhub: central\n"),
        ("rbd.deadline", "rbd: {deadline: 2s}\nhub: central\n"),
        ("rbd.memory", "rbd: {memory: 64 MiB}\nhub: central\n"),
        ("upload.timeout", "upload: {timeout: 2h}\nhub: central\n"),
        ("log.level", "log: {level: debug}\nhub: central\n"),
        ("log.format", "log: {format: json}\nhub: central\n"),
    ],
)
def test_what_is_set_up_once_needs_one(tmp_path: Path, key: str, text: str) -> None:
    column = text.index("{") + 2 if "{" in text else 1
    assert changed(tmp_path, text, "hub: central\n") == [f"new:1:{column}: {key}"]


def test_how_to_reach_a_cluster_needs_one(tmp_path: Path) -> None:
    after = BEFORE.replace("user: edgesync", "user: other") + "policies: []\n"
    after = after.replace("log:", "  dcn1: {ceph: {conf: /etc/ceph/dcn1.conf, user: edgesync}}\nlog:")
    assert changed(tmp_path, after) == ["new:4:10: stores.dcn0.ceph", "new:5:10: stores.dcn1.ceph"]


def test_a_key_that_was_taken_away_has_the_place_of_what_contained_it(tmp_path: Path) -> None:
    after = "# less\nhub: central\nstores:\n  dcn0: {}\nlog: {format: json}\n"
    assert changed(tmp_path, after) == [
        "new:2:1: cloud",
        "new:4:3: stores.dcn0.ceph",
        "new:5:7: log.format",
    ]


def test_says_nothing_of_a_journals_password(tmp_path: Path) -> None:
    before, after = (
        f"hub: central\njournal: {{url: 'postgresql+asyncpg://u:{password}@h/d'}}\n"
        for password in ("hunter2", "hunter3")
    )
    assert changed(tmp_path, after, before) == ["new:2:11: journal.url"]
