"""The copy-image engine: asks Glance for an import, finds the task that does it, follows it to its end.

The order of the steps is what makes a crash harmless: the attempt is in the journal before Glance hears of it, the task
id is written as soon as it is known, the outcome is recorded before anything else is told. Whoever finds an open
attempt later can tell from Glance alone whether it was never sent, still runs, or is over.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, CopyResult, Verdict
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    NotFoundError,
    PermanentError,
    RequestError,
    TransientError,
    UnreachableError,
)
from edgesync.execute.preflight import obstacle
from edgesync.execute.progress import being_written
from edgesync.execute.watching import LONGEST_PAUSE, Ending, ImportWatch
from edgesync.execute.workbench import Workbench
from edgesync.plan.verdict import LOOK_AT, everywhere, excused, failed_everywhere, judge, taken_away, to_take_away

# Glance's clock and ours may differ by so much when we ask whether a task can be the one we asked for.
CLOCK_SKEW = timedelta(seconds=30)
# How often an import is asked for again when the answer is lost, and the pause before that, in seconds.
RESENDS = 2
PAUSE = 2.0


class CopyImageEngine:
    """Runs one attempt from its request to its recorded end."""

    def __init__(self, bench: Workbench, watch: ImportWatch) -> None:
        self._bench = bench
        self._watch = watch

    async def begin(self, attempt: Attempt) -> None:
        """Ask for the import of an attempt that the journal has just opened, and follow it."""
        try:
            started = await self._submit(attempt)
            if started is not None:
                await self._see_through(started)
        except NotFoundError:
            await self._bench.gone(attempt)

    async def follow(self, attempt: Attempt) -> None:
        """Take up an attempt that somebody else left behind."""
        try:
            known = attempt if attempt.task is not None else await self._identify(attempt)
            if known is None:
                await self._bench.recorder.never_sent(attempt, "it had not reached Glance")
                return
            await self._bench.recorder.followed(known)
            await self._see_through(known)
        except NotFoundError:
            await self._bench.gone(attempt)

    async def _submit(self, attempt: Attempt) -> Attempt | None:
        """Send the request; None when there is nothing to follow. What came of it is in the journal either way.

        An answer that got lost may mean that the request arrived: then a task shows, and nothing is sent again.
        """
        if why := await obstacle(self._bench, attempt, await self._bench.look(attempt.image)):
            # The plan was made from an older picture; the next one, made from this, does better.
            await self._bench.recorder.never_sent(attempt, why)
            return None
        refusal = await self._send(attempt)
        for _ in range(RESENDS):
            if not isinstance(refusal, TransientError | ConflictError):
                break
            await self._bench.clock.sleep(_patience(refusal))
            if isinstance(refusal, TransientError):
                if known := await self._identify(attempt):
                    await self._bench.recorder.started(known)
                    return known
            elif _overtaken(attempt, await self._bench.look(attempt.image)):
                break
            refusal = await self._send(attempt)
        if refusal is not None:
            await self._refused(attempt, refusal)
            return None
        accepted = await self._holder(attempt)
        await self._bench.recorder.started(accepted)
        return accepted

    async def _send(self, attempt: Attempt) -> EdgesyncError | None:
        """Ask Glance for the import; its refusal, or None when it took the request."""
        try:
            await self._bench.glance.copy_image(attempt.image, attempt.stores, allow_failure=attempt.allow_failure)
        except NotFoundError:
            raise
        except EdgesyncError as refusal:
            return refusal
        return None

    async def _refused(self, attempt: Attempt, refusal: EdgesyncError) -> None:
        """Decide whether a refusal is a failure, or only says that somebody else was faster or nobody was there."""
        if isinstance(refusal, ConflictError | RequestError):
            image = await self._bench.look(attempt.image)
            late = isinstance(refusal, ConflictError) and image.lock is not None
            if late and not await self._bench.locked(image):
                self._bench.locks.refused(image, self._bench.clock.now())
                why = "Glance keeps a lock that should have expired: its clock and edgesync's differ (edgesync doctor)"
                await self._bench.recorder.never_sent(attempt, why)
                return
            if _overtaken(attempt, image):
                await self._bench.recorder.overtaken(attempt, refusal.message)
                return
        if isinstance(refusal, UnreachableError):
            # Glance connects to the stores before it answers: the one that is dead may be the store.
            verdict = everywhere(attempt.stores, CopyResult.INTERRUPTED, refusal.message)
            await self._bench.recorder.finished(attempt, verdict)
            if len(attempt.stores) == 1:
                self._bench.sites.outcome(attempt.stores[0], good=False, cause=refusal.message)
            return
        await self._bench.recorder.finished(
            attempt,
            failed_everywhere(attempt.stores, refusal.message),
            remedy=refusal.remedy,
            hopeless=isinstance(refusal, PermanentError),
        )

    async def _holder(self, attempt: Attempt) -> Attempt:
        """The attempt that Glance has just accepted, with its task: the lock is set before the 202 goes out."""
        image = await self._bench.look(attempt.image)
        if image.lock is not None:
            return replace(attempt, task=image.lock)
        return await self._identify(attempt) or attempt

    async def _identify(self, attempt: Attempt) -> Attempt | None:
        """Find the task that does this attempt: the holder of the lock, or a task that ended already."""
        image = await self._bench.look(attempt.image)
        tasks = await self._bench.glance.tasks(attempt.image)
        oldest = attempt.started_at - CLOCK_SKEW
        ours = [task.id for task in tasks if set(task.stores) == set(attempt.stores) and task.created_at >= oldest]
        if image.lock in ours:
            return replace(attempt, task=image.lock)
        return replace(attempt, task=ours[0]) if ours else None

    async def _see_through(self, attempt: Attempt) -> None:
        """Watch the import to its end, and record that."""
        ending = await self._watch.until_over(attempt)
        verdict = await self._settled(attempt, ending)
        self._bench.board.clear(attempt)
        await self._bench.recorder.finished(attempt, verdict, remedy=LOOK_AT.format(image=attempt.image))
        await self._bench.report(attempt, verdict)
        writing = being_written(attempt, ending.image)
        if ending.cut and writing is not None and writing not in self._bench.clusters:
            # Where nobody can look, a store that made an import hang must not have the next one at once.
            self._bench.sites.outcome(writing, good=False, cause=ending.cut)

    async def _settled(self, attempt: Attempt, ending: Ending) -> Verdict:
        """The verdict, with copies taken away that must not stay. Doing it again after a crash does no harm."""
        verdict = judge(attempt, ending.image, ending.task, cut=ending.cut)
        verdict = excused(attempt, verdict, await self._bench.outages(verdict))
        extra = [store for store in to_take_away(attempt, verdict) if store not in ending.theirs]
        if extra:
            gone = [store for store in extra if await self._bench.take_away(attempt, store)]
            verdict = taken_away(verdict, gone)
            await self._bench.look(attempt.image)
        return verdict


def _patience(refusal: EdgesyncError) -> float:
    """Seconds until the next try; a server that asks for more gets it through the backoff."""
    asked = refusal.retry_after if isinstance(refusal, TransientError) else None
    return min(asked or PAUSE, LONGEST_PAUSE)


def _overtaken(attempt: Attempt, image: Image) -> bool:
    """True when Glance's refusal is no wonder: somebody else has changed the image, or holds it."""
    return image.moving or not image.active or bool(image.stores.intersection(attempt.stores))
