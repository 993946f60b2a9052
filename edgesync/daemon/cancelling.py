"""Requests to cancel a job: what has not begun is cancelled; what Glance already runs can't be stopped by anybody."""

from __future__ import annotations

from edgesync.daemon.desk import Desk
from edgesync.domain.job import Event, EventKind, Job, JobId
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError
from edgesync.expose.requests import Taken


class Cancelling:
    """Takes requests to cancel a job."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def cancel(self, job_id: JobId, by: str) -> Taken:
        """Cancel what has not begun; ConflictError when that is nothing."""
        before = await self._desk.journal.job(job_id)
        if before.state.ended:
            raise ConflictError(f"job {job_id} has ended already: {before.state}", remedy="edgesync history tells how")
        now = self._desk.clock.now()
        job = await self._desk.journal.cancel(job_id, at=now)
        self._desk.on_change()
        stopped = sorted(before.pending - job.pending)
        running = sorted(job.pending)
        if not stopped and running:
            raise ConflictError(
                f"nothing of job {job_id} was cancelled: {_goes_on(job, running)}",
                remedy="wait for its end: edgesync status",
            )
        event = Event(
            at=now,
            kind=EventKind.JOB_CANCELLED,
            message=f"{by} cancelled the {job.work} of {job.image_name or job.image} at {', '.join(stopped)}",
            image=job.image,
            job=job.id,
        )
        await self._desk.journal.add_events([event])
        return Taken(jobs=(job,), notes=(_goes_on(job, running),) if running else ())


def _goes_on(job: Job, running: list[StoreId]) -> str:
    stores = ", ".join(running)
    if job.work.brings:
        return f"Glance already writes the image to {stores}, which can't be stopped"
    return f"the {job.work} at {stores} is under way already"
