"""The sections of the configuration that become part of `Settings` as they are: every key, its form, its default.

Nothing here knows files or places. Dumped as JSON, a section is what people would write.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgesync.config.addresses import JournalUrl
from edgesync.config.expectations import absolute, counting, member_of, one_of
from edgesync.config.quantities import (
    BoundedSize,
    Rate,
    Seconds,
    SecondsOrOff,
    Share,
    lasting,
    not_below_first,
    off_or_lasting,
    sized,
)
from edgesync.config.section import Section
from edgesync.domain.policy import Repair


class LimitSettings(Section):
    # Imports running at the same time, over all stores.
    imports: Annotated[int, counting(1, 256)] = 4
    # The same for one store, unless `stores` says otherwise.
    imports_per_store: Annotated[int, counting(1, 64)] = 2
    # Jobs that allow failure are sent to Glance as one import per store, so that a slow store holds up no other.
    split_imports: bool = True
    # No copy is started that would fill a pool beyond this share of it, unless `stores` says otherwise.
    max_pool_fill: Share = 0.85


class JournalSettings(Section):
    # Not in the repr: it may contain a password.
    url: JournalUrl = Field(default="sqlite+aiosqlite:////var/lib/edgesync/journal.db", repr=False)
    # Seconds after which ended jobs and their history are forgotten.
    retention: Annotated[Seconds, lasting("1h", "3650d")] = Field(default="90d", validate_default=True)


class GlanceSettings(Section):
    # Seconds that one request may take.
    timeout: Annotated[Seconds, lasting("1s", "10m")] = 30.0
    page_size: Annotated[int, counting(1, 1000)] = 1000
    # Where glance-api on this host stages data; None: there is none here.
    staging: Annotated[str, absolute("/var/lib/glance/staging")] | None = None


class PollingSettings(Section):
    # Seconds between two looks while copies run, while none runs, and between complete listings.
    active: Annotated[Seconds, lasting("100ms", "5m")] = 1.0
    idle: Annotated[Seconds, lasting("100ms", "1h")] = 30.0
    full_pass: Annotated[Seconds, lasting("1s", "1d")] = 900.0


class ProbeSettings(Section):
    # Seconds between two probes of a store whose Ceph is configured, and those that a probe may take.
    every: Annotated[Seconds, lasting("1s", "1h")] = 10.0
    deadline: Annotated[Seconds, lasting("100ms", "5m")] = 5.0


class BreakerSettings(Section):
    # Only where no Ceph is configured: so many bad outcomes in a row count as a store that is down.
    failures: Annotated[int, counting(1, 100)] = 3
    # Seconds until a store that is down is tried again; doubled after each trial in vain, up to `ceiling`.
    first: Annotated[Seconds, lasting("100ms", "1d")] = 10.0
    ceiling: Annotated[Seconds, lasting("100ms", "1d"), not_below_first("breaker")] = Field(
        default="5m", validate_default=True
    )


class StallSettings(Section):
    # Seconds without progress after which a copy counts as stalled.
    after: Annotated[Seconds, lasting("1s", "7d")] = 600.0


class AuditSettings(Section):
    # Seconds between two comparisons of what Glance says with what lies in a store's pool.
    every: Annotated[Seconds, lasting("1s", "30d")] = 3600.0
    # Seconds: nothing younger is taken for an orphan. Not less than Glance may need from the data to the location.
    grace: Annotated[Seconds, lasting("10s", "30d")] = 900.0
    # Seconds for which what was moved to the trash can be restored.
    trash_delay: Annotated[Seconds, lasting("1h", "365d")] = Field(default="7d", validate_default=True)
    orphans: Annotated[str, one_of(("trash", "report"))] = "trash"
    # For broken copies, unless a policy says otherwise.
    repair: Annotated[Repair, member_of(Repair)] = Repair.FIX

    @property
    def trashes(self) -> bool:
        """True: orphans go to RBD's trash; False: they are only reported."""
        return self.orphans == "trash"


class ScrubSettings(Section):
    # Seconds within which each copy's data is compared once; None: never.
    every: Annotated[SecondsOrOff, off_or_lasting("1h", "365d")] = Field(default="30d", validate_default=True)
    # Bytes per second that this may read, at each site.
    bandwidth: Rate = Field(default="50 MB/s", validate_default=True)


class RbdSettings(Section):
    # False: Glance makes all copies.
    enabled: bool = True
    # Seconds that one call to a cluster may take while blocks are moved.
    deadline: Annotated[Seconds, lasting("1s", "10m")] = 30.0
    # A copy is layered on another only while the chain is no longer than this; 0: never.
    max_depth: Annotated[int, counting(0, 16)] = 3
    # A copy is layered only where that saves such a share of the bytes.
    min_gain: Share = 0.2
    # Bytes of image data that are held at the same time, over all copies.
    memory: Annotated[BoundedSize, sized("32 MiB", "64 GiB")] = Field(default="192 MiB", validate_default=True)


class RetrySettings(Section):
    # Seconds; the delay doubles from `first` up to `ceiling`.
    first: Annotated[Seconds, lasting("100ms", "1d")] = 30.0
    ceiling: Annotated[Seconds, lasting("100ms", "7d"), not_below_first("retry")] = Field(
        default="1h", validate_default=True
    )
    # After so many failures the ceiling applies at once.
    attempts: Annotated[int, counting(1, 1000)] = 10
    # Retries per store and hour at most, over all images.
    per_store: Annotated[int, counting(1, 10_000)] = 60


class UploadSettings(Section):
    # Seconds for which a job of `import --file` waits for its data.
    timeout: Annotated[Seconds, lasting("1s", "7d")] = 3600.0


class LogSettings(Section):
    level: Annotated[str, one_of(("debug", "info", "warning", "error"))] = "info"
    # `auto`: console on a terminal, JSON elsewhere.
    format: Annotated[str, one_of(("auto", "json", "console"))] = "auto"
