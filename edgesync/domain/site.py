"""What is known of a site beyond what Glance says: is it alive, how full is its pool, what really lies in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from edgesync.domain.blocks import Verification
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId


class BreakerState(StrEnum):
    """Whether copies are sent to a store: as usual, not at all, or one to see whether it works again."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """The breaker of one store, as `plan.breaker` moves it."""

    state: BreakerState = BreakerState.CLOSED
    # When it came into this state; None: it has never been anything but closed.
    since: datetime | None = None
    # Bad signs in a row.
    failures: int = 0
    # The last bad sign, for people.
    cause: str = ""
    # When an open breaker lets the next trial through: a probe where `probed`, else one copy.
    retry_at: datetime | None = None
    # True while probes of the site's Ceph judge it; else the outcomes of copies do.
    probed: bool = False


# Where Ceph itself takes no more writes, unless its own limit (`ceph osd dump`: full_ratio) is another. A pool of which
# an OSD is full has no room at all, and counts as full, too.
CEPH_FULL = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """Room in a store's pool, in bytes of image data (replicas counted out), as `ceph df` tells it."""

    used: int
    available: int

    @property
    def total(self) -> int:
        return self.used + self.available

    def fill(self, extra: int = 0) -> float:
        """Between 0 and 1 (or above), once `extra` bytes more are in; 1 for a pool without any room."""
        return (self.used + extra) / self.total if self.total > 0 else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RbdImage:
    """One RBD image in a store's pool, as Ceph itself tells."""

    name: str
    # Ceph's own id of it, made up at its creation: another image of that name, in whatever pool, has another.
    id: str
    # Bytes.
    size: int
    # Whether the snapshot that Nova and Cinder clone from exists, and whether it is protected.
    snapshot: bool
    protected: bool
    # Clients that have it open for writing: a live writer always has a watch.
    watchers: int
    # Clones of the snapshot, as pool/name.
    children: tuple[str, ...]
    # By the cluster's own clock.
    created_at: datetime


class Defect(StrEnum):
    """How Glance and RBD disagree about one copy."""

    ORPHAN = "orphan"  # RBD has it, Glance doesn't
    NO_IMAGE = "no-image"  # Glance has it, RBD doesn't
    NO_SNAPSHOT = "no-snapshot"
    UNPROTECTED = "unprotected"
    WRONG_SIZE = "wrong-size"
    DAMAGED = "damaged"  # its data are not the image's

    @property
    def broken(self) -> bool:
        """True when Glance believes in a copy that nobody can boot from."""
        return self is not Defect.ORPHAN


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One copy on which Glance and RBD disagree, from the last audit of the store."""

    image: ImageId
    store: StoreId
    defect: Defect
    # One sentence: what was seen.
    detail: str
    # Why it must not be mended without a human (a watcher, a clone, too young, ...); empty: it may be.
    obstacle: str = ""
    # True for an obstacle that ends by itself: too young, being written, locked.
    passing: bool = False
    # When it was first seen.
    seen_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A damaged RBD image that a repair has put aside."""

    name: str
    # What was cloned from it and may show the damage, as pool/name.
    children: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """One store's site, as last seen. Where Ceph is not configured, only the breaker says something."""

    store: StoreId
    breaker: Breaker = field(default_factory=Breaker)
    # What Ceph refuses to edgesync: nobody watches the site, though copies go on. Empty: nothing.
    refusal: str = ""
    # None while unknown: Ceph is not configured, or no probe has succeeded yet.
    capacity: Capacity | None = None
    # By image. Treat as read-only.
    findings: Mapping[ImageId, Finding] = field(default_factory=dict)
    # Copies that are layered on another copy here, and on which, as far as audits have seen. Treat as read-only.
    bases: Mapping[ImageId, ImageId] = field(default_factory=dict)
    # Images of which there is an unfinished copy of edgesync's own, under a name of ours.
    unfinished: frozenset[ImageId] = frozenset()
    # Damaged images that are kept there, as far as audits have seen.
    kept: tuple[Kept, ...] = ()
    # End of the last complete audit; None before the first.
    audited_at: datetime | None = None
    # How its copies were found when they were last compared with their images. Live: it moves on between ticks.
    verified: Mapping[ImageId, Verification] = field(default_factory=dict)
