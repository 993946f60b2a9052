"""Notices that an import does not get on, and finds out why."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from edgesync.domain.image import Image, ImportTask
from edgesync.domain.job import Attempt, Work
from edgesync.domain.store import StoreId
from edgesync.execute.gauge import Reading
from edgesync.execute.workbench import Workbench
from edgesync.plan.stall import Evidence, diagnose

log = structlog.get_logger(__name__)

# A stalled import is looked into again after so long: the site may have come back, and the cause be another.
LOOK_AGAIN = timedelta(seconds=30)


class StallWatch:
    """For one attempt, from the first look on."""

    def __init__(self, bench: Workbench, attempt: Attempt, *, patience: float) -> None:
        self._bench = bench
        self._attempt = attempt
        self._patience = timedelta(seconds=patience)
        self._moved_at = bench.clock.now()
        self._signs: tuple[object, ...] | None = None
        self._task: ImportTask | None = None
        self._store = attempt.stores[0]
        self._reading = Reading()
        # None: it is not stalled.
        self._looked_at: datetime | None = None

    async def consider(self, image: Image, task: ImportTask | None, store: StoreId | None, reading: Reading) -> None:
        """Compare with the look before. `task` holds the lock; `store` is being written."""
        self._task, self._store, self._reading = task, store or self._store, reading
        if self._moved(image, task, reading):
            self._moved_at = self._bench.clock.now()
            if self._looked_at is not None:
                self._looked_at = None
                self._bench.board.moves(self._attempt)
                log.info("the import gets on again", image=self._attempt.image, store=self._store)
            return
        await self._judge("")

    async def blind(self, trouble: str) -> None:
        """Glance did not show the import."""
        await self._judge(trouble)

    def _moved(self, image: Image, task: ImportTask | None, reading: Reading) -> bool:
        """True when anything differs from the look before; a site that could not be asked tells nothing new."""
        heard = (task.status, task.message, task.updated_at) if task is not None else None
        written = reading.written if reading.looked or self._signs is None else self._signs[-1]
        signs = (image.status, image.stores, image.importing_to, image.failed, heard, written)
        before, self._signs = self._signs, signs
        return signs != before

    async def _judge(self, glance_trouble: str) -> None:
        now = self._bench.clock.now()
        if now - self._moved_at < self._patience:
            return
        if self._looked_at is not None and now - self._looked_at < LOOK_AGAIN:
            return
        news = self._looked_at is None
        stall = diagnose(await self._evidence(glance_trouble))
        self._looked_at = self._bench.clock.now()
        self._bench.board.stall(self._attempt, stall)
        if news:
            await self._bench.recorder.stalled(self._attempt, stall)

    async def _evidence(self, glance_trouble: str) -> Evidence:
        bench, store = self._bench, self._store
        return Evidence(
            now=bench.clock.now(),
            since=self._moved_at,
            store=store,
            hub=bench.hub,
            glance_trouble=glance_trouble,
            store_trouble=await bench.trouble(store),
            hub_trouble="" if store == bench.hub else await bench.trouble(bench.hub),
            written=self._reading.written,
            looked=self._reading.looked,
            task=self._task,
            repeated=self._attempt.work is not Work.IMPORT,
        )
