"""Requests to cancel a job: what has not begun is cancelled, and what edgesync copies itself is stopped.

What Glance already runs can't be stopped by anybody.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edgesync.daemon.desk import Desk
from edgesync.domain.job import Engine, Job, JobId
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.errors import ConflictError
from edgesync.expose.requests import Taken

# Ends what edgesync itself copies for a job, with this reason; where to.
Halt = Callable[[JobId, str], frozenset[StoreId]]

log = structlog.get_logger(__name__)


class Cancelling:
    """Takes requests to cancel a job."""

    def __init__(self, desk: Desk, halt: Halt) -> None:
        self._desk = desk
        self._halt = halt

    async def cancel(self, job_id: JobId, by: str) -> Taken:
        """Cancel what has not begun, and any further try of what has; the answer says which is which."""
        before = await self._desk.journal.job(job_id)
        if before.state.ended:
            raise ConflictError(f"job {job_id} has ended already: {before.state}", remedy="edgesync history tells how")
        job = await self._desk.journal.cancel(job_id, by=by, at=self._desk.clock.now())
        self._desk.on_change()
        ledger = await self._desk.journal.ledger()
        shared = _shared(job, ledger)
        halted = frozenset() if shared else self._halt(job_id, f"cancelled by {by}")
        stopped, running = sorted(halted & job.pending), sorted(job.pending - halted)
        log.info("job cancelled", job=job_id, by=by, stopping=stopped, running=running)
        notes = [_is_stopped(stopped)] if stopped else []
        if running:
            moved = any(attempt.image == job.image and attempt.engine is Engine.RBD for attempt in ledger.attempts)
            notes.append(_goes_on(job, running, shared=shared, ours=moved))
        return Taken(jobs=(job,), notes=tuple(notes))


def _shared(job: Job, ledger: Ledger) -> bool:
    """Whether another job waits for what is being done for this one."""
    others = (other for other in ledger.jobs if other.id != job.id)
    return any(other.image == job.image and other.pending & job.pending for other in others)


def _is_stopped(stores: list[StoreId]) -> str:
    return (
        f"the copy to {', '.join(stores)} is stopped; what was sent goes into RBD's trash there, unless a policy wants "
        "the copy and goes on with it"
    )


def _goes_on(job: Job, running: list[StoreId], *, shared: bool, ours: bool) -> str:
    """`ours`: it is edgesync itself that copies."""
    stores = ", ".join(running)
    if shared:
        return f"somebody else waits for the {job.work} at {stores} too, so it goes on"
    if job.work.brings and ours:
        return f"the copy to {stores} is being registered with Glance, which is not broken off; it is not tried again"
    if job.work.brings:
        return f"Glance already writes the image to {stores}, which can't be stopped; it is not tried again, though"
    return f"the {job.work} at {stores} is under way already; it is not tried again, though"
