"""Looks at one running import until it is over, shows how far it is, and notices when it does not get on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from edgesync.domain.image import Image, ImportTask, TaskStatus
from edgesync.domain.job import Attempt, Work
from edgesync.domain.store import StoreId
from edgesync.errors import TransientError
from edgesync.execute.gauge import Gauge
from edgesync.execute.progress import being_written
from edgesync.execute.stalls import StallWatch
from edgesync.execute.workbench import Workbench
from edgesync.plan.locks import expired

log = structlog.get_logger(__name__)

# The longest pause between two looks at a running import while Glance does not answer, in seconds.
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """The last look at an import."""

    image: Image
    task: ImportTask | None
    # Why nobody waits for its end any more; empty: Glance has ended it.
    cut: str = ""
    # Stores that had the data at any time: what Glance takes back again does not show in the image.
    reached: frozenset[StoreId] = frozenset()
    # Stores that somebody else's import has named since: a copy there may be theirs.
    theirs: frozenset[StoreId] = frozenset()


class ImportWatch:
    """How imports are watched, at the bench's pace."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    async def until_over(self, attempt: Attempt) -> Ending:
        """Return when the import's lock is gone, has expired or means nothing; NotFoundError when the image is gone."""
        bench = self._bench
        gauge = Gauge(bench, attempt)
        stalls = StallWatch(bench, attempt, patience=self._bench.tuning.stall_after)
        pause = self._bench.tuning.poll
        reached: frozenset[StoreId] = frozenset()
        while True:
            try:
                image = await bench.look(attempt.image)
                tasks = await bench.glance.tasks(attempt.image)
                ending = self._ending(attempt, image, tasks)
                if ending is not None and image.lock == attempt.task:
                    # Its task ended or expired after the image was seen: look at what it had done by then.
                    ending = self._ending(attempt, await bench.look(attempt.image), tasks)
            except TransientError as trouble:
                pause = min(2 * pause, LONGEST_PAUSE)
                log.warning("cannot see the import", image=attempt.image, trouble=trouble.message, next_look=pause)
                await stalls.blind(trouble.message)
                await bench.clock.sleep(pause)
                continue
            reached |= image.stores
            if ending is not None:
                return replace(ending, reached=reached | ending.image.stores)
            writing = being_written(attempt, image)
            reading = await gauge.read(writing)
            bench.board.update(attempt, image, _own(attempt, tasks), bench.clock.now(), measured=reading.written)
            await stalls.consider(image, bench.locks.holder(image, tasks, bench.clock.now()), writing, reading)
            pause = self._bench.tuning.poll
            await bench.clock.sleep(pause)

    def _ending(self, attempt: Attempt, image: Image, tasks: Sequence[ImportTask]) -> Ending | None:
        """How the import has ended; None while it goes on."""
        task = _own(attempt, tasks)
        if attempt.task is None or image.lock != attempt.task:
            return Ending(image=image, task=task, theirs=_theirs(attempt, task, tasks))
        if attempt.work is Work.IMPORT and _in_vain(image, task):
            return Ending(image=image, task=task)
        now = self._bench.clock.now()
        holder = self._bench.locks.holder(image, tasks, now)
        if holder is not None and expired(holder, now):
            return Ending(image=image, task=task, cut=_expired(holder.updated_at))
        return None


def _own(attempt: Attempt, tasks: Sequence[ImportTask]) -> ImportTask | None:
    return next((task for task in tasks if task.id == attempt.task), None)


def _theirs(attempt: Attempt, ours: ImportTask | None, tasks: Sequence[ImportTask]) -> frozenset[StoreId]:
    """Glance takes no import for a store that has the data: one that came after ours found none of ours there."""
    if ours is None:
        return frozenset()
    later = [task for task in tasks if task.id != ours.id and task.created_at >= ours.created_at]
    return frozenset(store for task in later for store in task.stores if store in attempt.stores)


def _in_vain(image: Image, task: ImportTask | None) -> bool:
    """True for a web-download that is over and reached no store: Glance keeps its lock for an hour (tried)."""
    return task is not None and task.status is TaskStatus.FAILURE and not image.stores


def _expired(last: datetime) -> str:
    return f"its glance-api has given no sign since {last:%Y-%m-%d %H:%M} UTC, and its lock has expired"
