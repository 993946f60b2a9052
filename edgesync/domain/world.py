"""What was seen: one immutable picture of the cloud, made by observe and read by everything after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edgesync.domain.copy import Failure
from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.job import Attempt, Job
from edgesync.domain.pause import Pause
from edgesync.domain.site import Site
from edgesync.domain.store import StoreId, Topology


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Images and stores as last seen. Treat the mapping as read-only: it is the observer's own, not a copy."""

    topology: Topology
    images: Mapping[ImageId, Image]
    # Images that changed, came or went since the World before; None: all of them (the first, a full pass).
    changed: frozenset[ImageId] | None
    at: datetime
    # By store; those that Glance lists.
    sites: Mapping[StoreId, Site] = field(default_factory=dict)
    # The tasks behind the locks of images that are moving, as far as Glance tells.
    locks: Mapping[ImageId, ImportTask] = field(default_factory=dict)
    # True when every image was listed for this World, so that what is missing in it is really gone.
    full: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """What the journal knows that a plan needs."""

    # Open jobs, in the order in which they came.
    jobs: tuple[Job, ...] = ()
    # Attempts whose end is not recorded: running here, or left behind by a daemon that died.
    attempts: tuple[Attempt, ...] = ()
    failures: Mapping[tuple[ImageId, StoreId], Failure] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
