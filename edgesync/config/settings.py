"""The result: one frozen object with everything that was configured, and the way back to YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgesync.config.file import File
from edgesync.config.places import Places, known_part
from edgesync.config.policy_entry import REST
from edgesync.config.schema import (
    ApiSettings,
    AuditSettings,
    BreakerSettings,
    GlanceSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    PollingSettings,
    ProbeSettings,
    RetrySettings,
    Section,
    StallSettings,
    UploadSettings,
)
from edgesync.config.units import format_share, format_size
from edgesync.config.windows import format_window
from edgesync.domain.policy import ALL, Match, Policy
from edgesync.domain.store import CephSettings, StoreId, StoreSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that can be configured, with defaults filled in. Durations are seconds."""

    # The central site's store.
    hub: StoreId
    # An entry of clouds.yaml; None: OS_* variables.
    cloud: str | None = None
    # None: where OpenStack clients look.
    clouds_file: Path | None = None
    region: str | None = None
    # Images found only at an edge are copied to the hub, then out.
    edge_origin: bool = True
    # Only the stores that the file names; `store` speaks for all.
    stores: Mapping[StoreId, StoreSettings] = field(default_factory=dict)
    limits: LimitSettings = field(default_factory=LimitSettings)
    # In the order of the file.
    policies: tuple[Policy, ...] = ()
    journal: JournalSettings = field(default_factory=JournalSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    glance: GlanceSettings = field(default_factory=GlanceSettings)
    polling: PollingSettings = field(default_factory=PollingSettings)
    probes: ProbeSettings = field(default_factory=ProbeSettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    stall: StallSettings = field(default_factory=StallSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    retry: RetrySettings = field(default_factory=RetrySettings)
    upload: UploadSettings = field(default_factory=UploadSettings)
    log: LogSettings = field(default_factory=LogSettings)
    # For `where`; equal settings may come from different files.
    places: Places = field(default_factory=dict, compare=False, repr=False)

    def store(self, store: StoreId) -> StoreSettings:
        """What holds for a store, whether the file names it or not."""
        return self.stores.get(store) or self.default_store

    @property
    def default_store(self) -> StoreSettings:
        """What holds for every store that the file does not name."""
        return StoreSettings(max_concurrent=self.limits.imports_per_store, max_pool_fill=self.limits.max_pool_fill)

    def where(self, *path: str | int) -> str:
        """Where a setting, or what contains it, was written: `where("hub")`, `where("policies", 0, "stores")`."""
        return str(self.places.get(known_part(path, self.places), "defaults"))

    def to_yaml(self) -> str:
        """The effective settings as a configuration file. Passwords are masked."""
        return yaml.safe_dump(show(self), sort_keys=False, allow_unicode=True, width=120)


def settings_of(file: File, places: Places) -> Settings:
    """Turn what the schema accepted into what the rest of edgesync sees."""
    return Settings(
        hub=StoreId(file.hub),
        cloud=file.cloud,
        clouds_file=Path(file.clouds_file) if file.clouds_file else None,
        region=file.region,
        edge_origin=file.edge_origin,
        stores={StoreId(name): entry.to_domain(file.limits) for name, entry in file.stores.items()},
        limits=file.limits,
        policies=tuple(policy.to_domain() for policy in file.policies),
        journal=file.journal,
        api=file.api,
        glance=file.glance,
        polling=file.polling,
        probes=file.probes,
        breaker=file.breaker,
        stall=file.stall,
        audit=file.audit,
        retry=file.retry,
        upload=file.upload,
        log=file.log,
        places=places,
    )


def show(settings: Settings) -> dict[str, Any]:
    """The effective settings as plain data, in the order of the documentation, passwords masked."""
    shown: dict[str, Any] = {
        "cloud": settings.cloud,
        "clouds_file": str(settings.clouds_file) if settings.clouds_file else None,
        "region": settings.region,
        "hub": str(settings.hub),
        "edge_origin": settings.edge_origin,
        "stores": {str(name): _show_store(store) for name, store in settings.stores.items()},
        "limits": _show_section(settings.limits),
        "policies": [_show_policy(policy, settings.hub) for policy in settings.policies],
    }
    values = {name: getattr(settings, name) for name in Settings.__dataclass_fields__ if name not in shown}
    sections = {name: _show_section(value) for name, value in values.items() if isinstance(value, Section)}
    return _without_none(shown) | sections


def _show_section(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_none=True)


def _show_store(store: StoreSettings) -> dict[str, Any]:
    return _without_none(
        {
            "ceph": _show_ceph(store.ceph) if store.ceph else None,
            "max_concurrent": store.max_concurrent,
            "max_pool_fill": format_share(store.max_pool_fill),
            "windows": [format_window(window) for window in store.windows.windows] or None,
            "timezone": str(store.windows.zone),
            "overrun": str(store.overrun),
        }
    )


def _show_ceph(ceph: CephSettings) -> dict[str, Any]:
    return _without_none({"conf": ceph.conf, "user": ceph.user, "pool": ceph.pool, "keyring": ceph.keyring})


def _show_policy(policy: Policy, hub: StoreId) -> dict[str, Any]:
    return _without_none(
        {
            "name": policy.name,
            "match": _show_match(policy.match) or ALL,
            "stores": ALL if policy.stores is None else sorted(policy.stores),
            "allow_failure": policy.allow_failure,
            "priority": policy.priority,
            "waves": _show_waves(policy, hub) or None,
            "stop_after_failures": policy.stop_after_failures,
            "prune": policy.prune,
            "prune_limit": policy.prune_limit,
            "repair": str(policy.repair) if policy.repair else None,
        }
    )


def _show_waves(policy: Policy, hub: StoreId) -> list[list[StoreId] | str]:
    """With `rest` where it stands for something, whether it was written or not."""
    named = frozenset({hub}).union(*policy.waves)
    complete = not policy.waves or (policy.stores is not None and policy.stores <= named)
    return [*(sorted(wave) for wave in policy.waves), *([] if complete else [REST])]


def _show_match(match: Match) -> dict[str, Any]:
    return _without_none(
        {
            "id": sorted(match.ids) or None,
            "name": match.name,
            "visibility": match.visibility,
            "owner": match.owner,
            "tags": sorted(match.tags) or None,
            "properties": dict(sorted(match.properties.items())) or None,
            "hidden": match.hidden,
            "disk_format": sorted(match.disk_formats) or None,
            "min_size": None if match.min_size is None else format_size(match.min_size),
            "max_size": None if match.max_size is None else format_size(match.max_size),
        }
    )


def _without_none(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}
