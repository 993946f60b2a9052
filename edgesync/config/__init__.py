"""One YAML file, the environment and command-line flags, turned into one frozen `Settings`.

Belongs here: reading and checking the configuration, and the words in which a mistake is explained, each with its
place. `document` reads YAML, `overrides` lays the environment and flags over it, `file` and the modules it imports say
what is allowed, `complaints` puts their findings into sentences, `agreements` compares what the schema sees apart,
`settings` is the result, `reloading` compares two of them.

Forbidden here: asking Glance, Keystone, the journal or the clock anything; logging; settings that nothing reads.
What only the cloud can tell (is `hub` a store?) is checked by the daemon, which gets the place from `Settings.where`.
"""

from edgesync.config.api import ApiSettings
from edgesync.config.loading import DEFAULT_PATH, Reach, load, reach
from edgesync.config.reloading import needs_restart
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
from edgesync.config.settings import Settings, show

__all__ = [
    "DEFAULT_PATH",
    "ApiSettings",
    "AuditSettings",
    "BreakerSettings",
    "GlanceSettings",
    "JournalSettings",
    "LimitSettings",
    "LogSettings",
    "PollingSettings",
    "ProbeSettings",
    "RbdSettings",
    "Reach",
    "RetrySettings",
    "ScrubSettings",
    "Settings",
    "StallSettings",
    "UploadSettings",
    "load",
    "needs_restart",
    "reach",
    "show",
]
