"""The copy-image engine: asks Glance for an import, finds the task that does it, follows it to its end.

The order of the steps is what makes a crash harmless: the attempt is in the journal before Glance hears of it, the task
id is written as soon as it is known, the outcome is recorded before anything else is told. Whoever finds an open
attempt later can tell from Glance alone whether it was never sent, still runs, or is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.job import Attempt
from edgesync.domain.ports import Clock, Glance
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    NotFoundError,
    PermanentError,
    RequestError,
    TransientError,
)
from edgesync.execute.progress import ProgressBoard
from edgesync.execute.record import Recorder
from edgesync.plan.verdict import LOOK_AT, failed_everywhere, judge, taken_away, to_take_away

log = structlog.get_logger(__name__)

# Glance's clock and ours may differ by so much when we ask whether a task can be the one we asked for.
CLOCK_SKEW = timedelta(seconds=30)
# How often an import is asked for when the answer is lost, and the pause before the next try, in seconds.
SUBMISSIONS = 3
PAUSE = 2.0
# The longest pause between two looks at a running import while Glance does not answer, in seconds.
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sightings:
    """Where the engine reports the images it looks at, so that the next plan knows them."""

    saw: Callable[[Image], None]
    lost: Callable[[ImageId], None]


class CopyImageEngine:
    """Runs one attempt from its request to its recorded end."""

    def __init__(
        self,
        glance: Glance,
        recorder: Recorder,
        clock: Clock,
        board: ProgressBoard,
        sightings: Sightings,
        *,
        poll: float,
    ) -> None:
        self._glance = glance
        self._recorder = recorder
        self._clock = clock
        self._board = board
        self._sightings = sightings
        self._poll = poll

    async def copy(self, attempt: Attempt) -> None:
        """Ask for the import of an attempt that the journal has just opened, and follow it."""
        try:
            started = await self._submit(attempt)
            if started is not None:
                await self._watch(started)
        except NotFoundError:
            await self._gone(attempt)

    async def follow(self, attempt: Attempt) -> None:
        """Take up an attempt that somebody else left behind."""
        try:
            known = attempt if attempt.task is not None else await self._identify(attempt)
            if known is None:
                await self._recorder.never_sent(attempt, "it had not reached Glance")
                return
            await self._recorder.followed(known)
            await self._watch(known)
        except NotFoundError:
            await self._gone(attempt)

    async def _submit(self, attempt: Attempt) -> Attempt | None:
        """Send the request; None when there is nothing to follow. What came of it is in the journal either way."""
        image = await self._look(attempt.image)
        if _overtaken(attempt, image):
            # The plan was made from an older picture; the next one, made from this, does better.
            await self._recorder.never_sent(attempt, "the image had changed since it was listed")
            return None
        try:
            known = await self._ask(attempt)
        except NotFoundError:
            raise
        except ConflictError as refusal:
            # A rival was faster. Its import shows as the lock, and the plan waits for that.
            await self._recorder.overtaken(attempt, refusal.message)
            await self._look(attempt.image)
            await self._clock.sleep(PAUSE)
        except RequestError as refusal:
            if _overtaken(attempt, await self._look(attempt.image)):
                await self._recorder.overtaken(attempt, refusal.message)
            else:
                await self._refused(attempt, refusal, hopeless=True)
        except PermanentError as refusal:
            await self._refused(attempt, refusal, hopeless=True)
        except TransientError as trouble:
            await self._refused(attempt, trouble, hopeless=False)
        else:
            await self._recorder.started(known)
            return known
        return None

    async def _ask(self, attempt: Attempt) -> Attempt:
        """Ask until it is certain that Glance has the request, or that it won't take it."""
        lost: TransientError | None = None
        for _ in range(SUBMISSIONS):
            try:
                await self._glance.copy_image(attempt.image, attempt.stores, allow_failure=attempt.allow_failure)
            except TransientError as error:
                # Nobody knows whether the request arrived: if it did, a task shows.
                lost = error
                await self._clock.sleep(error.retry_after or PAUSE)
            except ConflictError:
                if lost is None:
                    raise
            else:
                return await self._identify(attempt) or attempt
            if known := await self._identify(attempt):
                return known
        raise lost or ConflictError("another import holds the image")

    async def _identify(self, attempt: Attempt) -> Attempt | None:
        """Find the task that does this attempt: the holder of the lock, or a task that ended already."""
        image = await self._look(attempt.image)
        tasks = await self._glance.tasks(attempt.image)
        oldest = attempt.started_at - CLOCK_SKEW
        ours = [task for task in tasks if set(task.stores) == set(attempt.stores) and task.created_at >= oldest]
        if image.lock is not None and (not tasks or any(task.id == image.lock for task in ours)):
            return replace(attempt, task=image.lock)
        return replace(attempt, task=ours[0].id) if ours else None

    async def _watch(self, attempt: Attempt) -> None:
        """Look at the import until its lock is gone; then what the stores say is the outcome."""
        pause = self._poll
        while True:
            try:
                image = await self._look(attempt.image)
                task = await self._task(attempt)
            except TransientError as trouble:
                pause = min(2 * pause, LONGEST_PAUSE)
                log.warning("cannot see the import", image=attempt.image, trouble=trouble.message, next_look=pause)
                await self._clock.sleep(pause)
                continue
            if attempt.task is None or image.lock != attempt.task:
                break
            pause = self._poll
            self._board.update(attempt, image, task, self._clock.now())
            await self._clock.sleep(pause)
        await self._conclude(attempt, image, task)

    async def _conclude(self, attempt: Attempt, image: Image, task: ImportTask | None) -> None:
        verdict = judge(attempt, image, task)
        extra = to_take_away(attempt, verdict)
        for store in extra:
            await self._glance.delete_from_store(attempt.image, store)
        if extra:
            await self._look(attempt.image)
            verdict = taken_away(verdict, extra)
        self._board.clear(attempt)
        await self._recorder.finished(attempt, verdict, remedy=LOOK_AT.format(image=attempt.image))

    async def _refused(self, attempt: Attempt, error: EdgesyncError, *, hopeless: bool) -> None:
        verdict = failed_everywhere(attempt.stores, error.message)
        await self._recorder.finished(attempt, verdict, remedy=error.remedy, hopeless=hopeless)

    async def _gone(self, attempt: Attempt) -> None:
        self._board.clear(attempt)
        self._sightings.lost(attempt.image)
        await self._recorder.image_gone(attempt)

    async def _look(self, image_id: ImageId) -> Image:
        image = await self._glance.image(image_id)
        self._sightings.saw(image)
        return image

    async def _task(self, attempt: Attempt) -> ImportTask | None:
        tasks = await self._glance.tasks(attempt.image)
        return next((task for task in tasks if task.id == attempt.task), None)


def _overtaken(attempt: Attempt, image: Image) -> bool:
    """True when this import must not be asked for any more."""
    return image.moving or not image.active or bool(image.stores.intersection(attempt.stores))
