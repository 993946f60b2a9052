"""What the history says of attempts: which event each result is, and its sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from edgesync.domain.blocks import Extent
from edgesync.domain.copy import Stall
from edgesync.domain.job import Attempt, CopyResult, Engine, Event, EventKind, Job, StoreResult, Work
from edgesync.errors import EdgesyncError

_COPIES = {
    CopyResult.COPIED: EventKind.COPY_DONE,
    CopyResult.FAILED: EventKind.COPY_FAILED,
    CopyResult.REVERTED: EventKind.COPY_REVERTED,
    CopyResult.INTERRUPTED: EventKind.COPY_INTERRUPTED,
}
_REPAIRS = {CopyResult.REPAIRED: EventKind.COPY_REPAIRED, CopyResult.FAILED: EventKind.REPAIR_FAILED}
_EVENT_OF = {
    Work.COPY: _COPIES,
    Work.IMPORT: _COPIES,
    Work.REMOVE: {CopyResult.REMOVED: EventKind.COPY_REMOVED, CopyResult.FAILED: EventKind.REMOVAL_FAILED},
    Work.TRASH: {**_REPAIRS, CopyResult.REPAIRED: EventKind.ORPHAN_TRASHED},
    Work.PROTECT: _REPAIRS,
    Work.SEAL: _REPAIRS,
    Work.SWEEP: {**_REPAIRS, CopyResult.REPAIRED: EventKind.ORPHAN_TRASHED},
    Work.UNLIST: _REPAIRS,
    Work.RENEW: _REPAIRS,
}
# Damaged ranges that are named before they are only counted.
NAMED = 10
# The reason of a repair that found its copy in order, or gone.
NOTHING_TO_MEND = "nothing to mend any more"


def result_event(attempt: Attempt, entry: StoreResult, at: datetime) -> Event:
    """The line of history for the result in one store."""
    kind = _EVENT_OF[attempt.work][entry.result]
    if kind is EventKind.ORPHAN_TRASHED and entry.reason.startswith(NOTHING_TO_MEND):
        kind = EventKind.COPY_REPAIRED
    message = entry.reason
    if entry.result is CopyResult.COPIED:
        message = f"copied in {(at - attempt.started_at).total_seconds():.1f} s"
    return Event(at=at, kind=kind, message=message, image=attempt.image, store=entry.store, job=attempt.job)


def stall_event(attempt: Attempt, stall: Stall, at: datetime) -> Event:
    return Event(
        at=at,
        kind=EventKind.COPY_STALLED,
        message=f"{stall.why}; {stall.next}",
        image=attempt.image,
        store=stall.store,
        job=attempt.job,
    )


def verification_event(job: Job, entry: StoreResult, at: datetime) -> Event:
    """The line of history for the comparison of one copy."""
    sound = entry.result is CopyResult.SOUND
    kind = EventKind.COPY_VERIFIED if sound else EventKind.VERIFICATION_FAILED
    message = f"{entry.result}: {entry.reason}" if entry.result is not CopyResult.FAILED else entry.reason
    return Event(at=at, kind=kind, message=message, image=job.image, store=entry.store, job=job.id)


def beginning(attempt: Attempt) -> str:
    stores = ", ".join(attempt.stores)
    if attempt.engine is Engine.RBD:
        return f"edgesync copies the image's blocks to {stores}"
    verb = "imports the image's data into" if attempt.work is Work.IMPORT else "copies the image to"
    return f"Glance {verb} {stores}"


def taking_up(attempt: Attempt) -> str:
    stores = ", ".join(attempt.stores)
    if attempt.engine is Engine.RBD:
        return f"going on with the copy to {stores} that was broken off"
    return f"following the import to {stores} that was running already"


def what_is_done(attempt: Attempt) -> str:
    """The attempt in a few words, for the log."""
    return {
        Work.COPY: "copy",
        Work.IMPORT: "import",
        Work.REMOVE: "removal",
        Work.TRASH: "removal of an orphan",
        Work.PROTECT: "repair of a snapshot",
        Work.SEAL: "repair of a missing snapshot",
        Work.SWEEP: "removal of an unfinished copy",
        Work.UNLIST: "repair of a broken copy",
        Work.RENEW: "repair of a damaged copy",
        Work.VERIFY: "verification",
    }[attempt.work]


def told(error: EdgesyncError) -> str:
    """A refusal with its remedy, as the reason of a result."""
    return f"{error.message} {error.remedy}".strip()


def ranges(extents: Sequence[Extent]) -> str:
    """Damaged pieces by name, offset-end in bytes, and how much that is."""
    named = ", ".join(f"{extent.offset}-{extent.end - 1}" for extent in extents[:NAMED])
    more = f" and {len(extents) - NAMED} more" if len(extents) > NAMED else ""
    kib = sum(extent.length for extent in extents) / 1024
    return f"{len(extents)} damaged range{'s' if len(extents) > 1 else ''} ({kib:g} KiB): bytes {named}{more}"
