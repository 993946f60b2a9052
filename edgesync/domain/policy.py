"""A policy: which images belong at which sites."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from edgesync.domain.image import Image
from edgesync.domain.job import EngineChoice
from edgesync.domain.store import StoreId

# `stores: all` stands for every writable store, also those that appear later.
ALL = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Conditions on an image; those left out hold for every image, all others must hold together."""

    ids: frozenset[str] = frozenset()
    # Shell-style pattern, case matters.
    name: str | None = None
    visibility: str | None = None
    # A project id.
    owner: str | None = None
    # All of them must be on the image.
    tags: frozenset[str] = frozenset()
    # Property -> shell-style pattern.
    properties: dict[str, str] = field(default_factory=dict)
    hidden: bool | None = None
    disk_formats: frozenset[str] = frozenset()
    # Bytes, inclusive.
    min_size: int | None = None
    max_size: int | None = None

    def accepts(self, image: Image) -> bool:
        return (
            (self.visibility is None or image.visibility == self.visibility)
            and (not self.tags or self.tags <= image.tags)
            and (not self.ids or image.id in self.ids)
            and (self.owner is None or image.owner == self.owner)
            and (self.hidden is None or image.hidden is self.hidden)
            and (not self.disk_formats or image.disk_format in self.disk_formats)
            and (self.name is None or fnmatchcase(image.name, self.name))
            and self._accepts_size(image.size)
            and all(
                key in image.properties and fnmatchcase(image.properties[key], pattern)
                for key, pattern in self.properties.items()
            )
        )

    def _accepts_size(self, size: int | None) -> bool:
        if self.min_size is None and self.max_size is None:
            return True
        if size is None:
            return False
        return (self.min_size is None or size >= self.min_size) and (self.max_size is None or size <= self.max_size)


class Repair(StrEnum):
    """What is done about a broken copy."""

    REPORT = "report"
    FIX = "fix"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """One entry under `policies:`."""

    name: str
    match: Match
    # None means ALL.
    stores: frozenset[StoreId] | None
    # False: all of the copies that one import makes, or none of them.
    allow_failure: bool = True
    # Higher goes first.
    priority: int = 0
    # A rollout in steps: no store of a wave gets the image before all stores of the waves before it have it. Stores
    # named in none are the last wave. Empty: all at once.
    waves: tuple[frozenset[StoreId], ...] = ()
    # So many failed copies of an image stop its rollout until they are mended.
    stop_after_failures: int = 1
    # Remove copies that only this policy wanted, once it doesn't any more.
    prune: bool = False
    # Removals per full pass at most.
    prune_limit: int = 10
    # For broken copies of the images that match; None: as the audit's own setting says.
    repair: Repair | None = None
    # Who moves the data.
    engine: EngineChoice = EngineChoice.AUTO
    # How long a copy may be missing before somebody is told; None: for ever.
    lag_objective: timedelta | None = None

    def targets(self, writable: frozenset[StoreId]) -> frozenset[StoreId]:
        return writable if self.stores is None else self.stores
