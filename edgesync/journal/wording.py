"""The sentences that history has about jobs, for each kind of work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edgesync.domain.job import CopyResult, Job, Work
from edgesync.domain.store import StoreId

# Stores that a sentence names before it only counts.
_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    one: str
    many: str
    # Both with {image} and {stores}.
    done: str
    doing: str


def _repair(*, done: str, doing: str) -> _Words:
    return _Words(one="repair", many="repairs", done=done, doing=doing)


_WORDS = {
    Work.COPY: _Words(
        one="copy",
        many="copies",
        done="{image} was copied to {stores}.",
        doing="The copy of {image} to {stores}",
    ),
    Work.IMPORT: _Words(
        one="import",
        many="imports",
        done="{image} was imported to {stores}.",
        doing="The import of {image} to {stores}",
    ),
    Work.REMOVE: _Words(
        one="removal",
        many="removals",
        done="{image} was removed from {stores}.",
        doing="The removal of {image} from {stores}",
    ),
    Work.TRASH: _repair(
        done="What was left of {image} at {stores} was moved to the trash.",
        doing="Moving what is left of {image} at {stores} to the trash",
    ),
    Work.SWEEP: _repair(
        done="The unfinished copy of {image} at {stores} was moved to the trash.",
        doing="Moving the unfinished copy of {image} at {stores} to the trash",
    ),
    Work.PROTECT: _repair(
        done="The snapshot of {image} at {stores} was protected again.",
        doing="Protecting the snapshot of {image} at {stores}",
    ),
    Work.SEAL: _repair(
        done="The snapshot of {image} at {stores} was taken again.",
        doing="Taking the snapshot of {image} at {stores} again",
    ),
    Work.UNLIST: _repair(
        done="The location of the broken copy of {image} at {stores} was taken away.",
        doing="Taking away the location of the broken copy of {image} at {stores}",
    ),
    Work.RENEW: _repair(
        done="The damaged copy of {image} at {stores} was made good again.",
        doing="Making the damaged copy of {image} at {stores} good again",
    ),
    Work.VERIFY: _Words(
        one="verification",
        many="verifications",
        done="{image} was verified at {stores}.",
        doing="The verification of {image} at {stores}",
    ),
}


def ending(job: Job) -> str:
    """One sentence about a job with nothing pending, and one more for what was cancelled beside a failure."""
    cancelled = [entry.store for entry in job.stores if entry.result is CopyResult.CANCELLED]
    if job.failed:
        told = f"{_share(job, len(job.failed))} failed: {_names([entry.store for entry in job.failed])}."
        return f"{told} Cancelled: {_names(cancelled)}." if cancelled else told
    if cancelled:
        were = "was" if len(cancelled) == 1 else "were"
        return f"{_share(job, len(cancelled))} {were} cancelled: {_names(cancelled)}."
    return _WORDS[job.work].done.format(image=_image(job), stores=_names([entry.store for entry in job.stores]))


def cancelling(job: Job, cancelled: Collection[StoreId], by: str) -> str:
    """One sentence about a job just after somebody cancelled it: which stores were, and which go on."""
    stopped = [entry.store for entry in job.stores if entry.store in cancelled]
    goes_on = [entry.store for entry in job.stores if entry.store in job.pending]
    told = _WORDS[job.work].doing.format(image=_image(job), stores=_names(stopped or goes_on))
    if not stopped:
        return (
            f"{told} has begun, and goes on where it can't be stopped; cancelled by {by}, it will not be begun again."
        )
    rest = f"; what has begun goes on: {_names(goes_on)}" if goes_on else ""
    return f"{told} was cancelled by {by}{rest}."


def _image(job: Job) -> str:
    """What people call it; what was left of one that is gone has but its id."""
    return job.image_name or job.image


def _share(job: Job, count: int) -> str:
    words = _WORDS[job.work]
    return f"{count} of {len(job.stores)} {words.one if len(job.stores) == 1 else words.many} of {_image(job)}"


def _names(stores: Sequence[StoreId]) -> str:
    named = ", ".join(stores[:_NAMED])
    return named if len(stores) <= _NAMED else f"{named} and {len(stores) - _NAMED} more"
