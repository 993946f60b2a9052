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
from edgesync.domain.store import StoreId
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
# How often an import is asked for again when the answer is lost, and the pause before that, in seconds.
RESENDS = 2
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
        """Send the request; None when there is nothing to follow. What came of it is in the journal either way.

        An answer that got lost may mean that the request arrived: then a task shows, and nothing is sent again.
        """
        if _overtaken(attempt, await self._look(attempt.image)):
            # The plan was made from an older picture; the next one, made from this, does better.
            await self._recorder.never_sent(attempt, "the image had changed since it was listed")
            return None
        refusal = await self._send(attempt)
        for _ in range(RESENDS):
            if not isinstance(refusal, TransientError | ConflictError):
                break
            await self._clock.sleep(_patience(refusal))
            if isinstance(refusal, TransientError):
                if known := await self._identify(attempt):
                    await self._recorder.started(known)
                    return known
            elif _overtaken(attempt, await self._look(attempt.image)):
                break
            refusal = await self._send(attempt)
        if refusal is not None:
            await self._refused(attempt, refusal)
            return None
        accepted = await self._holder(attempt)
        await self._recorder.started(accepted)
        return accepted

    async def _send(self, attempt: Attempt) -> EdgesyncError | None:
        """Ask Glance for the import; its refusal, or None when it took the request."""
        try:
            await self._glance.copy_image(attempt.image, attempt.stores, allow_failure=attempt.allow_failure)
        except NotFoundError:
            raise
        except EdgesyncError as refusal:
            return refusal
        return None

    async def _refused(self, attempt: Attempt, refusal: EdgesyncError) -> None:
        """Decide whether a refusal is a failure, or only says that somebody else was faster."""
        rivalry = isinstance(refusal, ConflictError | RequestError)
        if rivalry and _overtaken(attempt, await self._look(attempt.image)):
            await self._recorder.overtaken(attempt, refusal.message)
            return
        await self._recorder.finished(
            attempt,
            failed_everywhere(attempt.stores, refusal.message),
            remedy=refusal.remedy,
            hopeless=isinstance(refusal, PermanentError),
        )

    async def _holder(self, attempt: Attempt) -> Attempt:
        """The attempt that Glance has just accepted, with its task: the lock is set before the 202 goes out."""
        image = await self._look(attempt.image)
        if image.lock is not None:
            return replace(attempt, task=image.lock)
        return await self._identify(attempt) or attempt

    async def _identify(self, attempt: Attempt) -> Attempt | None:
        """Find the task that does this attempt: the holder of the lock, or a task that ended already."""
        image = await self._look(attempt.image)
        tasks = await self._glance.tasks(attempt.image)
        oldest = attempt.started_at - CLOCK_SKEW
        ours = [task.id for task in tasks if set(task.stores) == set(attempt.stores) and task.created_at >= oldest]
        if image.lock in ours:
            return replace(attempt, task=image.lock)
        return replace(attempt, task=ours[0]) if ours else None

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
        if extra:
            verdict = taken_away(verdict, [store for store in extra if await self._take_away(attempt, store)])
            await self._look(attempt.image)
        self._board.clear(attempt)
        await self._recorder.finished(attempt, verdict, remedy=LOOK_AT.format(image=attempt.image))

    async def _take_away(self, attempt: Attempt, store: StoreId) -> bool:
        """Delete one copy; False when it has to stay. Raises what may pass: the attempt is taken up again then."""
        try:
            await self._glance.delete_from_store(attempt.image, store)
        except NotFoundError:
            # Somebody was faster; or it is the image that is gone, and then this raises.
            await self._look(attempt.image)
        except (ConflictError, PermanentError) as refusal:
            log.warning("copy stays", image=attempt.image, store=store, why=refusal.message, remedy=refusal.remedy)
            return False
        return True

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


def _patience(refusal: EdgesyncError) -> float:
    """Seconds until the next try; a server that asks for more gets it through the backoff."""
    asked = refusal.retry_after if isinstance(refusal, TransientError) else None
    return min(asked or PAUSE, LONGEST_PAUSE)


def _overtaken(attempt: Attempt, image: Image) -> bool:
    """True when this import must not be asked for any more."""
    return image.moving or not image.active or bool(image.stores.intersection(attempt.stores))
