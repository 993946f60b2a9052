"""Pauses: what an operator has told edgesync to leave alone for now. They survive restarts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """No new work for what this covers; work that runs already goes on to its end."""

    # None: every image.
    image: ImageId | None = None
    # None: every store. With both given, just that copy.
    store: StoreId | None = None
    by: str
    reason: str = ""
    since: datetime

    def covers(self, image: ImageId, store: StoreId) -> bool:
        return self.image in {None, image} and self.store in {None, store}

    @property
    def scope(self) -> str:
        """What it covers, for people."""
        if self.image is None:
            return "everything" if self.store is None else f"store {self.store}"
        return f"image {self.image}" if self.store is None else f"image {self.image} at {self.store}"

    @property
    def resume(self) -> str:
        """The command that lifts it."""
        given = [("--image", self.image), ("--store", self.store)]
        return "edgesync resume " + (" ".join(f"{option} {value}" for option, value in given if value) or "--all")
