"""The result: one frozen object with everything that was configured, and the way back to YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgesync.config.api import LOCAL_TOKEN, ApiSettings, state_folder
from edgesync.config.file import File
from edgesync.config.places import Places, known_part
from edgesync.config.schema import (
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
    StallSettings,
    UploadSettings,
)
from edgesync.config.section import Section
from edgesync.config.showing import show_policy, show_store, show_uplink, without_none
from edgesync.domain.bandwidth import Bandwidth
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId, StoreSettings


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
    # Of the hub's line, which all sites share.
    uplink: Bandwidth = field(default_factory=Bandwidth)
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
    scrub: ScrubSettings = field(default_factory=ScrubSettings)
    rbd: RbdSettings = field(default_factory=RbdSettings)
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

    @property
    def local_token(self) -> Path:
        """The file with the credential of the commands on this host."""
        return state_folder(self.journal.url) / LOCAL_TOKEN

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
        uplink=file.uplink.to_domain(),
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
        scrub=file.scrub,
        rbd=file.rbd,
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
        "stores": {str(name): show_store(store) for name, store in settings.stores.items()},
        "uplink": show_uplink(settings.uplink),
        "limits": _show_section(settings.limits),
        "policies": [show_policy(policy, settings.hub) for policy in settings.policies],
    }
    values = {name: getattr(settings, name) for name in Settings.__dataclass_fields__ if name not in shown}
    sections = {name: _show_section(value) for name, value in values.items() if isinstance(value, Section)}
    return without_none(shown) | sections


def _show_section(section: Section) -> dict[str, Any]:
    # Not `exclude_none`: what is off is None, and shown all the same.
    return without_none(section.model_dump(mode="json"))
