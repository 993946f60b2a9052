"""What becomes of image data at the stores, as Ceph would see it: for a fake of Ceph to follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class What(StrEnum):
    WRITING = "writing"  # an RBD image without a snapshot, its writer alive; told again as it grows
    ABANDONED = "abandoned"  # the same, and its writer is gone
    COMPLETE = "complete"  # with a protected snapshot, known to Glance or not
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One change at one store."""

    store: str
    image: str
    what: What
    # Bytes of the image, and of what has been written of it.
    size: int
    written: int
    at: datetime


Listener = Callable[[Event], None]


def nobody(_: Event) -> None:
    """Nobody listens."""
