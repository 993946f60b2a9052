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
    # edgesync itself, mending what an audit found.
    REPAIR = "repair"


class Work(StrEnum):
    """What a job asks for, and what an attempt of it does."""

    COPY = "copy"  # have Glance copy an image to stores
    IMPORT = "import"  # bring a new image's data in, from a URI or a file
    REMOVE = "remove"  # delete a copy
    TRASH = "trash"  # move an orphan into RBD's trash
    PROTECT = "protect"  # protect a copy's snapshot again
    SEAL = "seal"  # take the snapshot of a copy again that is proven whole
    SWEEP = "sweep"  # move an unfinished copy of edgesync's own, which nobody wants any more, into RBD's trash
    UNLIST = "unlist"  # take the location of a broken copy away, so that it can be copied again
    RENEW = "renew"  # make a damaged copy good again from the hub's, under its location
    VERIFY = "verify"  # compare copies with their image; changes nothing, so it needs no attempt

    @property
    def brings(self) -> bool:
        """True for work that writes image data to stores."""
        return self in {Work.COPY, Work.IMPORT}

    @property
    def repairs(self) -> bool:
        return self in {Work.TRASH, Work.SWEEP, Work.PROTECT, Work.SEAL, Work.UNLIST, Work.RENEW}


class Engine(StrEnum):
    """Who moves the data of a copy."""

    COPY_IMAGE = "copy-image"  # Glance, by its import method of that name
    RBD = "rbd"  # edgesync itself, from one Ceph cluster to the others


class EngineChoice(StrEnum):
    """What a policy or a person says of that."""

    AUTO = "auto"  # rbd where it can be, else copy-image
    RBD = "rbd"
    COPY_IMAGE = "copy-image"


class CopyResult(StrEnum):
    """What became of one store of a job or an attempt."""

    PENDING = "pending"
    COPIED = "copied"
    FAILED = "failed"
    # No copy because another store of an all-or-nothing job failed: taken away again, or never made.
    REVERTED = "reverted"
    REMOVED = "removed"
    REPAIRED = "repaired"
    # What a verification found.
    SOUND = "sound"
    DAMAGED = "damaged"
    # A person cancelled the job before this store's turn came.
    CANCELLED = "cancelled"
    # Only of attempts: it broke off through nobody's fault (a killed API worker). The job goes on waiting.
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """True when a job has nothing more to expect."""
        return self not in {CopyResult.PENDING, CopyResult.INTERRUPTED}

    @property
    def good(self) -> bool:
        return self in {CopyResult.COPIED, CopyResult.REMOVED, CopyResult.REPAIRED, CopyResult.SOUND}

    @property
    def bad(self) -> bool:
        return self in {CopyResult.FAILED, CopyResult.REVERTED, CopyResult.DAMAGED}


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreResult:
    """The result in one store, with the reason a person needs when it is not `copied`."""

    store: StoreId
    result: CopyResult = CopyResult.PENDING
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSource:
    """Where a new image's data comes from, and what the image shall be."""

    # None: a file that whoever asked sends us (glance-direct); else Glance fetches it (web-download).
    uri: str | None
    name: str
    disk_format: str = "raw"
    container_format: str = "bare"
    visibility: str = "private"
    hidden: bool = False
    # GiB and MiB, Glance's units.
    min_disk: int = 0
    min_ram: int = 0
    tags: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request for one image in one or more stores."""

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
    work: Work = Work.COPY
    # Before everything else, other persons' jobs included.
    urgent: bool = False
    # For `Work.IMPORT` only.
    source: ImportSource | None = None
    # For copies.
    engine: EngineChoice = EngineChoice.AUTO
    # For verifications: the hub's data are read and hashed again; and what is found broken is mended.
    deep: bool = False
    mend: bool = False

    @property
    def imported(self) -> bool:
        """True unless this job's image has yet to get its data; what is pending after that is copied."""
        return self.work is not Work.IMPORT or any(entry.result is CopyResult.COPIED for entry in self.stores)

    @property
    def pending(self) -> frozenset[StoreId]:
        return frozenset(entry.store for entry in self.stores if not entry.result.ended)

    @property
    def failed(self) -> tuple[StoreResult, ...]:
        return tuple(entry for entry in self.stores if entry.result.bad)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One action on an image, as `work` says: an import that Glance is asked for, a copy deleted, an orphan trashed.

    At most one of an image is open at any time: the journal refuses a second.
    """

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
    work: Work = Work.COPY
    engine: Engine = Engine.COPY_IMAGE


class EventKind(StrEnum):
    """What happened, in the history that people read."""

    JOB_CREATED = "job-created"
    JOB_ENDED = "job-ended"
    UPLOAD_STARTED = "upload-started"
    COPY_STARTED = "copy-started"
    COPY_PLANNED = "copy-planned"  # what the rbd engine sends to a store: all of it, or what a related copy lacks
    COPY_FOLLOWED = "copy-followed"
    COPY_DONE = "copy-done"
    COPY_FAILED = "copy-failed"
    COPY_REVERTED = "copy-reverted"
    COPY_INTERRUPTED = "copy-interrupted"
    COPY_STALLED = "copy-stalled"
    COPY_REMOVED = "copy-removed"
    REMOVAL_FAILED = "removal-failed"
    ORPHAN_FOUND = "orphan-found"
    ORPHAN_TRASHED = "orphan-trashed"
    COPY_BROKEN = "copy-broken"
    COPY_REPAIRED = "copy-repaired"
    COPY_VERIFIED = "copy-verified"
    VERIFICATION_FAILED = "verification-failed"  # the copy is damaged, or could not be compared
    DISK_CLONED = "disk-cloned"
    FLATTEN_ASKED = "flatten-asked"
    REPAIR_FAILED = "repair-failed"
    JOB_CANCELLED = "job-cancelled"
    PAUSED = "paused"
    RESUMED = "resumed"
    STORE_DOWN = "store-down"
    STORE_BACK = "store-back"
    CONFIG_RELOADED = "config-reloaded"
    CONFIG_REFUSED = "config-refused"
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
    """Which events to read, newest first, unless `after` is given."""

    image: ImageId | None = None
    store: StoreId | None = None
    since: datetime | None = None
    failed_only: bool = False
    limit: int = 100
    # Only events before this position: the next page.
    before: int | None = None
    # Only events after this position, oldest first: what has happened since.
    after: int | None = None


FAILED_KINDS = frozenset(
    {
        EventKind.COPY_FAILED,
        EventKind.COPY_REVERTED,
        EventKind.COPY_INTERRUPTED,
        EventKind.COPY_STALLED,
        EventKind.COPY_BROKEN,
        EventKind.VERIFICATION_FAILED,
        EventKind.ORPHAN_FOUND,
        EventKind.REMOVAL_FAILED,
        EventKind.REPAIR_FAILED,
        EventKind.STORE_DOWN,
        EventKind.CONFIG_REFUSED,
        EventKind.GLANCE_UNREACHABLE,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How an attempt ended, store by store: what the executor hands to the journal."""

    results: tuple[StoreResult, ...]
    # Why it ended as it did, where that concerns the whole attempt.
    message: str = ""
