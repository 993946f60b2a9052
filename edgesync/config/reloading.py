"""What a running daemon can take over from a changed configuration, and what it must be started anew for.

Connections, the journal and the listening socket are made once; so is what is told apart by the hub. A setting that is
not named here as taken over counts as one that needs a restart, so that a new one is never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgesync.config.places import KeyPath
from edgesync.config.schema import Section
from edgesync.config.settings import Settings
from edgesync.config.wording import spell

# Read again in every round; `glance.staging` by `doctor` only, which reads the file itself.
_TAKEN_OVER: frozenset[KeyPath] = frozenset(
    {
        ("edge_origin",),
        ("limits",),
        ("policies",),
        ("journal", "retention"),
        ("glance", "staging"),
        ("polling",),
        ("probes",),
        ("breaker",),
        ("stall",),
        ("audit",),
        ("retry",),
    }
)


def needs_restart(before: Settings, after: Settings) -> list[str]:
    """The keys whose change has no effect without a restart, each as `PLACE: KEY`; empty when there is none."""
    old, new = dict(_fixed(before)), dict(_fixed(after))
    # Of a store that left the file, the entry as it was; of one that came, as it is.
    changed = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    return [f"{after.where(*path)}: {spell(path)}" for path in changed]


def _fixed(settings: Settings) -> Iterator[tuple[KeyPath, object]]:
    """The settings that can't be taken over, with their paths."""
    for path, value in _all(settings):
        if not any(path[:length] in _TAKEN_OVER for length in (1, 2)):
            yield path, value


def _all(settings: Settings) -> Iterator[tuple[KeyPath, object]]:
    for name in Settings.__dataclass_fields__:
        value = getattr(settings, name)
        if isinstance(value, Section):
            yield from (((name, key), entry) for key, entry in value)
        elif name == "stores":
            # Only how to reach the cluster is fixed.
            yield from ((("stores", store, "ceph"), entry.ceph) for store, entry in settings.stores.items())
        elif name != "places":
            yield (name,), value
