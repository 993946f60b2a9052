"""Everything there is to show, as one record that the daemon replaces after each tick."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from edgesync.domain.action import Plan, Waiting
from edgesync.domain.copy import Progress, Stall
from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, AttemptId, Work
from edgesync.domain.site import BreakerState, Site
from edgesync.domain.store import StoreId, StoreSettings
from edgesync.domain.world import Ledger, World
from edgesync.plan.budget import Budget
from edgesync.plan.layering import Layering
from edgesync.plan.situation import Rules, Situation
from edgesync.plan.wants import Wants

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What the last tick planned from, its plan, and the live progress."""

    # Whatever is planned for people, they are told what the daemon would do: from the same as it.
    situation: Situation
    plan: Plan
    # The board's own mapping: it moves on between ticks.
    progress: Mapping[tuple[ImageId, StoreId], Progress]
    # Imports of ours that do not get on. As live as the progress.
    stalls: Mapping[AttemptId, Stall] = field(default_factory=dict)
    # What copies that start send, where somebody has looked: for `plan` and dry runs.
    ways: Mapping[tuple[ImageId, StoreId], Layering] = field(default_factory=dict)
    attempts: Mapping[ImageId, Attempt] = field(init=False)
    waits: Mapping[ImageId, tuple[Waiting, ...]] = field(init=False)
    # What open jobs still ask for.
    asked: Mapping[ImageId, frozenset[StoreId]] = field(init=False)
    _worked_out: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        attempts = {attempt.image: attempt for attempt in self.ledger.attempts}
        waits: dict[ImageId, tuple[Waiting, ...]] = {}
        for waiting in self.plan.waiting:
            waits[waiting.image] = (*waits.get(waiting.image, ()), waiting)
        asked: dict[ImageId, frozenset[StoreId]] = {}
        for job in self.ledger.jobs:
            if job.work is Work.VERIFY:
                continue
            asked[job.image] = asked.get(job.image, frozenset()) | job.pending
        object.__setattr__(self, "asked", asked)
        object.__setattr__(self, "attempts", attempts)
        object.__setattr__(self, "waits", waits)

    @property
    def world(self) -> World:
        return self.situation.world

    @property
    def wants(self) -> Wants:
        return self.situation.wants

    @property
    def ledger(self) -> Ledger:
        return self.situation.ledger

    @property
    def budget(self) -> Budget:
        return self.situation.budget

    @property
    def rules(self) -> Rules:
        return self.situation.rules

    def once(self, work: Callable[[Picture], T]) -> T:
        """What a function makes of it, made when it is first asked for: many look at the same picture.

        For what is slow and may be as old as the picture: of the live progress and stalls it sees the first moment.
        """
        if work not in self._worked_out:
            self._worked_out[work] = work(self)
        found: T = self._worked_out[work]
        return found

    def site(self, store: StoreId) -> Site:
        """What is known of a store's site; of one that was never looked at, nothing bad."""
        return self.world.sites.get(store) or Site(store=store)

    def due(self, image: ImageId) -> frozenset[StoreId]:
        """The stores in which a policy wants the image, an open job asks for it, or a copy of it waits."""
        waits = (waiting.stores for waiting in self.waits.get(image, ()))
        return self.wants.stores(image).union(self.asked.get(image, ()), *waits)

    def admits(self, store: StoreId) -> bool:
        """Whether copies are sent to the store as usual."""
        return self.site(store).breaker.state is BreakerState.CLOSED

    def settings_of(self, store: StoreId) -> StoreSettings:
        return self.budget.settings(store)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigHealth:
    """Which configuration is in force, and whether there is one that was refused since."""

    # None: in the middle of starting.
    loaded_at: datetime | None = None
    # Why the last reload changed nothing; empty when it was taken.
    error: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """How the daemon itself is doing."""

    started_at: datetime
    # End of the last tick that went well; None before the first.
    ticked_at: datetime | None = None
    # End of the last tick, however it went; None before the first.
    tried_at: datetime | None = None
    # False while Glance can't be seen.
    sees_glance: bool = True
    # What keeps ticks from going well, for people; empty when nothing does.
    trouble: str = ""
    remedy: str = ""
    config: ConfigHealth = field(default_factory=ConfigHealth)


@dataclass(kw_only=True, slots=True)
class Showcase:
    """What is on show: the one thing the cycle replaces and everything else reads."""

    health: Health
    # None before the first look at Glance.
    picture: Picture | None = None

    @property
    def at(self) -> datetime:
        """The newest moment of which it tells: the picture may be old while Glance can't be seen."""
        known = (self.picture.world.at if self.picture else None, self.health.tried_at, self.health.started_at)
        return max(at for at in known if at is not None)
