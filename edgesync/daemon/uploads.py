"""Files on their way through the daemon into Glance: an attempt is open and followed for as long as one takes."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass

from edgesync.domain.action import Start
from edgesync.domain.job import Job
from edgesync.domain.store import StoreId
from edgesync.execute.importing import ImportEngine
from edgesync.execute.record import Recorder
from edgesync.execute.runner import Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploads:
    """Implements `edgesync.daemon.imports.Importer`."""

    recorder: Recorder
    runner: Runner
    engine: ImportEngine

    async def stage(self, job: Job, data: AsyncIterable[bytes]) -> None:
        """Pass a file on to Glance's staging area, and leave the import to the runner."""
        action = Start(
            image=job.image,
            stores=_first_stores(job),
            allow_failure=job.allow_failure,
            job=job.id,
            origin=job.origin,
            requested_by=job.requested_by,
            priority=job.priority,
            why="its data is being sent",
            work=job.work,
        )
        with self.runner.holding(job.image):
            attempt = await self.recorder.open(action, None)
            await self.engine.stage(attempt, data)
        # Nothing may come between: an attempt that nobody follows looks like one that a dead daemon left behind.
        self.runner.follow(attempt)


def _first_stores(job: Job) -> tuple[StoreId, ...]:
    """The hub alone, which comes first in every import; the other stores get their copies from there.

    All or nothing is one import into all stores: Glance takes it back as a whole.
    """
    stores = tuple(entry.store for entry in job.stores)
    return stores[:1] if job.allow_failure else stores
