"""Requests to cancel a job: what has not begun is cancelled; what Glance already runs can't be stopped by anybody."""

from __future__ import annotations

import structlog

from edgesync.daemon.desk import Desk
from edgesync.domain.job import Job, JobId
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError
from edgesync.expose.requests import Taken

log = structlog.get_logger(__name__)


class Cancelling:
    """Takes requests to cancel a job."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def cancel(self, job_id: JobId, by: str) -> Taken:
        """Cancel what has not begun, and any further try of what has; the answer says which is which."""
        before = await self._desk.journal.job(job_id)
        if before.state.ended:
            raise ConflictError(f"job {job_id} has ended already: {before.state}", remedy="edgesync history tells how")
        job = await self._desk.journal.cancel(job_id, at=self._desk.clock.now())
        self._desk.on_change()
        running = sorted(job.pending)
        log.info("job cancelled", job=job_id, by=by, stopped=sorted(before.pending - job.pending), running=running)
        return Taken(jobs=(job,), notes=(_goes_on(job, running),) if running else ())


def _goes_on(job: Job, running: list[StoreId]) -> str:
    stores = ", ".join(running)
    if job.work.brings:
        return f"Glance already writes the image to {stores}, which can't be stopped; it is not tried again, though"
    return f"the {job.work} at {stores} is under way already; it is not tried again, though"
