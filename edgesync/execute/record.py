"""Writes down what happens to jobs and attempts.

The journal ends a transaction that was begun even if whoever wanted it is cancelled: an outcome can't get lost.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from edgesync.domain.action import SettleJob, Start
from edgesync.domain.copy import Failure
from edgesync.domain.image import Image
from edgesync.domain.job import (
    Attempt,
    AttemptId,
    CopyResult,
    Event,
    EventKind,
    Job,
    JobId,
    JobState,
    StoreResult,
    Verdict,
)
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.store import StoreId
from edgesync.plan.retry import Backoff, remember
from edgesync.plan.verdict import failed_everywhere

log = structlog.get_logger(__name__)

T = TypeVar("T")

_EVENT_OF = {
    CopyResult.COPIED: EventKind.COPY_DONE,
    CopyResult.FAILED: EventKind.COPY_FAILED,
    CopyResult.REVERTED: EventKind.COPY_REVERTED,
}


def new_id() -> str:
    """A short random id: people type job ids."""
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorder:
    """The executor's pen."""

    journal: Journal
    clock: Clock
    backoff: Backoff
    # Told of every result, for the metrics.
    on_result: Callable[[StoreId, CopyResult, float], None]
    # Told when the journal changed, so that the next plan reads it again.
    on_change: Callable[[], None]

    async def open(self, action: Start, image: Image) -> Attempt:
        """Write down that an import is about to be asked for; ConflictError when one of the image is open."""
        now = self.clock.now()
        job = None if action.job is not None else self._policy_job(action, image)
        attempt = Attempt(
            id=AttemptId(new_id()),
            job=action.job or (job.id if job else JobId("")),
            image=action.image,
            stores=action.stores,
            allow_failure=action.allow_failure,
            started_at=now,
        )
        await self._write(self.journal.start_attempt(attempt, job=job))
        return attempt

    async def started(self, attempt: Attempt) -> None:
        if attempt.task is not None:
            await self._write(self.journal.attach_task(attempt.id, attempt.task))
        stores = ", ".join(attempt.stores)
        await self._tell(attempt, EventKind.COPY_STARTED, f"Glance copies the image to {stores}")

    async def followed(self, attempt: Attempt) -> None:
        """An import that a former daemon started is watched again."""
        if attempt.task is not None:
            await self._write(self.journal.attach_task(attempt.id, attempt.task))
        stores = ", ".join(attempt.stores)
        await self._tell(attempt, EventKind.COPY_FOLLOWED, f"following the import to {stores} that was running already")

    async def never_sent(self, attempt: Attempt, why: str) -> None:
        await self._write(self.journal.drop_attempt(attempt.id))
        log.info("import not sent", image=attempt.image, stores=attempt.stores, why=why)

    async def overtaken(self, attempt: Attempt, refusal: str) -> None:
        """Glance refused because somebody else was faster: no failure, the next plan looks again."""
        await self._write(self.journal.drop_attempt(attempt.id))
        await self._tell(attempt, EventKind.RIVAL_IMPORT, f"somebody else's import came first; waiting ({refusal})")

    async def finished(self, attempt: Attempt, verdict: Verdict, *, remedy: str = "", hopeless: bool = False) -> None:
        """Record the outcome, remember what failed, and tell."""
        lost = [entry for entry in verdict.results if entry.result is not CopyResult.COPIED]
        failures = await self._failures(attempt, lost, remedy, hopeless=hopeless) if lost else []
        await self._end(attempt, verdict, failures)

    async def image_gone(self, attempt: Attempt) -> None:
        """The image was deleted in mid-copy: nothing to retry."""
        reason = "the image was deleted while it was copied"
        await self._end(attempt, failed_everywhere(attempt.stores, reason), [])
        await self._tell(attempt, EventKind.IMAGE_GONE, reason)

    async def settle(self, action: SettleJob) -> None:
        results = [StoreResult(store=store, result=CopyResult.COPIED, reason=action.reason) for store in action.copied]
        results += [StoreResult(store=store, result=CopyResult.FAILED, reason=action.reason) for store in action.failed]
        verdict = Verdict(results=tuple(results), message=action.reason)
        await self._write(self.journal.settle(action.job, verdict, at=self.clock.now()))

    async def _end(self, attempt: Attempt, verdict: Verdict, failures: list[Failure]) -> None:
        now = self.clock.now()
        seconds = (now - attempt.started_at).total_seconds()
        events = [self._event(attempt, entry, seconds) for entry in verdict.results]
        ended = self.journal.finish_attempt(attempt.id, verdict, failures, events=events, at=now)
        if not await self._write(ended):
            return
        for entry in verdict.results:
            self.on_result(entry.store, entry.result, seconds)
            level = log.info if entry.result is CopyResult.COPIED else log.error
            level(
                f"copy {entry.result}",
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
                backoff=self.backoff,
                jitter=random.random(),  # noqa: S311 - spreads retries, keeps no secret
                now=self.clock.now(),
            )
            for entry in lost
        ]

    def _policy_job(self, action: Start, image: Image) -> Job:
        return Job(
            id=JobId(new_id()),
            image=action.image,
            image_name=image.name,
            origin=action.origin,
            requested_by=action.requested_by,
            allow_failure=action.allow_failure,
            priority=action.priority,
            state=JobState.QUEUED,
            stores=tuple(StoreResult(store=store) for store in action.stores),
            created_at=self.clock.now(),
        )

    def _event(self, attempt: Attempt, entry: StoreResult, seconds: float) -> Event:
        message = f"copied in {seconds:.1f} s" if entry.result is CopyResult.COPIED else entry.reason
        return Event(
            at=self.clock.now(),
            kind=_EVENT_OF[entry.result],
            message=message,
            image=attempt.image,
            store=entry.store,
            job=attempt.job,
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
