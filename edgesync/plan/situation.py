"""Everything a plan depends on, as one record."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import AttemptId, Engine
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Policy, Repair
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger, World
from edgesync.plan.breaker import admits
from edgesync.plan.budget import Budget
from edgesync.plan.locks import expired
from edgesync.plan.wants import Wants


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How the operator wants copies to be made."""

    # Copies that may fail one by one: an import per store, so that a store that hangs holds up no other.
    split: bool = True
    # An image that is only at an edge is copied to the hub, then out.
    edge_origin: bool = True
    # Whether edgesync moves blocks itself where it can; else Glance makes all copies.
    rbd: bool = True
    # Whether orphans are moved into RBD's trash, and what becomes of broken copies.
    trash_orphans: bool = True
    repair: Repair = Repair.FIX
    # How long a job waits for the data that somebody promised to send.
    upload_patience: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What is there, what is wanted, what is going on."""

    world: World
    wants: Wants
    ledger: Ledger
    budget: Budget
    now: datetime
    rules: Rules = field(default_factory=Rules)
    # Attempts that this process is following already.
    followed: Set[AttemptId] = field(default_factory=frozenset)
    # Those that don't get on: they keep no slot from others.
    stalled: Set[AttemptId] = field(default_factory=frozenset)
    # Whether Glance shows locations, by which copies of edgesync's own are registered; None: not seen yet.
    locations: bool | None = None
    # Failures from before then are no reason to wait: `edgesync once` tries everything once.
    forgive_before: datetime | None = None
    # When a copy into a store was last started, for fairness between the sites. Those that one plan started differ, in
    # its order: among equal times the names would decide, and always for the same sites.
    served: Mapping[StoreId, datetime] = field(default_factory=dict)
    # Retries into a store within the last hour.
    retries: Mapping[StoreId, int] = field(default_factory=dict)
    # Bytes per second that recent copies into a store made, by each engine: of the images' sizes.
    rates: Mapping[tuple[StoreId, Engine], float] = field(default_factory=dict)
    # Copies that were mended or should have been a moment ago: not again so soon.
    resting: Set[tuple[ImageId, StoreId]] = field(default_factory=frozenset)
    # Copies that are being compared with their images.
    checking: Set[tuple[ImageId, StoreId]] = field(default_factory=frozenset)
    # Policies that take away what they alone wanted.
    pruning: tuple[Policy, ...] = ()
    # Which policy had a copy made; looked up only for copies that may be pruned, and only after a full pass.
    makers: Mapping[tuple[ImageId, StoreId], str] = field(default_factory=dict)
    # Copies without their snapshot that the journal's digests may prove whole, where that was not tried in vain.
    provable: Set[tuple[ImageId, StoreId]] = field(default_factory=frozenset)
    # Copies that others are layered on: they are freed of them before they can go.
    bases: Set[tuple[ImageId, StoreId]] = field(default_factory=frozenset)

    def locked(self, image: Image) -> bool:
        """Whether somebody's import holds the image. A lock that Glance would take from its holder counts no more."""
        if image.lock is None:
            return False
        task = self.world.locks.get(image.id)
        return task is None or task.id != image.lock or not expired(task, self.now)

    def admitted(self, store: StoreId) -> bool:
        """Whether a site answers, as far as is known."""
        site = self.world.sites.get(store)
        return site is None or admits(site.breaker, self.now, running=0)

    def pause(self, image: ImageId, store: StoreId) -> Pause | None:
        """A pause that covers this copy."""
        return next((pause for pause in self.ledger.pauses if pause.covers(image, store)), None)

    def paused_place(self, store: StoreId) -> Pause | None:
        """The pause of a whole store, or of everything, that covers this one."""
        return next(
            (pause for pause in self.ledger.pauses if pause.image is None and pause.store in {None, store}), None
        )
