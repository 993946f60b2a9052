"""What a running daemon can take over from a changed configuration, and what it must be started anew for.

Connections, the journal and the listening socket are made once, and everything remembered is about one hub. A setting
that is not named here as taken over counts as one that needs a restart, so that a new one is never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgesync.config.places import KeyPath
from edgesync.config.section import Section
from edgesync.config.settings import Settings
from edgesync.config.wording import spell

# Read again in every round; `glance.staging` by `doctor` only, which reads the file itself.
_TAKEN_OVER: frozenset[KeyPath] = frozenset(
    {
        ("edge_origin",),
        ("uplink",),
        ("limits",),
        ("policies",),
        ("journal", "retention"),
        ("glance", "staging"),
        ("polling",),
        # The deadline is the Ceph connections' own, too.
        ("probes", "every"),
        ("breaker",),
        ("stall",),
        ("audit",),
        ("scrub",),
        # The deadline is the Ceph connections' own, and the memory is handed out once.
        ("rbd", "enabled"),
        ("rbd", "max_depth"),
        ("rbd", "min_gain"),
        ("retry",),
    }
)


def needs_restart(before: Settings, after: Settings) -> list[str]:
    """The keys whose change has no effect without a restart, each as `PLACE: KEY`; empty when there is none."""
    old, new = dict(_settings(before)), dict(_settings(after))
    # Stores may come and go: what isn't there is like one without `ceph`.
    changed = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    return [f"{after.where(*path)}: {spell(path)}" for path in changed if not _TAKEN_OVER & {path[:1], path[:2]}]


def _settings(settings: Settings) -> Iterator[tuple[KeyPath, object]]:
    """Everything that could matter, with its path: sections key by key, and how stores' clusters are reached."""
    for name in Settings.__dataclass_fields__:
        value = getattr(settings, name)
        if isinstance(value, Section):
            yield from (((name, key), entry) for key, entry in value)
        elif name == "stores":
            yield from ((("stores", store, "ceph"), entry.ceph) for store, entry in settings.stores.items())
        elif name != "places":
            yield (name,), value
