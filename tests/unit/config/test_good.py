"""Good configurations, and the settings they give."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from edgesync.config import (
    ApiSettings,
    AuditSettings,
    BreakerSettings,
    GlanceSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    PollingSettings,
    ProbeSettings,
    RbdSettings,
    RetrySettings,
    ScrubSettings,
    Settings,
    StallSettings,
    UploadSettings,
    load,
    reach,
    show,
)
from edgesync.config.bandwidth_entry import RateEntry, UplinkEntry
from edgesync.config.policy_entry import MatchEntry, PolicyEntry
from edgesync.config.section import Section
from edgesync.config.store_entry import CephEntry, StoreEntry
from edgesync.domain.bandwidth import Bandwidth, TimedRate
from edgesync.domain.job import EngineChoice
from edgesync.domain.policy import Match, Policy, Repair
from edgesync.domain.store import CephSettings, Overrun, StoreId, StoreSettings
from edgesync.domain.window import Window, Windows
from tests.builders import store_ids

EXAMPLE = Path(__file__).parents[3] / "deploy" / "edgesync.yaml"

FULL = """\
cloud: overcloud
clouds_file: /etc/openstack/clouds.yaml
region: RegionOne
hub: central
edge_origin: false
stores:
  dcn0:
    ceph: {conf: /etc/ceph/dcn0.conf, user: edgesync, pool: glance, keyring: /etc/ceph/dcn0.keyring}
    max_concurrent: 3
    max_pool_fill: 0.9
    windows: [mon-fri 22:00-06:00, sat-sun]
    timezone: Europe/Madrid
    overrun: stop
    bandwidth:
      - rate: 200 Mbit/s
      - {rate: 6.25 MB/s, windows: [mon-fri 08:00-18:00, sat]}
  dcn1: {}
uplink: {bandwidth: 1 Gbit/s, timezone: Europe/Lisbon}
limits: {imports: 8, imports_per_store: 1, split_imports: off, max_pool_fill: 72.5%}
policies:
  - name: golden
    match:
      id: 8f1a2b3c-0d4e-4f5a-9b6c-7d8e9f0a1b2c
      name: "rhel-*"
      visibility: public
      owner: 3f2b1c0d9e8f4a5b8c7d6e5f4a3b2c1d
      tags: [golden, tested]
      properties: {os_distro: rhel, os_version: "9.*"}
      hidden: no
      disk_format: raw
      min_size: 1.5 GiB
      max_size: 20 GB
    stores: [dcn0, dcn1]
    allow_failure: false
    priority: -5
    waves: [[dcn1]]
    stop_after_failures: 3
    prune: true
    prune_limit: 2
    repair: report
    engine: rbd
  - {name: rest, match: all, stores: all}
journal: {url: "postgresql+asyncpg://edgesync:hunter2@db/edgesync"}
api:
  listen: "[::]:9000"
  reading: closed
  tokens: /etc/edgesync/tokens
  keystone_operators: admin
  keystone_viewers: [reader, member]
  keystone_projects: [service]
  keystone_cache: 10s
  certificate: /etc/edgesync/api.crt
  key: /etc/edgesync/api.key
  client_ca: /etc/edgesync/clients.crt
  max_connections: 64
  max_rate: 50
glance: {timeout: 1m30s, page_size: 200, staging: /srv/staging}
polling: {active: 500ms, idle: 20, full_pass: 1h}
probes: {every: 30s, deadline: 10s}
breaker: {failures: 5, first: 1s, ceiling: 1m}
stall: {after: 20m}
audit: {every: 30m, grace: 1h, trash_delay: 14d, orphans: report, repair: report}
scrub: {every: off, bandwidth: 100 MB/s}
rbd: {enabled: false, deadline: 10s, max_depth: 0, min_gain: 0.5, memory: 256 MiB}
retry: {first: 1m, ceiling: 1d, attempts: 3, per_store: 10}
upload: {timeout: 10m}
log: {level: debug, format: json}
"""


def load_text(directory: Path, text: str) -> Settings:
    file = directory / "edgesync.yaml"
    file.write_text(text)
    return load(file, {})


def test_every_key(tmp_path: Path) -> None:
    assert load_text(tmp_path, FULL) == Settings(
        cloud="overcloud",
        clouds_file=Path("/etc/openstack/clouds.yaml"),
        region="RegionOne",
        hub=StoreId("central"),
        edge_origin=False,
        stores={
            StoreId("dcn0"): StoreSettings(
                max_concurrent=3,
                ceph=CephSettings(
                    conf="/etc/ceph/dcn0.conf", user="edgesync", pool="glance", keyring="/etc/ceph/dcn0.keyring"
                ),
                max_pool_fill=0.9,
                windows=Windows(
                    windows=(
                        Window(days=frozenset({0, 1, 2, 3, 4}), start=time(22), end=time(6)),
                        Window(days=frozenset({5, 6})),
                    ),
                    zone=ZoneInfo("Europe/Madrid"),
                ),
                overrun=Overrun.STOP,
                # What holds otherwise comes last.
                bandwidth=Bandwidth(
                    rates=(
                        TimedRate(
                            rate=6_250_000,
                            windows=(
                                Window(days=frozenset({0, 1, 2, 3, 4}), start=time(8), end=time(18)),
                                Window(days=frozenset({5})),
                            ),
                        ),
                        TimedRate(rate=25_000_000),
                    ),
                    zone=ZoneInfo("Europe/Madrid"),
                ),
            ),
            StoreId("dcn1"): StoreSettings(max_concurrent=1, max_pool_fill=0.725),
        },
        uplink=Bandwidth(rates=(TimedRate(rate=125_000_000),), zone=ZoneInfo("Europe/Lisbon")),
        limits=LimitSettings(imports=8, imports_per_store=1, split_imports=False, max_pool_fill=0.725),
        policies=(
            Policy(
                name="golden",
                match=Match(
                    ids=frozenset({"8f1a2b3c-0d4e-4f5a-9b6c-7d8e9f0a1b2c"}),
                    name="rhel-*",
                    visibility="public",
                    owner="3f2b1c0d9e8f4a5b8c7d6e5f4a3b2c1d",
                    tags=frozenset({"golden", "tested"}),
                    properties={"os_distro": "rhel", "os_version": "9.*"},
                    hidden=False,
                    disk_formats=frozenset({"raw"}),
                    min_size=1610612736,
                    max_size=20_000_000_000,
                ),
                stores=frozenset({StoreId("dcn0"), StoreId("dcn1")}),
                allow_failure=False,
                priority=-5,
                waves=(store_ids("dcn1"),),
                stop_after_failures=3,
                prune=True,
                prune_limit=2,
                repair=Repair.REPORT,
                engine=EngineChoice.RBD,
            ),
            Policy(name="rest", match=Match(), stores=None),
        ),
        journal=JournalSettings.model_validate(
            {"url": "postgresql+asyncpg://edgesync:hunter2@db/edgesync", "retention": "90d"}
        ),
        api=ApiSettings.model_validate(
            {
                "listen": "[::]:9000",
                "reading": "closed",
                "tokens": "/etc/edgesync/tokens",
                "keystone_operators": ["admin"],
                "keystone_viewers": ["reader", "member"],
                "keystone_projects": ["service"],
                "keystone_cache": 10,
                "certificate": "/etc/edgesync/api.crt",
                "key": "/etc/edgesync/api.key",
                "client_ca": "/etc/edgesync/clients.crt",
                "max_connections": 64,
                "max_rate": 50,
            }
        ),
        glance=GlanceSettings.model_validate({"timeout": 90, "page_size": 200, "staging": "/srv/staging"}),
        polling=PollingSettings.model_validate({"active": "500ms", "idle": 20, "full_pass": 3600}),
        probes=ProbeSettings.model_validate({"every": 30, "deadline": 10}),
        breaker=BreakerSettings.model_validate({"failures": 5, "first": 1, "ceiling": 60}),
        stall=StallSettings.model_validate({"after": 1200}),
        audit=AuditSettings.model_validate(
            {"every": 1800, "grace": 3600, "trash_delay": "14d", "orphans": "report", "repair": "report"}
        ),
        scrub=ScrubSettings.model_validate({"every": "off", "bandwidth": "800 Mbit/s"}),
        rbd=RbdSettings.model_validate(
            {"enabled": False, "deadline": 10, "max_depth": 0, "min_gain": 0.5, "memory": 1 << 28}
        ),
        retry=RetrySettings.model_validate({"first": 60, "ceiling": 86400, "attempts": 3, "per_store": 10}),
        upload=UploadSettings.model_validate({"timeout": 600}),
        log=LogSettings(level="debug", format="json"),
    )


def test_only_the_hub(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "hub: central\n")
    assert settings == Settings(hub=StoreId("central"))
    assert settings.journal.url == "sqlite+aiosqlite:////var/lib/edgesync/journal.db"
    assert (settings.glance.timeout, settings.polling.active, settings.polling.idle) == (30.0, 1.0, 30.0)
    assert (settings.polling.full_pass, settings.retry.first, settings.retry.ceiling) == (900.0, 30.0, 3600.0)
    assert (settings.audit.grace, settings.audit.trash_delay, settings.breaker.ceiling) == (900.0, 604800.0, 300.0)
    assert settings.audit.trashes
    assert (settings.scrub.every, settings.scrub.bandwidth) == (2_592_000.0, 50_000_000.0)
    assert (settings.rbd.deadline, settings.rbd.max_depth) == (30.0, 3)
    assert (settings.rbd.min_gain, settings.rbd.memory) == (0.2, 192 << 20)
    assert settings.uplink.rate_at(datetime.now(UTC)) is None
    assert settings.audit.repair is Repair.FIX


def test_a_store_that_the_file_does_not_name_has_the_limits(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "hub: central\nlimits: {imports_per_store: 5, max_pool_fill: 50%}\n")
    assert settings.store(StoreId("dcn7")) == StoreSettings(max_concurrent=5, max_pool_fill=0.5)
    assert settings.store(StoreId("dcn7")).windows.open_at(datetime.now(UTC))
    assert settings.store(StoreId("dcn7")).bandwidth.rate_at(datetime.now(UTC)) is None


def test_a_store_that_the_file_names_has_its_own(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "hub: central\nstores: {dcn0: {max_pool_fill: 60%}}\n")
    assert settings.store(StoreId("dcn0")) == StoreSettings(max_concurrent=2, max_pool_fill=0.6)


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [("127.0.0.1:9780", "127.0.0.1", 9780), ("[::1]:1", "::1", 1), ("localhost:65535", "localhost", 65535)],
)
def test_address_and_port(tmp_path: Path, listen: str, host: str, port: int) -> None:
    api = load_text(tmp_path, f"hub: central\napi: {{listen: '{listen}'}}\n").api
    assert (api.host, api.port) == (host, port)


@pytest.mark.parametrize(
    ("api", "url"),
    [
        ("listen: '127.0.0.1:9780'", "http://127.0.0.1:9780"),
        ("listen: '[::1]:1'", "http://[::1]:1"),
        ("listen: '0.0.0.0:1', certificate: /c, key: /k", "https://127.0.0.1:1"),
        ("listen: '[::]:1', certificate: /c, key: /k", "https://[::1]:1"),
        ("listen: 'edgesync.example.org:1', certificate: /c, key: /k", "https://edgesync.example.org:1"),
    ],
)
def test_commands_on_this_host_reach_the_daemon_wherever_it_listens(tmp_path: Path, api: str, url: str) -> None:
    file = tmp_path / "edgesync.yaml"
    # Whatever else is wrong in the file.
    file.write_text(f"hub: 7\napi: {{{api}}}\njournal: {{url: 'sqlite+aiosqlite:////srv/edgesync/journal.db'}}\n")
    found = reach(file, {})
    assert (found.url, found.token) == (url, Path("/srv/edgesync/local-token"))
    assert (found.certificate is not None) == url.startswith("https")


def test_a_journal_on_a_server_leaves_the_local_credential_in_the_usual_place(tmp_path: Path) -> None:
    assert load_text(tmp_path, FULL).local_token == Path("/var/lib/edgesync/local-token")
    assert load_text(tmp_path, "hub: central\n").local_token == Path("/var/lib/edgesync/local-token")


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "\ufeffhub: central\n")
    assert settings.hub == "central"
    assert settings.where("hub") == f"{tmp_path}/edgesync.yaml:1:1"


def test_the_example_loads() -> None:
    settings = load(EXAMPLE, {})
    assert [policy.name for policy in settings.policies] == ["golden"]
    assert settings.policies[0].lag_objective == timedelta(hours=4)


def test_a_lag_objective_is_shown_as_it_is_written(tmp_path: Path) -> None:
    policy = "{name: golden, match: all, stores: all, lag_objective: 1h30m}"
    settings = load_text(tmp_path, f"hub: central\npolicies: [{policy}]\n")
    assert settings.policies[0].lag_objective == timedelta(minutes=90)
    assert show(settings)["policies"][0]["lag_objective"] == "1h30m"
    without = load_text(tmp_path, "hub: central\npolicies: [{name: golden, match: all, stores: all}]\n")
    assert without.policies[0].lag_objective is None
    assert "lag_objective" not in show(without)["policies"][0]


def test_the_example_names_every_setting_and_its_default() -> None:
    """With its comment signs taken away from the commented settings, the example is a complete configuration."""
    lines = EXAMPLE.read_text().splitlines()
    settings_begin = lines.index("cloud: overcloud")
    sections = ("glance", "polling", "probes", "breaker", "stall", "audit", "scrub", "rbd", "retry", "upload", "log")
    start = {f"{key}:" for key in ("clouds_file", "region", "uplink", *sections)}
    uncommented: list[str] = []
    inside = False
    for line in lines[settings_begin:]:
        inside = (inside and line.startswith("#   ")) or line.removeprefix("# ").partition(" ")[0] in start
        uncommented.append(line.removeprefix("# ") if inside and line.startswith("# ") else line)
    written = yaml.safe_load("\n".join(uncommented))
    defaults = show(Settings(hub=StoreId("central")))
    # The one setting in a section that has no default.
    assert written["glance"].pop("staging") == "/var/lib/glance/staging"
    for section in ("edge_origin", "limits", "journal", "api", *sections):
        assert written[section] == defaults[section]
    without_default = {"cloud", "clouds_file", "region", "hub", "stores", "uplink", "policies"}
    assert without_default | defaults.keys() == written.keys()
    assert UplinkEntry.model_fields.keys() == written["uplink"].keys()


@pytest.mark.parametrize("entry", [ApiSettings, StoreEntry, CephEntry, RateEntry, PolicyEntry, MatchEntry])
def test_the_example_names_every_key_of_an_entry(entry: type[Section]) -> None:
    named = set(re.findall(r"^[ #-]*(\w+):", EXAMPLE.read_text(), flags=re.MULTILINE))
    assert entry.model_fields.keys() - named == set()


def test_the_commented_examples_load(tmp_path: Path) -> None:
    keys = ("ceph", "windows", "timezone", "overrun", "bandwidth", "waves", "repair")
    text = re.sub(rf"^(    )# ({'|'.join(keys)}):", r"\1\2:", EXAMPLE.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^(    )# (  (conf|user|pool|keyring):|  - rate:|    windows:)", r"\1\2", text, flags=re.MULTILINE)
    text = re.sub(r"^# (uplink:|  bandwidth: 1 Gbit|  timezone:)", r"\1", text, flags=re.MULTILINE)
    settings = load_text(tmp_path, text)
    dcn0 = settings.store(StoreId("dcn0"))
    assert dcn0.ceph == CephSettings(
        conf="/etc/ceph/dcn0.conf", user="edgesync", keyring="/etc/ceph/dcn0.client.edgesync.keyring"
    )
    assert (str(dcn0.windows.zone), len(dcn0.windows.windows), dcn0.overrun) == ("Europe/Madrid", 2, Overrun.STOP)
    assert settings.policies[0].waves == (store_ids("dcn0"), store_ids("dcn1", "dcn2"))
    assert settings.policies[0].repair is Repair.REPORT
    assert [(entry.rate, len(entry.windows)) for entry in dcn0.bandwidth.rates] == [(6_250_000, 1), (25_000_000, 0)]
    assert settings.uplink == Bandwidth(rates=(TimedRate(rate=125_000_000),), zone=ZoneInfo("Europe/Madrid"))


def test_where(tmp_path: Path) -> None:
    settings = load_text(tmp_path, FULL)
    file = tmp_path / "edgesync.yaml"
    assert settings.where("hub") == f"{file}:4:1"
    assert settings.where("stores", "dcn1") == f"{file}:17:3"
    assert settings.where("policies", 0, "stores") == f"{file}:33:5"
    assert settings.where("policies", 0, "stores", 1) == f"{file}:33:20"


def test_where_falls_back_to_what_contains_it(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "# ours\nhub: central\nlog: {level: info}\n")
    assert settings.where("log", "format") == f"{tmp_path}/edgesync.yaml:3:1"
    assert settings.where("retry", "first") == f"{tmp_path}/edgesync.yaml:2:1"
    assert Settings(hub=StoreId("central")).where("hub") == "defaults"


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "hub: central\n")
    with pytest.raises(FrozenInstanceError):
        settings.hub = StoreId("dcn0")  # type: ignore[misc]  # that is what the test is about


def test_shows_no_password(tmp_path: Path) -> None:
    settings = load_text(tmp_path, FULL)
    assert show(settings)["journal"] == {
        "url": "postgresql+asyncpg://edgesync:***@db/edgesync",
        "retention": "90d",
    }
    assert "hunter2" not in settings.to_yaml() + repr(settings)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql+asyncpg://u:a%40b@h:5432/d", "postgresql+asyncpg://u:***@h:5432/d"),
        ("postgresql+asyncpg:///d?host=/run/pg&password=hunter2", "postgresql+asyncpg:///d?host=/run/pg&password=***"),
        ("sqlite+aiosqlite:////var/lib/a:b@c.db", "sqlite+aiosqlite:////var/lib/a:b@c.db"),
    ],
)
def test_masks_only_the_password(tmp_path: Path, url: str, shown: str) -> None:
    settings = load_text(tmp_path, f"hub: central\njournal: {{url: '{url}'}}\n")
    assert settings.journal.url == url
    assert show(settings)["journal"]["url"] == shown


def test_shows_settings_in_the_order_of_the_documentation(tmp_path: Path) -> None:
    shown = load_text(tmp_path, FULL).to_yaml()
    assert shown.startswith(
        "cloud: overcloud\nclouds_file: /etc/openstack/clouds.yaml\nregion: RegionOne\nhub: central\n"
        "edge_origin: false\nstores:\n"
    )
    assert "    min_size: 1536 MiB\n    max_size: 20 GB\n" in shown
    assert "polling:\n  active: 500ms\n  idle: 20s\n  full_pass: 1h\n" in shown
    assert "- name: rest\n  match: all\n  stores: all\n  allow_failure: true\n  priority: 0\n" in shown
    assert "    max_pool_fill: 90%\n    windows:\n    - mon-fri 22:00-06:00\n    - sat-sun\n" in shown
    assert "    timezone: Europe/Madrid\n    overrun: stop\n" in shown
    assert (
        "    bandwidth:\n    - rate: 50 Mbit/s\n      windows:\n      - mon-fri 08:00-18:00\n      - sat\n"
        "    - rate: 25 MB/s\n"
    ) in shown
    assert "uplink:\n  bandwidth: 1 Gbit/s\n  timezone: Europe/Lisbon\nlimits:\n" in shown
    assert "scrub:\n  every: 'off'\n  bandwidth: 100 MB/s\n" in shown
    assert "rbd:\n  enabled: false\n  deadline: 10s\n  max_depth: 0\n  min_gain: 50%\n  memory: 256 MiB\n" in shown
    assert "  repair: report\n  engine: rbd\n" in shown
    assert "audit:\n  every: 30m\n  grace: 1h\n  trash_delay: 14d\n  orphans: report\n  repair: report\n" in shown


@pytest.mark.parametrize(
    ("stores", "waves", "shown"),
    [
        ("all", "[[dcn1, dcn0], rest]", [["dcn0", "dcn1"], "rest"]),
        # What is named in none is the last wave, said or not.
        ("all", "[[dcn0]]", [["dcn0"], "rest"]),
        ("[dcn0, dcn1, dcn2]", "[[dcn0], [dcn1]]", [["dcn0"], ["dcn1"], "rest"]),
        # Nothing is left for it; the hub has its copy before the first wave.
        ("[central, dcn0, dcn1]", "[[dcn0], [dcn1], rest]", [["dcn0"], ["dcn1"]]),
    ],
)
def test_shows_what_the_rest_of_the_stores_wait_for(
    tmp_path: Path, stores: str, waves: str, shown: list[object]
) -> None:
    policy = f"{{name: golden, match: all, stores: {stores}, waves: {waves}}}"
    assert show(load_text(tmp_path, f"hub: central\npolicies: [{policy}]\n"))["policies"][0]["waves"] == shown
