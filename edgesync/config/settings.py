"""The result: one frozen object with everything that was configured, and the way back to YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgesync.config.masking import mask_password
from edgesync.config.places import Places, known_part
from edgesync.config.schema import (
    ApiSettings,
    File,
    GlanceSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    PollingSettings,
    RetrySettings,
)
from edgesync.config.units import format_duration, format_size
from edgesync.domain.policy import ALL, Match, Policy
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
    # Only the stores that the file names; for others `limits` speaks.
    stores: Mapping[StoreId, StoreSettings] = field(default_factory=dict)
    limits: LimitSettings = field(default_factory=LimitSettings)
    # In the order of the file.
    policies: tuple[Policy, ...] = ()
    journal: JournalSettings = field(default_factory=JournalSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    glance: GlanceSettings = field(default_factory=GlanceSettings)
    polling: PollingSettings = field(default_factory=PollingSettings)
    retry: RetrySettings = field(default_factory=RetrySettings)
    log: LogSettings = field(default_factory=LogSettings)
    # For `where`; equal settings may come from different files.
    places: Places = field(default_factory=dict, compare=False, repr=False)

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
        stores=file.store_settings(),
        limits=file.limits,
        policies=tuple(policy.to_domain() for policy in file.policies),
        journal=file.journal,
        api=file.api,
        glance=file.glance,
        polling=file.polling,
        retry=file.retry,
        log=file.log,
        places=places,
    )


def show(settings: Settings) -> dict[str, Any]:
    """The effective settings in the form and order of the file, defaults filled in, passwords masked."""
    glance, polling, retry = settings.glance, settings.polling, settings.retry
    shown = {
        "cloud": settings.cloud,
        "clouds_file": str(settings.clouds_file) if settings.clouds_file else None,
        "region": settings.region,
        "hub": str(settings.hub),
        "stores": {str(name): {"max_concurrent": store.max_concurrent} for name, store in settings.stores.items()},
        "limits": settings.limits.model_dump(),
        "policies": [_show_policy(policy) for policy in settings.policies],
        "journal": {
            "url": mask_password(settings.journal.url),
            "retention": format_duration(settings.journal.retention),
        },
        "api": settings.api.model_dump(),
        "glance": {"timeout": format_duration(glance.timeout), "page_size": glance.page_size},
        "polling": {name: format_duration(seconds) for name, seconds in polling.model_dump().items()},
        "retry": {
            "first": format_duration(retry.first),
            "ceiling": format_duration(retry.ceiling),
            "attempts": retry.attempts,
        },
        "log": settings.log.model_dump(),
    }
    return _without_none(shown)


def _show_policy(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "match": _show_match(policy.match) or ALL,
        "stores": ALL if policy.stores is None else sorted(policy.stores),
        "allow_failure": policy.allow_failure,
        "priority": policy.priority,
    }


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
