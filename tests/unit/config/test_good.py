"""Good configurations, and the settings they give."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import yaml

from edgesync.config import (
    ApiSettings,
    GlanceSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    PollingSettings,
    RetrySettings,
    Settings,
    load,
    show,
)
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId, StoreSettings

EXAMPLE = Path(__file__).parents[3] / "deploy" / "edgesync.yaml"

FULL = """\
cloud: overcloud
clouds_file: /etc/openstack/clouds.yaml
region: RegionOne
hub: central
stores:
  dcn0: {max_concurrent: 3}
  dcn1: {}
limits: {imports: 8, imports_per_store: 1}
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
  - {name: rest, match: all, stores: all}
journal: {url: "postgresql+asyncpg://edgesync:hunter2@db/edgesync"}
api: {listen: "[::1]:9000"}
glance: {timeout: 1m30s, page_size: 200}
polling: {active: 500ms, idle: 20, full_pass: 1h}
retry: {first: 1m, ceiling: 1d, attempts: 3}
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
        stores={StoreId("dcn0"): StoreSettings(max_concurrent=3), StoreId("dcn1"): StoreSettings(max_concurrent=1)},
        limits=LimitSettings(imports=8, imports_per_store=1),
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
            ),
            Policy(name="rest", match=Match(), stores=None),
        ),
        journal=JournalSettings.model_validate(
            {"url": "postgresql+asyncpg://edgesync:hunter2@db/edgesync", "retention": "90d"}
        ),
        api=ApiSettings(listen="[::1]:9000"),
        glance=GlanceSettings.model_validate({"timeout": 90, "page_size": 200}),
        polling=PollingSettings.model_validate({"active": "500ms", "idle": 20, "full_pass": 3600}),
        retry=RetrySettings.model_validate({"first": 60, "ceiling": 86400, "attempts": 3}),
        log=LogSettings(level="debug", format="json"),
    )


def test_only_the_hub(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "hub: central\n")
    assert settings == Settings(hub=StoreId("central"))
    assert settings.journal.url == "sqlite+aiosqlite:////var/lib/edgesync/journal.db"
    assert (settings.glance.timeout, settings.polling.active, settings.polling.idle) == (30.0, 1.0, 30.0)
    assert (settings.polling.full_pass, settings.retry.first, settings.retry.ceiling) == (900.0, 30.0, 3600.0)


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [("127.0.0.1:9780", "127.0.0.1", 9780), ("[::1]:1", "::1", 1), ("localhost:65535", "localhost", 65535)],
)
def test_address_and_port(tmp_path: Path, listen: str, host: str, port: int) -> None:
    api = load_text(tmp_path, f"hub: central\napi: {{listen: '{listen}'}}\n").api
    assert (api.host, api.port) == (host, port)


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "\ufeffhub: central\n")
    assert settings.hub == "central"
    assert settings.where("hub") == f"{tmp_path}/edgesync.yaml:1:1"


def test_the_example_loads() -> None:
    settings = load(EXAMPLE, {})
    assert [policy.name for policy in settings.policies] == ["golden"]


def test_the_example_names_every_setting_and_its_default() -> None:
    """With its comment signs taken away from the commented settings, the example is a complete configuration."""
    lines = EXAMPLE.read_text().splitlines()
    settings_begin = lines.index("cloud: overcloud")
    start = {"clouds_file:", "region:", "glance:", "polling:", "retry:", "log:"}
    uncommented: list[str] = []
    inside = False
    for line in lines[settings_begin:]:
        inside = (inside and line.startswith("#   ")) or line.removeprefix("# ").partition(" ")[0] in start
        uncommented.append(line.removeprefix("# ") if inside and line.startswith("# ") else line)
    written = yaml.safe_load("\n".join(uncommented))
    defaults = show(Settings(hub=StoreId("central")))
    for section in ("limits", "journal", "api", "glance", "polling", "retry", "log"):
        assert written[section] == defaults[section]
    assert {"cloud", "clouds_file", "region", "hub", "stores", "policies"} | defaults.keys() == written.keys()


def test_where(tmp_path: Path) -> None:
    settings = load_text(tmp_path, FULL)
    file = tmp_path / "edgesync.yaml"
    assert settings.where("hub") == f"{file}:4:1"
    assert settings.where("stores", "dcn1") == f"{file}:7:3"
    assert settings.where("policies", 0, "stores") == f"{file}:22:5"
    assert settings.where("policies", 0, "stores", 1) == f"{file}:22:20"


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
    )
    assert "    min_size: 1536 MiB\n    max_size: 20 GB\n" in shown
    assert "polling:\n  active: 500ms\n  idle: 20s\n  full_pass: 1h\n" in shown
    assert "- name: rest\n  match: all\n  stores: all\n  allow_failure: true\n  priority: 0\n" in shown
