"""What a plan consists of: the closed union of actions, and the copies that wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.copy import WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, Engine, EngineChoice, Job, JobId, Origin, Work
from edgesync.domain.store import StoreId


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Begin one attempt: an import, a removal or a repair, as `work` says."""

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
    work: Work = Work.COPY
    engine: Engine = Engine.COPY_IMAGE
    # Why that engine moves the data, for people; empty: nothing is copied.
    moved: str = ""
    # What was asked for, for a job that is opened with it.
    choice: EngineChoice = EngineChoice.AUTO


@dataclass(frozen=True, kw_only=True, slots=True)
class Follow:
    """Take up an attempt that a former daemon left open, and see it to its end."""

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
    # Of a job that asked for removals.
    removed: tuple[StoreId, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Compare one copy with its image. It changes nothing, so that other work on the image may go on."""

    job: Job
    store: StoreId

    @property
    def image(self) -> ImageId:
        return self.job.image


Action = Start | Follow | SettleJob | Check


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """Wanted copies of one image that are not being made now, all for the same reason."""

    image: ImageId
    stores: frozenset[StoreId]
    reason: WaitReason
    # One sentence for people.
    why: str
    # When that ends, where it is known.
    until: datetime | None = None
    # Who moves the data when their turn comes; None: that is not decided yet.
    engine: Engine | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do now, and what has to wait."""

    actions: tuple[Action, ...] = ()
    waiting: tuple[Waiting, ...] = ()

    @property
    def starts(self) -> tuple[Start, ...]:
        return tuple(action for action in self.actions if isinstance(action, Start))

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(action for action in self.actions if isinstance(action, Check))
