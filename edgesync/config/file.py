"""What a whole configuration may say. Nothing here knows files or places.

The sections become part of `Settings` as they are; stores and policies are converted into the domain's records.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgesync.config.api import ApiSettings
from edgesync.config.bandwidth_entry import UplinkEntry
from edgesync.config.expectations import StoreName, Text, absolute
from edgesync.config.policy_entry import PolicyEntry
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
from edgesync.config.store_entry import StoreEntry


class File(Section):
    """The top level."""

    cloud: Text | None = None
    clouds_file: Annotated[str, absolute("/etc/openstack/clouds.yaml")] | None = None
    region: Text | None = None
    hub: StoreName = Field(description="the id of the central site's store, like `hub: central`")
    edge_origin: bool = True
    stores: dict[StoreName, StoreEntry] = Field(default_factory=dict)
    uplink: UplinkEntry = UplinkEntry()
    limits: LimitSettings = LimitSettings()
    policies: list[PolicyEntry] = Field(default_factory=list)
    journal: JournalSettings = JournalSettings()
    api: ApiSettings = ApiSettings()
    glance: GlanceSettings = GlanceSettings()
    polling: PollingSettings = PollingSettings()
    probes: ProbeSettings = ProbeSettings()
    breaker: BreakerSettings = BreakerSettings()
    stall: StallSettings = StallSettings()
    audit: AuditSettings = AuditSettings()
    scrub: ScrubSettings = ScrubSettings()
    rbd: RbdSettings = RbdSettings()
    retry: RetrySettings = RetrySettings()
    upload: UploadSettings = UploadSettings()
    log: LogSettings = LogSettings()
