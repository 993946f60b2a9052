"""Runs attempts as tasks, one per image, and survives whatever one of them raises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, AttemptId
from edgesync.domain.ports import Clock
from edgesync.errors import EdgesyncError, TransientError
from edgesync.execute.copy_image import CopyImageEngine

log = structlog.get_logger(__name__)

# An attempt whose task broke off stays open in the journal; it is taken up again after so many seconds, where time
# alone won't mend it twice as many each time, up to the longest.
REST, LONGEST_REST = 30.0, 120.0


class Runner:
    """The tasks of this process. The journal, not this, says what is open."""

    def __init__(self, engine: CopyImageEngine, clock: Clock, *, on_end: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._on_end = on_end
        self._tasks: dict[AttemptId, asyncio.Task[None]] = {}
        self._images: dict[AttemptId, ImageId] = {}
        # How often the task of an open attempt has broken off.
        self._breaks: dict[AttemptId, int] = {}

    @property
    def followed(self) -> frozenset[AttemptId]:
        return frozenset(self._tasks)

    @property
    def images(self) -> frozenset[ImageId]:
        return frozenset(self._images.values())

    def copy(self, attempt: Attempt) -> None:
        self._start(attempt, self._engine.copy)

    def follow(self, attempt: Attempt) -> None:
        self._start(attempt, self._engine.follow)

    async def stop(self) -> int:
        """Stop watching; what Glance copies goes on there. Returns how many imports are left running."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(tasks)

    def _start(self, attempt: Attempt, run: Callable[[Attempt], Awaitable[None]]) -> None:
        self._images[attempt.id] = attempt.image
        task = asyncio.create_task(self._guarded(attempt, run), name=f"copy {attempt.image}")
        self._tasks[attempt.id] = task
        task.add_done_callback(lambda _: self._forget(attempt.id))

    async def _guarded(self, attempt: Attempt, run: Callable[[Attempt], Awaitable[None]]) -> None:
        with structlog.contextvars.bound_contextvars(job=attempt.job, image=attempt.image):
            try:
                await run(attempt)
            except EdgesyncError as error:
                rest = REST if isinstance(error, TransientError) else self._rest(attempt.id)
                log.warning("copy interrupted", why=error.message, remedy=error.remedy, again_in=rest)
                await self._clock.sleep(rest)
            except Exception:
                # One bad image must not stop the others; its attempt stays open and is taken up again.
                rest = self._rest(attempt.id)
                log.exception("copy broke off", again_in=rest)
                await self._clock.sleep(rest)
            else:
                self._breaks.pop(attempt.id, None)

    def _rest(self, attempt: AttemptId) -> float:
        self._breaks[attempt] = self._breaks.get(attempt, 0) + 1
        return float(min(LONGEST_REST, REST * 2 ** min(self._breaks[attempt] - 1, 10)))

    def _forget(self, attempt: AttemptId) -> None:
        self._tasks.pop(attempt, None)
        self._images.pop(attempt, None)
        self._on_end()
