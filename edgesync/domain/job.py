"""Jobs and attempts: what was asked for, and what was tried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from edgesync.domain.image import ImageId, TaskId
from edgesync.domain.store import StoreId

JobId = NewType("JobId", str)
AttemptId = NewType("AttemptId", str)


class Origin(StrEnum):
    """Who asked."""

    PERSON = "person"
    POLICY = "policy"


class CopyResult(StrEnum):
    """What became of one store of a job or an attempt."""

    PENDING = "pending"
    COPIED = "copied"
    FAILED = "failed"
    # The copy was made, and taken away again because another store of an all-or-nothing job failed.
    REVERTED = "reverted"

    @property
    def ended(self) -> bool:
        return self is not CopyResult.PENDING


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in {JobState.DONE, JobState.FAILED}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreResult:
    """The result in one store, with the reason a person needs when it is not `copied`."""

    store: StoreId
    result: CopyResult = CopyResult.PENDING
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request for one image to one or more stores."""

    id: JobId
    image: ImageId
    # For people who read the history after the image is gone.
    image_name: str
    origin: Origin
    # Name of the policy, or what the person said of themselves (`api`, a user name).
    requested_by: str
    allow_failure: bool
    priority: int
    state: JobState
    stores: tuple[StoreResult, ...]
    created_at: datetime
    ended_at: datetime | None = None

    @property
    def pending(self) -> frozenset[StoreId]:
        return frozenset(entry.store for entry in self.stores if not entry.result.ended)

    @property
    def failed(self) -> tuple[StoreResult, ...]:
        return tuple(entry for entry in self.stores if entry.result in {CopyResult.FAILED, CopyResult.REVERTED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One import request to Glance. At most one of an image is open at any time: the journal refuses a second."""

    id: AttemptId
    job: JobId
    image: ImageId
    stores: tuple[StoreId, ...]
    allow_failure: bool
    started_at: datetime
    # The Glance task that holds the image's lock; None until we have seen it.
    task: TaskId | None = None
    ended_at: datetime | None = None
    results: tuple[StoreResult, ...] = ()
    # Why it ended as it did, where that concerns the whole attempt.
    message: str = ""


class EventKind(StrEnum):
    """What happened, in the history that people read."""

    JOB_CREATED = "job-created"
    JOB_ENDED = "job-ended"
    COPY_STARTED = "copy-started"
    COPY_FOLLOWED = "copy-followed"
    COPY_DONE = "copy-done"
    COPY_FAILED = "copy-failed"
    COPY_REVERTED = "copy-reverted"
    RIVAL_IMPORT = "rival-import"
    IMAGE_GONE = "image-gone"
    STORE_APPEARED = "store-appeared"
    STORE_VANISHED = "store-vanished"
    GLANCE_UNREACHABLE = "glance-unreachable"
    GLANCE_BACK = "glance-back"
    DAEMON_STARTED = "daemon-started"
    DAEMON_STOPPED = "daemon-stopped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of history."""

    at: datetime
    kind: EventKind
    message: str
    image: ImageId | None = None
    store: StoreId | None = None
    job: JobId | None = None
    # Position in the journal, rising; 0 until recorded.
    seq: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryFilter:
    """Which events to read, newest first."""

    image: ImageId | None = None
    store: StoreId | None = None
    since: datetime | None = None
    failed_only: bool = False
    limit: int = 100
    # Only events before this position: the next page.
    before: int | None = None


FAILED_KINDS = frozenset({EventKind.COPY_FAILED, EventKind.COPY_REVERTED, EventKind.GLANCE_UNREACHABLE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How an attempt ended, store by store: what the executor hands to the journal."""

    results: tuple[StoreResult, ...]
    # Why it ended as it did, where that concerns the whole attempt.
    message: str = ""
