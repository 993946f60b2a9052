"""Damaged images that a repair has kept, for what was cloned from them: nobody else remembers which disks those are."""

from __future__ import annotations

from collections.abc import Collection

from edgesync.domain.site import Kept, RbdImage
from edgesync.plan.suspects import kept_aside

# A store with more of them is in need of other disks.
MOST = 100


class KeptImages:
    """Those of one store, by their names in its pool."""

    def __init__(self) -> None:
        self._found: dict[str, Kept] = {}
        # Seen by the last pass, and by the one before, too.
        self._there: frozenset[str] = frozenset()
        self._settled: frozenset[str] = frozenset()

    @property
    def view(self) -> tuple[Kept, ...]:
        """One without clones is there for a moment, until the repair has put it away: it counts when it stays."""
        return tuple(kept for name, kept in sorted(self._found.items()) if kept.children or name in self._settled)

    def due(self, names: Collection[str], *, full: bool) -> frozenset[str]:
        """Which to look at: all in a full pass, else those that are new. What is gone is forgotten."""
        there = frozenset(sorted(kept_aside(names))[:MOST])
        self._settled = self._there & there
        self._there = there
        self._found = {name: kept for name, kept in self._found.items() if name in there}
        return there if full else there - self._found.keys()

    def note(self, name: str, rbd: RbdImage | None) -> None:
        if rbd is None:
            self._found.pop(name, None)
        else:
            self._found[name] = Kept(name=name, children=rbd.children)

    def forget(self) -> None:
        self._found.clear()
        self._there = self._settled = frozenset()
