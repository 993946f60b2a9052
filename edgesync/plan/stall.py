"""Why an import does not get on, and what will happen next: from what was found, without looking further."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from edgesync.domain.copy import Stall, StallCause
from edgesync.domain.image import ImportTask, TaskStatus
from edgesync.domain.store import StoreId

# A worker updates its task once a minute while it writes (glance/common/scripts/utils.py, CallbackIterator).
SILENCE = timedelta(minutes=3)
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What was found at an import that does not get on."""

    now: datetime
    # When it last got on.
    since: datetime
    # The store being written.
    store: StoreId
    hub: StoreId
    # Why glance-api or a site's cluster can't be used; empty: it answers, or nobody can tell.
    glance_trouble: str = ""
    store_trouble: str = ""
    hub_trouble: str = ""
    # Bytes of the RBD image at the store; None: there is no such image yet.
    written: int | None = None
    # False: nobody could look, so that `written` says nothing.
    looked: bool = True
    # The task that does it, or the last that was seen of it; None where Glance does not tell.
    task: ImportTask | None = None
    # False for an import of new data, which is not repeated without whoever asked for it.
    repeated: bool = True

    @property
    def taken_over(self) -> str:
        """What happens when Glance does not get on by itself, for people."""
        then = "starts the copy again then" if self.repeated else "gives the import up then"
        return f"its lock can be taken {self.free_at}, and edgesync {then}"

    @property
    def silent(self) -> bool:
        """True when nobody has updated the task for longer than a living worker that writes would take."""
        return self.task is not None and self.now - self.task.updated_at > SILENCE

    @property
    def free_at(self) -> str:
        """When the lock can be taken, for people."""
        if self.task is None:
            return "after two hours without a change"
        return f"at {self.task.expires_at:%H:%M} UTC"


def diagnose(evidence: Evidence) -> Stall:
    """The first cause, in the order of certainty, that the evidence shows."""
    cause, why, following = _outage(evidence) or _worker(evidence)
    return Stall(since=evidence.since, store=evidence.store, cause=cause, why=why, next=following)


_Answer = tuple[StallCause, str, str]


def _outage(found: Evidence) -> _Answer | None:
    """Something that the import needs does not answer."""
    if found.glance_trouble:
        return (
            StallCause.WORKER_GONE,
            f"Glance does not show the import: {found.glance_trouble}",
            "edgesync goes on looking, and judges the import by what Glance then shows",
        )
    for store, trouble, cause in (
        (found.store, found.store_trouble, StallCause.STORE_DOWN),
        (found.hub, found.hub_trouble, StallCause.HUB_DOWN),
    ):
        if trouble:
            return (
                cause,
                f"{store} does not answer: {trouble}",
                f"Glance goes on by itself once {store} is back; otherwise {found.taken_over}",
            )
    return None


def _worker(found: Evidence) -> _Answer:
    """Everything answers: it is the glance-api that does the import."""
    again = found.taken_over
    if found.task is not None and found.task.status is TaskStatus.PENDING:
        why = "Glance has accepted the import and not begun it: its workers are busy, or were stopped"
        return StallCause.QUEUED, why, f"Glance begins when a worker is free; otherwise {again}"
    if found.task is not None and found.task.status.ended:
        return StallCause.WORKER_GONE, "Glance has ended the import, and its glance-api died holding the lock", again
    if found.looked and found.written is None:
        why = f"nothing has arrived at {found.store}: glance-api is still staging the image, or was stopped"
        return StallCause.STAGING, why, f"the copy goes on when the image is staged; otherwise {again}"
    if found.silent and found.task is not None:
        last = f"{found.task.updated_at:%H:%M} UTC"
        why = f"the glance-api that copies to {found.store} has given no sign since {last}: it was stopped or killed"
        return StallCause.WORKER_GONE, why, again
    if found.written is None:
        why = f"nothing is heard of the copy to {found.store}, and its cluster can't be looked at"
        return StallCause.WRITING, why, f"Glance may still get on; otherwise {again}"
    why = f"the RBD image at {found.store} does not grow beyond {found.written // MIB} MiB, though the site answers"
    return StallCause.WRITING, why, f"Glance may still get on; otherwise {again}"
