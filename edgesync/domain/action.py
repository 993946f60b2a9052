"""What a plan consists of: the closed union of actions, and the copies that wait."""

from __future__ import annotations

from dataclasses import dataclass

from edgesync.domain.copy import WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, JobId, Origin
from edgesync.domain.store import StoreId


@dataclass(frozen=True, kw_only=True, slots=True)
class StartCopy:
    """Ask Glance for one import."""

    image: ImageId
    stores: tuple[StoreId, ...]
    allow_failure: bool
    # The job that leads; None: a policy's, to be opened when the copy starts.
    job: JobId | None
    origin: Origin
    requested_by: str
    priority: int
    # One sentence: why this, why now.
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowCopy:
    """Take up an import that a former daemon started, and see it to its end."""

    attempt: Attempt

    @property
    def image(self) -> ImageId:
        return self.attempt.image


@dataclass(frozen=True, kw_only=True, slots=True)
class SettleJob:
    """Nothing left to do for these stores of a job: they have their copy, or can never get one."""

    job: JobId
    image: ImageId
    copied: tuple[StoreId, ...] = ()
    failed: tuple[StoreId, ...] = ()
    reason: str = ""


Action = StartCopy | FollowCopy | SettleJob


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """Wanted copies of one image that are not being made now, all for the same reason."""

    image: ImageId
    stores: frozenset[StoreId]
    reason: WaitReason
    # One sentence for people.
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do now, and what has to wait."""

    actions: tuple[Action, ...] = ()
    waiting: tuple[Waiting, ...] = ()

    @property
    def starts(self) -> tuple[StartCopy, ...]:
        return tuple(action for action in self.actions if isinstance(action, StartCopy))
