"""Runs attempts as tasks, one per image, and survives whatever one of them raises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, AttemptId
from edgesync.domain.job import Engine as MovedBy
from edgesync.domain.ports import Clock
from edgesync.errors import EdgesyncError, TransientError
from edgesync.execute.wording import what_is_done

log = structlog.get_logger(__name__)

# An attempt whose task broke off stays open in the journal; it is taken up again after so many seconds, where time
# alone won't mend it twice as many each time, up to the longest.
REST, LONGEST_REST = 30.0, 120.0
# One that has been taken up in vain so often is somebody's business.
TRIES = 20
# Seconds for the tasks to end when the daemon stops. What has not ended by then is taken up by the next daemon.
FAREWELL = 10.0


class Engine(Protocol):
    """Does one kind of work. Both methods return when the outcome is recorded, or the attempt dropped."""

    async def begin(self, attempt: Attempt) -> None:
        """Do what the journal has just opened an attempt for."""
        ...

    async def follow(self, attempt: Attempt) -> None:
        """Take up an attempt that somebody else left behind, at whatever point that was."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class HandedOver:
    """What goes on, or waits, after this daemon: the next one takes it up."""

    # Imports that Glance goes on with by itself.
    imports: int = 0
    # Copies of edgesync's own, which stand still until then; what has arrived is not sent again.
    copies: int = 0
    # Removals and repairs that stand still until then.
    others: int = 0
    # Files that were coming in, and of which nothing is kept.
    files: int = 0

    @property
    def sentence(self) -> str:
        """For people; empty when nothing is left."""
        parts = []
        if self.imports:
            goes = "import goes" if self.imports == 1 else "imports go"
            parts.append(f"{self.imports} {goes} on in Glance, to be followed at the next start")
        if self.copies:
            own = "copy of edgesync's own is" if self.copies == 1 else "copies of edgesync's own are"
            parts.append(f"{self.copies} {own} gone on with at the next start, and nothing is sent twice")
        if self.others:
            rests = "removal or repair is" if self.others == 1 else "removals or repairs are"
            parts.append(f"{self.others} {rests} taken up again at the next start")
        if self.files:
            was = "file that was coming in is" if self.files == 1 else "files that were coming in are"
            parts.append(f"{self.files} {was} to be sent again")
        return "; ".join(parts)


class Runner:
    """The tasks of this process. The journal, not this, says what is open."""

    def __init__(
        self,
        engine: Callable[[Attempt], Engine],
        clock: Clock,
        *,
        on_end: Callable[[], None],
        on_stuck: Callable[[Attempt, EdgesyncError], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._on_end = on_end
        # Told when an attempt does not come to its end however often it is tried.
        self._on_stuck = on_stuck
        self._tasks: dict[AttemptId, asyncio.Task[None]] = {}
        self._attempts: dict[AttemptId, Attempt] = {}
        # Whoever works on an image without a task of ours.
        self._holders: dict[ImageId, asyncio.Task[Any]] = {}
        # How often the task of an open attempt has broken off.
        self._breaks: dict[AttemptId, int] = {}

    @property
    def images(self) -> frozenset[ImageId]:
        """Those being worked on: their open attempts are nobody else's to take up."""
        return frozenset(attempt.image for attempt in self._attempts.values()) | self._holders.keys()

    def begin(self, attempt: Attempt) -> None:
        self._start(attempt, self._engine(attempt).begin)

    def follow(self, attempt: Attempt) -> None:
        self._start(attempt, self._engine(attempt).follow)

    @contextmanager
    def holding(self, image: ImageId) -> Iterator[None]:
        """Count an image as worked on while somebody else does: a file that is being received for it.

        Begin before its attempt is opened: one in the journal that nobody works on looks like one left behind. The task
        that holds it is cancelled when the daemon stops.
        """
        holder = asyncio.current_task()
        if holder is None:
            raise RuntimeError("only a task can hold an image")
        self._holders[image] = holder
        try:
            yield
        finally:
            del self._holders[image]
            self._on_end()

    async def stop(self) -> HandedOver:
        """Stop watching and taking files in, within a bound; what Glance copies goes on there. Says what is left."""
        left = [self._attempts[attempt] for attempt in self._tasks]
        files = len(self._holders)
        tasks = [*self._tasks.values(), *self._holders.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=FAREWELL)
            for task in late:
                log.warning("does not stop; left to the next daemon", task=task.get_name(), waited=FAREWELL)
        brought = [attempt for attempt in left if attempt.work.brings]
        copies = sum(attempt.engine is MovedBy.RBD for attempt in brought)
        return HandedOver(imports=len(brought) - copies, copies=copies, others=len(left) - len(brought), files=files)

    def _start(self, attempt: Attempt, run: Callable[[Attempt], Awaitable[None]]) -> None:
        self._attempts[attempt.id] = attempt
        name = f"{what_is_done(attempt)} {attempt.image}"
        task = asyncio.create_task(self._guarded(attempt, run), name=name)
        self._tasks[attempt.id] = task
        task.add_done_callback(lambda _: self._forget(attempt.id))

    async def _guarded(self, attempt: Attempt, run: Callable[[Attempt], Awaitable[None]]) -> None:
        what = what_is_done(attempt)
        with structlog.contextvars.bound_contextvars(job=attempt.job, image=attempt.image):
            try:
                await run(attempt)
            except EdgesyncError as error:
                longer = self._rest(attempt.id)
                rest = REST if isinstance(error, TransientError) else longer
                log.warning(f"{what} interrupted", why=error.message, remedy=error.remedy, again_in=rest)
                if self._breaks[attempt.id] >= TRIES:
                    await self._give_up(attempt, error)
                await self._clock.sleep(rest)
            except Exception:
                # One bad image must not stop the others; its attempt stays open and is taken up again.
                rest = self._rest(attempt.id)
                log.exception(f"{what} broke off", again_in=rest)
                await self._clock.sleep(rest)
            else:
                self._breaks.pop(attempt.id, None)

    async def _give_up(self, attempt: Attempt, error: EdgesyncError) -> None:
        try:
            await self._on_stuck(attempt, error)
        except EdgesyncError as trouble:
            # The journal's: the attempt is as open as before.
            log.warning("can't be recorded", job=attempt.job, why=trouble.message, remedy=trouble.remedy)
        else:
            self._breaks.pop(attempt.id, None)

    def _rest(self, attempt: AttemptId) -> float:
        self._breaks[attempt] = self._breaks.get(attempt, 0) + 1
        return float(min(LONGEST_REST, REST * 2 ** min(self._breaks[attempt] - 1, 10)))

    def _forget(self, attempt: AttemptId) -> None:
        self._tasks.pop(attempt, None)
        self._attempts.pop(attempt, None)
        self._on_end()
