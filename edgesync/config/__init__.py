"""One YAML file, the environment and command-line flags, turned into one frozen `Settings`.

Belongs here: reading and checking the configuration, and the words in which a mistake is explained, each with its
place. `document` reads YAML, `overrides` lays the environment and flags over it, `schema` says what is allowed,
`complaints` puts its findings into sentences, `settings` is the result.

Forbidden here: asking Glance, Keystone, the journal or the clock anything; logging; settings that nothing reads.
What only the cloud can tell (is `hub` a store?) is checked by the daemon, which gets the place from `Settings.where`.
"""

from edgesync.config.loading import DEFAULT_PATH, load
from edgesync.config.schema import (
    ApiSettings,
    GlanceSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    PollingSettings,
    RetrySettings,
)
from edgesync.config.settings import Settings, show

__all__ = [
    "DEFAULT_PATH",
    "ApiSettings",
    "GlanceSettings",
    "JournalSettings",
    "LimitSettings",
    "LogSettings",
    "PollingSettings",
    "RetrySettings",
    "Settings",
    "load",
    "show",
]
