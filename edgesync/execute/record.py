"""Writes down what happens to jobs and attempts.

The journal ends a transaction that was begun even if whoever wanted it is cancelled: an outcome can't get lost.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import structlog

from edgesync.domain.action import SettleJob, Start
from edgesync.domain.copy import Failure, Stall, StallCause
from edgesync.domain.image import Image
from edgesync.domain.job import (
    Attempt,
    AttemptId,
    CopyResult,
    EngineChoice,
    Event,
    EventKind,
    Job,
    JobId,
    JobState,
    Origin,
    StoreResult,
    Verdict,
    Work,
)
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.store import StoreId
from edgesync.execute.tuning import Tuning
from edgesync.execute.wording import (
    beginning,
    result_event,
    stall_event,
    taking_up,
    verification_event,
    what_is_done,
)
from edgesync.plan.retry import remember
from edgesync.plan.verdict import failed_everywhere

log = structlog.get_logger(__name__)

T = TypeVar("T")
NO_REST = timedelta()


def new_id() -> str:
    """A short random id: people type job ids."""
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorder:
    """The executor's pen."""

    journal: Journal
    clock: Clock
    tuning: Tuning
    # Told of every attempt's results, with the seconds it took.
    on_result: Callable[[Attempt, StoreResult, float], None]
    # Told when the journal changed, so that the next plan reads it again.
    on_change: Callable[[], None]
    # Told when an import ceases to get on.
    on_stall: Callable[[StoreId, StallCause], None] = lambda *_: None

    async def open(self, action: Start, image: Image | None) -> Attempt:
        """Write down that something is about to be done; ConflictError when an attempt at the image is open.

        `image` is None where Glance has none of that id: one to be imported, a leftover of one that is gone.
        """
        now = self.clock.now()
        job = None if action.job is not None else self._own_job(action, image)
        attempt = Attempt(
            id=AttemptId(new_id()),
            job=action.job or (job.id if job else JobId("")),
            image=action.image,
            stores=action.stores,
            allow_failure=action.allow_failure,
            started_at=now,
            work=action.work,
            engine=action.engine,
        )
        await self._write(self.journal.start_attempt(attempt, job=job))
        return attempt

    async def job(self, attempt: Attempt) -> Job:
        """The job that leads."""
        return await self.journal.job(attempt.job)

    async def started(self, attempt: Attempt) -> None:
        if attempt.task is not None:
            await self._write(self.journal.attach_task(attempt.id, attempt.task))
        await self._tell(attempt, EventKind.COPY_STARTED, beginning(attempt))

    async def planned(self, attempt: Attempt, store: StoreId, way: str) -> None:
        """How a copy is made at one store."""
        event = Event(
            at=self.clock.now(),
            kind=EventKind.COPY_PLANNED,
            message=way,
            image=attempt.image,
            store=store,
            job=attempt.job,
        )
        await self._write(self.journal.add_events([event]))
        log.info(way, image=attempt.image, store=store, job=attempt.job)

    async def followed(self, attempt: Attempt) -> None:
        """An import that a former daemon started is watched again."""
        if attempt.task is not None:
            await self._write(self.journal.attach_task(attempt.id, attempt.task))
        await self._tell(attempt, EventKind.COPY_FOLLOWED, taking_up(attempt))

    async def never_sent(self, attempt: Attempt, why: str) -> None:
        """Nothing was done, and nothing has failed: the job goes on waiting, the next plan looks again."""
        await self._write(self.journal.drop_attempt(attempt.id))
        log.info(f"{what_is_done(attempt)} not begun", image=attempt.image, stores=attempt.stores, why=why)

    async def overtaken(self, attempt: Attempt, refusal: str) -> None:
        """Glance refused because somebody else was faster: no failure, the next plan looks again."""
        await self._write(self.journal.drop_attempt(attempt.id))
        await self._tell(attempt, EventKind.RIVAL_IMPORT, f"somebody else's import came first; waiting ({refusal})")

    async def stalled(self, attempt: Attempt, stall: Stall) -> None:
        """The import has not got on for too long."""
        self.on_stall(stall.store, stall.cause)
        await self._write(self.journal.add_events([stall_event(attempt, stall, self.clock.now())]))
        log.error(
            "import stalled", image=attempt.image, store=stall.store, cause=stall.cause, why=stall.why, next=stall.next
        )

    async def finished(
        self,
        attempt: Attempt,
        verdict: Verdict,
        *,
        remedy: str = "",
        hopeless: bool = False,
        rest: timedelta = NO_REST,
        remembered: bool = True,
        follow_up: Job | None = None,
    ) -> None:
        """Record the outcome and tell; remember what failed to be brought, unless its image is gone.

        No policy tries that again before `rest` is over, whatever the backoff says.
        """
        lost = [entry for entry in verdict.results if entry.result.bad]
        wanted = remembered and attempt.work.brings and bool(lost)
        failures = await self._failures(attempt, lost, remedy, hopeless=hopeless) if wanted else []
        soonest = self.clock.now() + rest
        failures = [replace(failure, next_try=max(failure.next_try, soonest)) for failure in failures]
        await self._end(attempt, verdict, failures, follow_up)

    async def image_gone(self, attempt: Attempt) -> None:
        """The image was deleted in the middle of it: nothing to retry."""
        reason = f"the image was deleted in the middle of its {what_is_done(attempt)}"
        stores = frozenset(attempt.stores)
        if attempt.work is Work.IMPORT:
            # What an import has not reached yet was to be copied from it.
            stores |= (await self.job(attempt)).pending
        await self._end(attempt, failed_everywhere(sorted(stores), reason), [])
        await self._tell(attempt, EventKind.IMAGE_GONE, reason)

    async def settle(self, action: SettleJob) -> None:
        results = [StoreResult(store=store, result=CopyResult.COPIED, reason=action.reason) for store in action.copied]
        results += [StoreResult(store=store, result=CopyResult.FAILED, reason=action.reason) for store in action.failed]
        gone = [StoreResult(store=store, result=CopyResult.REMOVED, reason=action.reason) for store in action.removed]
        results += gone
        verdict = Verdict(results=tuple(results), message=action.reason)
        await self._write(self.journal.settle(action.job, verdict, at=self.clock.now()))

    async def verified(self, job: Job, result: StoreResult) -> None:
        """Record what a comparison of one copy found, and tell."""
        now = self.clock.now()
        event = verification_event(job, result, now)
        await self._write(self.journal.settle(job.id, Verdict(results=(result,)), events=[event], at=now))

    async def _end(
        self, attempt: Attempt, verdict: Verdict, failures: list[Failure], follow_up: Job | None = None
    ) -> None:
        now = self.clock.now()
        events = [result_event(attempt, entry, now) for entry in verdict.results]
        ended = self.journal.finish_attempt(attempt.id, verdict, failures, events=events, follow_up=follow_up, at=now)
        if not await self._write(ended):
            return
        seconds = (now - attempt.started_at).total_seconds()
        for entry in verdict.results:
            self.on_result(attempt, entry, seconds)
            level = log.error if entry.result.bad else log.info
            level(
                f"{what_is_done(attempt)}: {entry.result}",
                image=attempt.image,
                store=entry.store,
                job=attempt.job,
                reason=entry.reason,
                seconds=round(seconds, 1),
            )

    async def _failures(
        self, attempt: Attempt, lost: Iterable[StoreResult], remedy: str, *, hopeless: bool
    ) -> list[Failure]:
        known = (await self.journal.ledger()).failures
        return [
            remember(
                known.get((attempt.image, entry.store)),
                image=attempt.image,
                store=entry.store,
                error=entry.reason,
                remedy=remedy,
                hopeless=hopeless,
                backoff=self.tuning.backoff,
                jitter=random.random(),  # noqa: S311 - spreads retries, keeps no secret
                now=self.clock.now(),
            )
            for entry in lost
        ]

    def copy_again(self, image: Image, store: StoreId, engine: EngineChoice) -> Job:
        """The job that makes a broken copy anew, once it has been taken away."""
        return Job(
            id=JobId(new_id()),
            image=image.id,
            image_name=image.name,
            origin=Origin.REPAIR,
            requested_by="repair",
            allow_failure=True,
            priority=0,
            state=JobState.QUEUED,
            stores=(StoreResult(store=store),),
            created_at=self.clock.now(),
            engine=engine,
        )

    def _own_job(self, action: Start, image: Image | None) -> Job:
        """The job of a start that no person asked for: a policy's or a repair's."""
        return Job(
            id=JobId(new_id()),
            image=action.image,
            image_name=image.name if image is not None else "",
            origin=action.origin,
            requested_by=action.requested_by,
            allow_failure=action.allow_failure,
            priority=action.priority,
            state=JobState.QUEUED,
            stores=tuple(StoreResult(store=store) for store in action.stores),
            created_at=self.clock.now(),
            work=action.work,
            engine=action.choice,
        )

    async def _tell(self, attempt: Attempt, kind: EventKind, message: str) -> None:
        event = Event(at=self.clock.now(), kind=kind, message=message, image=attempt.image, job=attempt.job)
        await self._write(self.journal.add_events([event]))
        log.info(message, kind=kind.value, image=attempt.image, job=attempt.job)

    async def _write(self, write: Coroutine[Any, Any, T]) -> T:
        """Write, and have the next plan read the journal again."""
        try:
            return await write
        finally:
            self.on_change()
