"""Whatever happens to the jobs of an image, and in whatever order, their states say what their stores' results say."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgesync.domain.image import ImageId
from edgesync.domain.job import (
    Attempt,
    CopyResult,
    EventKind,
    HistoryFilter,
    Job,
    JobId,
    JobState,
    Origin,
    StoreResult,
    Verdict,
    Work,
)
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError
from edgesync.journal import SqlJournal
from tests.contract.journal.samples import LATER, A, B, C, make_attempt, make_job

STORES = (A, B, C)
# What an attempt may report, by whether its work brings data.
_BROUGHT = (CopyResult.COPIED, CopyResult.FAILED, CopyResult.REVERTED, CopyResult.INTERRUPTED)
_REMOVED = (CopyResult.REMOVED, CopyResult.FAILED, CopyResult.INTERRUPTED)
_REPAIRED = (CopyResult.REPAIRED, CopyResult.FAILED, CopyResult.INTERRUPTED)
EXAMPLES = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def possible(work: Work) -> tuple[CopyResult, ...]:
    """The good one first."""
    if work.brings:
        return _BROUGHT
    return _REMOVED if work is Work.REMOVE else _REPAIRED


@dataclass(frozen=True, kw_only=True, slots=True)
class Add:
    origin: Origin
    work: Work
    stores: tuple[StoreId, ...]
    allow_failure: bool
    # Start an attempt of it in the same go.
    at_once: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    # Which of the jobs that were added, counted round.
    job: int
    # Of how many of the stores that it waits for.
    stores: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    # For each store in turn, which of the results that its work may have.
    results: tuple[int, ...]
    follow_up: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    job: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Settle:
    job: int
    store: StoreId
    good: bool


Step = Add | Start | Finish | Drop | Cancel | Settle

_numbers = st.integers(0, 5)
_works = st.sampled_from([Work.COPY, Work.COPY, Work.COPY, Work.IMPORT, Work.REMOVE, Work.TRASH, Work.UNLIST])
_adds = st.builds(
    Add,
    origin=st.sampled_from(Origin),
    work=_works,
    stores=st.lists(st.sampled_from(STORES), min_size=1, unique=True).map(tuple),
    allow_failure=st.booleans(),
    at_once=st.booleans(),
)
_steps: st.SearchStrategy[Step] = st.one_of(
    _adds,
    st.builds(Start, job=_numbers, stores=st.integers(1, 3)),
    st.builds(Finish, results=st.tuples(_numbers, _numbers, _numbers), follow_up=st.booleans()),
    st.builds(Finish, results=st.tuples(_numbers, _numbers, _numbers), follow_up=st.booleans()),
    st.builds(Drop),
    st.builds(Cancel, job=_numbers),
    st.builds(Settle, job=_numbers, store=st.sampled_from(STORES), good=st.booleans()),
)


@dataclass(kw_only=True, slots=True)
class Story:
    """One image of its own in a journal that many examples share."""

    journal: SqlJournal
    image: ImageId
    added: list[JobId] = field(default_factory=list)
    cancelled: set[JobId] = field(default_factory=set)
    # Where a person's job has got its copy, until that copy is gone.
    persons: set[StoreId] = field(default_factory=set)

    async def jobs(self) -> dict[JobId, Job]:
        return {job.id: job for job in await self.journal.jobs(image=self.image)}

    async def open_attempt(self) -> Attempt | None:
        found = [attempt for attempt in await self.journal.attempts(image=self.image) if attempt.ended_at is None]
        assert len(found) <= 1
        return found[0] if found else None

    async def chosen(self, number: int) -> Job | None:
        """One of the jobs that are there; a policy's may have gone with its attempt."""
        jobs = await self.jobs()
        there = [job for job in self.added if job in jobs]
        return jobs[there[number % len(there)]] if there else None

    async def take(self, step: Step) -> None:
        before = await self.jobs()
        match step:
            case Add():
                await self._add(step)
            case Start():
                await self._start(step)
            case Finish():
                await self._finish(step)
            case Drop():
                if attempt := await self.open_attempt():
                    await self.journal.drop_attempt(attempt.id)
            case Cancel():
                await self._cancel(step)
            case Settle():
                await self._settle(step)
        self._note_persons(before, await self.jobs())

    def new_job(self, *stores: StoreId, **fields: object) -> Job:
        job = make_job(*stores, id=JobId(uuid.uuid4().hex), image=self.image, **fields)
        self.added.append(job.id)
        return job

    async def _add(self, step: Add) -> None:
        job = self.new_job(*step.stores, origin=step.origin, work=step.work, allow_failure=step.allow_failure)
        if step.at_once and await self.open_attempt() is None:
            await self.journal.start_attempt(make_attempt(job), job=job)
        else:
            await self.journal.add_job(job)

    async def _start(self, step: Start) -> None:
        job = await self.chosen(step.job)
        if job is None:
            return
        wanted = [entry.store for entry in job.stores if entry.store in job.pending][: step.stores]
        attempt = make_attempt(job, *wanted)
        if job.state.ended or job.id in self.cancelled or await self.open_attempt() is not None:
            with pytest.raises(ConflictError):
                await self.journal.start_attempt(attempt)
        else:
            await self.journal.start_attempt(attempt)

    async def _finish(self, step: Finish) -> None:
        attempt = await self.open_attempt()
        if attempt is None:
            return
        results = possible(attempt.work)
        entries = [
            StoreResult(store=store, result=results[number % len(results)])
            for store, number in zip(attempt.stores, step.results, strict=False)
        ]
        follow_up = self.new_job(A, origin=Origin.REPAIR) if step.follow_up else None
        verdict = Verdict(results=tuple(entries))
        before = await self.jobs()
        assert await self.journal.finish_attempt(attempt.id, verdict, [], follow_up=follow_up, at=LATER)
        self._note_gone(attempt.work, entries)
        after = await self.jobs()
        for job, entry in product(before.values(), entries):
            if entry.store in job.pending:
                left = CopyResult.CANCELLED if job.id in self.cancelled else CopyResult.PENDING
                result = entry.result if concerns(entry, job, attempt) else left
                assert result_at(entry.store, after[job.id]) is result

    async def _cancel(self, step: Cancel) -> None:
        job = await self.chosen(step.job)
        if job is None:
            return
        if job.state.ended:
            with pytest.raises(ConflictError):
                await self.journal.cancel(job.id, by="alice", at=LATER)
        else:
            await self.journal.cancel(job.id, by="alice", at=LATER)
            self.cancelled.add(job.id)

    async def _settle(self, step: Settle) -> None:
        job = await self.chosen(step.job)
        if job is None:
            return
        result = possible(job.work)[0] if step.good else CopyResult.FAILED
        entry = StoreResult(store=step.store, result=result)
        await self.journal.settle(job.id, Verdict(results=(entry,)), at=LATER)
        if step.store in job.pending:
            self._note_gone(job.work, [entry])

    def _note_gone(self, work: Work, results: list[StoreResult]) -> None:
        for entry in results:
            unlisted = work is Work.UNLIST and entry.result is CopyResult.REPAIRED
            if unlisted or entry.result in {CopyResult.REMOVED, CopyResult.REVERTED}:
                self.persons.discard(entry.store)

    def _note_persons(self, before: dict[JobId, Job], after: dict[JobId, Job]) -> None:
        for job in after.values():
            if job.origin is Origin.PERSON and job.work.brings:
                had = copied(before[job.id]) if job.id in before else set()
                self.persons |= copied(job) - had

    async def check(self, before: dict[JobId, Job]) -> None:
        attempt = await self.open_attempt()
        jobs = await self.jobs()
        history = await self.journal.history(HistoryFilter(image=self.image))
        ended = [event.job for event in history if event.kind is EventKind.JOB_ENDED]
        for job in jobs.values():
            assert job.state is state_of(job, attempt)
            assert (job.ended_at is not None) is job.state.ended
            assert ended.count(job.id) == job.state.ended
            if job.id in self.cancelled:
                assert job.pending <= made_for(job, attempt)
            if earlier := before.get(job.id):
                # A result that is there is never changed.
                assert {entry for entry in earlier.stores if entry.result.ended} <= set(job.stores)
        assert set(await self.journal.makers([self.image])).isdisjoint((self.image, store) for store in self.persons)


def concerns(entry: StoreResult, job: Job, attempt: Attempt) -> bool:
    """Whether a job that waits for this store has its result from that attempt."""
    if not entry.result.ended or job.id == attempt.job:
        return entry.result.ended
    if not (attempt.work.brings and job.work.brings):
        return False
    return entry.result is CopyResult.COPIED or (entry.result is CopyResult.FAILED and job.allow_failure)


def result_at(store: StoreId, job: Job) -> CopyResult:
    return next(entry.result for entry in job.stores if entry.store == store)


def copied(job: Job) -> set[StoreId]:
    return {entry.store for entry in job.stores if entry.result is CopyResult.COPIED}


def made_for(job: Job, attempt: Attempt | None) -> frozenset[StoreId]:
    """The stores that the image's open attempt is at work on, for this job too."""
    if attempt is None or (attempt.job != job.id and not (attempt.work.brings and job.work.brings)):
        return frozenset()
    return frozenset(attempt.stores)


def state_of(job: Job, attempt: Attempt | None) -> JobState:
    """The one state that fits a job's results."""
    if job.pending:
        return JobState.RUNNING if job.pending & made_for(job, attempt) else JobState.QUEUED
    if job.failed:
        return JobState.FAILED
    return JobState.DONE if all(entry.result.good for entry in job.stores) else JobState.CANCELLED


@EXAMPLES
@given(steps=st.lists(_steps, min_size=2, max_size=14))
async def test_states_say_what_results_say(journal: SqlJournal, steps: list[Step]) -> None:
    story = Story(journal=journal, image=ImageId(uuid.uuid4().hex))
    for step in steps:
        before = await story.jobs()
        await story.take(step)
        await story.check(before)
