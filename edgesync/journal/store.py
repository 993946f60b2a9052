"""The journal as the rest of edgesync sees it: one method, one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from edgesync.domain.blocks import KnownDigests, Verification
from edgesync.domain.copy import Failure
from edgesync.domain.image import ImageId, TaskId
from edgesync.domain.job import Attempt, AttemptId, Event, HistoryFilter, Job, JobId, JobState, Verdict
from edgesync.domain.lag import Epochs
from edgesync.domain.pause import Pause
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.errors import PermanentError
from edgesync.journal import blocks, gaps, makers, outcome, pauses, read, trim, withdraw, write
from edgesync.journal.claim import Claim
from edgesync.journal.engine import reading
from edgesync.journal.faults import translated
from edgesync.journal.packing import pack
from edgesync.journal.recall import Recall
from edgesync.journal.records import to_known_digests
from edgesync.journal.timing import OnTransaction, timed

P = ParamSpec("P")
T = TypeVar("T")


class SqlJournal:
    """Implements `edgesync.domain.ports.Journal`; made by `open_journal`.

    Cancelling a caller does not cancel its transaction: that goes on to its end, which `close` awaits. A database
    driver that is interrupted half-way may keep its connection, and with it the lock that every other write needs.
    """

    def __init__(self, engine: AsyncEngine, claim: Claim | None, on_transaction: OnTransaction) -> None:
        self._on_transaction = on_transaction
        self._engine = engine
        self._reads = reading(engine)
        # None: opened for reading.
        self._claim = claim
        # The database lets one write happen at a time; waiting here is fair, and costs no connection.
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._recall = Recall()

    async def claim(self) -> None:
        await self._whole(self._claim_now())

    async def close(self) -> None:
        if self._running:
            await asyncio.wait(self._running)
        if self._claim is not None:
            await self._claim.release()
        await self._engine.dispose()

    async def ledger(self) -> Ledger:
        return await self._read(read.ledger)

    async def add_job(self, job: Job) -> None:
        await self._write(write.add_job, job)

    async def start_attempt(self, attempt: Attempt, *, job: Job | None = None) -> None:
        await self._write(write.start_attempt, attempt, job)

    async def attach_task(self, attempt: AttemptId, task: TaskId) -> None:
        await self._write(write.attach_task, attempt, task)

    async def finish_attempt(
        self,
        attempt: AttemptId,
        verdict: Verdict,
        failures: Sequence[Failure],
        *,
        events: Sequence[Event] = (),
        follow_up: Job | None = None,
        at: datetime,
    ) -> bool:
        return await self._write(outcome.finish_attempt, attempt, verdict, failures, events, follow_up, at)

    async def drop_attempt(self, attempt: AttemptId) -> None:
        await self._write(withdraw.drop_attempt, attempt)

    async def settle(self, job: JobId, verdict: Verdict, *, events: Sequence[Event] = (), at: datetime) -> None:
        await self._write(outcome.settle, job, verdict, events, at)

    async def cancel(self, job: JobId, *, by: str, at: datetime) -> Job:
        return await self._write(withdraw.cancel, job, by, at)

    async def makers(self, images: Collection[ImageId]) -> Mapping[tuple[ImageId, StoreId], str]:
        return await self._read(makers.makers, images)

    async def attempted(self, copies: Collection[tuple[ImageId, StoreId]]) -> frozenset[tuple[ImageId, StoreId]]:
        return await self._read(read.attempted, copies)

    async def keep_digests(self, image: ImageId, known: KnownDigests) -> None:
        packed = await asyncio.to_thread(pack, known.digests.values)
        await self._write(blocks.keep_digests, image, known, packed)

    async def digests(self, image: ImageId) -> KnownDigests | None:
        row = await self._read(blocks.packed_digests, image)
        return await asyncio.to_thread(to_known_digests, row) if row is not None else None

    async def digested(self, images: Collection[ImageId]) -> frozenset[ImageId]:
        return await self._recalled(blocks.digested, frozenset(images))

    async def forget_image(self, image: ImageId) -> None:
        await self._write(blocks.forget_image, image)

    async def forget_copies(self, copies: Collection[tuple[ImageId, StoreId]]) -> None:
        await self._write(blocks.forget_copies, copies)

    async def add_verification(self, image: ImageId, store: StoreId, verification: Verification) -> None:
        await self._write(blocks.add_verification, image, store, verification)

    async def verifications(self, image: ImageId) -> Mapping[StoreId, Verification]:
        return await self._recalled(blocks.verifications_of, image)

    async def verified(self, store: StoreId) -> Mapping[ImageId, Verification]:
        return await self._read(blocks.verified, store)

    async def paused(self) -> tuple[Pause, ...]:
        return await self._recalled(pauses.all_pauses)

    async def keep_gaps(self, changed: Mapping[ImageId, Epochs], closed: Collection[ImageId]) -> None:
        written = await asyncio.to_thread(gaps.written_gaps, changed)
        await self._write(gaps.keep_gaps, written, closed)

    async def gaps(self) -> Mapping[ImageId, Epochs]:
        rows = await self._read(gaps.kept_gaps)
        return await asyncio.to_thread(gaps.read_gaps, rows)

    async def pause(self, pause: Pause, event: Event) -> None:
        await self._write(pauses.pause, pause, event)

    async def resume(self, *, image: ImageId | None, store: StoreId | None, event: Event) -> bool:
        return await self._write(pauses.resume, image, store, event)

    async def job(self, job: JobId) -> Job:
        return await self._recalled(read.job, job)

    async def jobs(
        self,
        *,
        image: ImageId | None = None,
        state: JobState | None = None,
        before: JobId | None = None,
        limit: int = 100,
    ) -> tuple[Job, ...]:
        return await self._recalled(read.newest_jobs, image=image, state=state, before=before, limit=limit)

    async def attempts(self, *, image: ImageId | None = None, limit: int = 100) -> tuple[Attempt, ...]:
        return await self._recalled(read.newest_attempts, image=image, limit=limit)

    async def add_events(self, events: Sequence[Event]) -> None:
        await self._write(write.add_events, events)

    async def history(self, filter: HistoryFilter) -> tuple[Event, ...]:  # noqa: A002  the Protocol's word
        return await self._recalled(read.history, filter)

    async def trim(self, before: datetime) -> int:
        total = 0
        while removed := await self._write(trim.trim, before):
            total += removed
        return total

    async def _read(
        self, work: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def transaction() -> T:
            with timed("read", self._on_transaction) as begun, translated():
                async with self._reads.begin() as connection:
                    begun()
                    return await work(connection, *args, **kwargs)

        return await self._whole(transaction())

    async def _recalled(
        self, work: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """For people who look: what was answered since the last write is not read again."""
        if self._claim is None or not self._claim.held:
            # Others may write.
            return await self._read(work, *args, **kwargs)
        question = (work, args, tuple(sorted(kwargs.items())))
        return await self._recall.answer(question, lambda: self._read(work, *args, **kwargs))

    async def _write(
        self, work: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        claim = self._writable()

        async def transaction() -> T:
            with timed("write", self._on_transaction) as begun, translated():
                async with self._turn, self._engine.begin() as connection:
                    begun()
                    await claim.check(connection)
                    return await work(connection, *args, **kwargs)

        async def forgetting() -> T:
            try:
                return await transaction()
            finally:
                # Also where it failed: it may be on disk all the same.
                self._recall.forget()

        return await self._whole(forgetting())

    async def _claim_now(self) -> None:
        claim = self._writable()
        if claim.held:
            return
        with translated():
            async with claim.locked(self._reads):
                claim.confirm(await self._write(claim.raise_epoch))

    def _writable(self) -> Claim:
        if self._claim is None:
            raise PermanentError("This journal was opened for reading.", remedy="Ask the daemon to do it.")
        return self._claim

    async def _whole(self, transaction: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(transaction)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)
