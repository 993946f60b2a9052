"""Where a setting was written, and a mistake with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edgesync.config.wording import spell

# ("policies", 0, "match"): keys of mappings, positions in lists. () is the whole file.
KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A position in a file, an environment variable or a flag."""

    # The file as it was named, `environment EDGESYNC_HUB`, or `option hub`.
    source: str
    # Both from 1; 0 where the source has no lines.
    line: int = 0
    column: int = 0
    # A scalar as it was written, to tell a person what YAML made of it.
    text: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


Places: TypeAlias = Mapping[KeyPath, Place]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One mistake."""

    place: Place
    path: KeyPath
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), spell(self.path), self.message) if part)

    @property
    def order(self) -> tuple[bool, int, int, str]:
        """The file from top to bottom, then the environment, then flags."""
        return (self.place.line == 0, self.place.line, self.place.column, self.place.source)


def known_part(path: KeyPath, places: Places) -> KeyPath:
    """The path, or as much of it as somebody wrote."""
    while path and path not in places:
        path = path[:-1]
    return path
