"""A bench for engines: a Glance, sites and a journal in memory, on a clock that tests script."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from edgesync.domain.blocks import Verification
from edgesync.domain.copy import Failure
from edgesync.domain.image import Image, ImageId, ImportTask, TaskId, TaskStatus
from edgesync.domain.job import (
    Attempt,
    AttemptId,
    CopyResult,
    EngineChoice,
    Event,
    EventKind,
    ImportSource,
    Job,
    StoreResult,
    Verdict,
    Work,
)
from edgesync.domain.ports import Cluster, Glance, Journal
from edgesync.domain.site import Defect, Finding, RbdImage
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.errors import EdgesyncError, NotFoundError, UnreachableError
from edgesync.execute.engines import Engines, engines_on
from edgesync.execute.progress import ProgressBoard
from edgesync.execute.record import Recorder
from edgesync.execute.tuning import Tuning
from edgesync.execute.workbench import Sightings, Workbench
from edgesync.plan.locks import Locks
from edgesync.plan.retry import Backoff
from tests.builders import CENTRAL, NOW, attempt, image, job
from tests.fakes.block_notes import BlockNotes

MIB = 1 << 20
DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
OURS = TaskId("ours")


def silent(store: str) -> UnreachableError:
    return UnreachableError(f"{store}'s Ceph is silent")


class HandClock:
    """Sleeping moves the hands, and does what was scheduled for the time that passes."""

    def __init__(self) -> None:
        self._now = NOW
        self._due: list[tuple[datetime, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._now

    def after(self, seconds: float, deed: Callable[[], object]) -> None:
        """Do it when so many seconds have passed from now on."""
        heapq.heappush(self._due, (self._now + timedelta(seconds=seconds), next(self._order), deed))

    async def sleep(self, seconds: float) -> None:
        target = self._now + timedelta(seconds=seconds)
        assert target < NOW + timedelta(days=2), "waited for something that never comes"
        while self._due and self._due[0][0] <= target:
            self._now, _, deed = heapq.heappop(self._due)
            deed()
        self._now = target


class ScriptedGlance:
    """Shows the images and tasks that a test puts there, and notes what it is asked for."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.images: dict[ImageId, Image] = {}
        self.history: list[ImportTask] = []
        # What was asked for, in order: method, image, and the stores or the bytes.
        self.calls: list[tuple[Any, ...]] = []
        # Raised by the next calls of a method, one each.
        self.refusals: dict[str, list[EdgesyncError]] = defaultdict(list)
        # How many of the next locations are accepted, and then forgotten.
        self.forgets = 0
        # Done when an import is accepted, after the lock is set.
        self.on_import: Callable[[], object] = lambda: None
        # Done just before tasks are shown.
        self.on_tasks: Callable[[], object] = lambda: None

    # What a test does

    def put(self, shown: Image) -> Image:
        self.images[shown.id] = shown
        return shown

    def change(self, image_id: ImageId, **fields: Any) -> None:
        self.images[image_id] = replace(self.images[image_id], **fields)

    def arrive(self, image_id: ImageId, *stores: str) -> None:
        """Copies come into being."""
        self.change(image_id, stores=self.images[image_id].stores | {StoreId(store) for store in stores})

    def task(self, task_id: str = OURS, **fields: Any) -> ImportTask:
        """Add a task, or change one."""
        known = next((task for task in self.history if task.id == task_id), None)
        now = self._clock.now()
        base = known or ImportTask(
            id=TaskId(task_id), status=TaskStatus.PROCESSING, message="", stores=(), created_at=now, updated_at=now
        )
        task = replace(base, **{"updated_at": now, **fields})
        self.history = [task, *(other for other in self.history if other.id != task_id)]
        return task

    def end(self, image_id: ImageId, status: TaskStatus = TaskStatus.SUCCESS, message: str = "") -> None:
        """Our task ends, and drops its lock."""
        self.task(status=status, message=message)
        self.change(image_id, lock=None, importing_to=frozenset())

    # What edgesync asks

    def _answer(self, method: str, *what: Any) -> None:
        if method not in {"image", "tasks"}:
            self.calls.append((method, *what))
        if self.refusals[method]:
            raise self.refusals[method].pop(0)

    def _found(self, image_id: ImageId) -> Image:
        if image_id not in self.images:
            raise NotFoundError(f"Image {image_id} is gone.")
        return self.images[image_id]

    async def image(self, image_id: ImageId) -> Image:
        self._answer("image", image_id)
        return self._found(image_id)

    async def tasks(self, image_id: ImageId) -> tuple[ImportTask, ...]:
        self._answer("tasks", image_id)
        self._found(image_id)
        self.on_tasks()
        return tuple(self.history)

    async def copy_image(self, image_id: ImageId, stores: Sequence[StoreId], *, allow_failure: bool) -> None:
        self._answer("copy_image", image_id, tuple(stores), allow_failure)
        self._accept(image_id, stores)

    async def add_location(self, image_id: ImageId, url: str, store: StoreId) -> Image:
        self._answer("add_location", image_id, url, store)
        before = self._found(image_id)
        self.arrive(image_id, store)
        shown = self.images[image_id]
        if self.forgets:
            self.forgets -= 1
            self.put(before)
        return shown

    async def import_image(
        self, image_id: ImageId, source: ImportSource, stores: Sequence[StoreId], *, allow_failure: bool
    ) -> None:
        self._answer("import_image", image_id, source.uri, tuple(stores), allow_failure)
        self._accept(image_id, stores)

    def _accept(self, image_id: ImageId, stores: Sequence[StoreId]) -> None:
        self._found(image_id)
        self.task(stores=tuple(stores))
        self.change(image_id, lock=OURS, importing_to=frozenset(stores), failed=frozenset())
        self.on_import()

    async def delete_from_store(self, image_id: ImageId, store: StoreId) -> None:
        self._answer("delete_from_store", image_id, store)
        shown = self._found(image_id)
        if store not in shown.stores:
            raise NotFoundError(f"Image {image_id} has no copy in store {store}.")
        self.change(image_id, stores=shown.stores - {store})

    async def create_image(self, image_id: ImageId, source: ImportSource) -> None:
        self._answer("create_image", image_id)
        if image_id not in self.images:
            self.put(replace(image(source.name, stores=(), status="queued", size=None), id=image_id))

    async def stage(self, image_id: ImageId, data: AsyncIterable[bytes]) -> None:
        received = b"".join([chunk async for chunk in data])
        self._answer("stage", image_id, received)
        self.change(image_id, status="uploading", size=len(received))

    async def delete_image(self, image_id: ImageId) -> None:
        self._answer("delete_image", image_id)
        self._found(image_id)
        del self.images[image_id]

    def asked(self, method: str) -> list[tuple[Any, ...]]:
        """What followed the method's name, for each call."""
        return [call[1:] for call in self.calls if call[0] == method]


class MemoryCluster:
    """A store's pool: names and bytes."""

    def __init__(self, store: StoreId) -> None:
        self.store = store
        self.down = False
        self.images: dict[str, RbdImage] = {}
        self.bytes: dict[str, int] = {}
        self.readings = 0
        # Raised by the next call that changes something.
        self.refusal: EdgesyncError | None = None
        self.deeds: list[tuple[str, str]] = []
        self.delays: list[timedelta] = []

    def put(self, name: str, *, written: int = 0, **fields: Any) -> None:
        base = RbdImage(
            name=name, id="1", size=1 << 30, snapshot=True, protected=True, watchers=0, children=(), created_at=NOW
        )
        self.images[name] = replace(base, **fields)
        self.bytes[name] = written

    def _reach(self, name: str) -> None:
        if self.down:
            raise silent(self.store)
        if name not in self.images:
            raise NotFoundError(f"{self.store} has no RBD image {name}.")

    async def inspect(self, name: str) -> RbdImage:
        self._reach(name)
        return self.images[name]

    async def written(self, name: str) -> int:
        self.readings += 1
        self._reach(name)
        return self.bytes[name]

    async def trash(self, name: str, *, delay: timedelta) -> None:
        self._reach(name)
        self._do("trash", name)
        self.delays.append(delay)
        del self.images[name]

    async def protect(self, name: str) -> None:
        self._reach(name)
        self._do("protect", name)

    def _do(self, deed: str, name: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.deeds.append((deed, name))


class MemorySites:
    """The site watch: says what a test told it, and notes what it is told."""

    def __init__(self, clusters: dict[StoreId, MemoryCluster]) -> None:
        self._clusters = clusters
        self.findings: dict[tuple[ImageId, StoreId], Finding] = {}
        self.outcomes: list[tuple[StoreId, bool, str]] = []
        self.settled: list[tuple[ImageId, StoreId]] = []
        self.examined: list[StoreId] = []
        self.verifications: dict[tuple[ImageId, StoreId], Verification] = {}

    def find(self, of: ImageId, store: StoreId, defect: Defect, *, obstacle: str = "") -> None:
        self.findings[of, store] = Finding(
            image=of, store=store, defect=defect, detail=f"it is {defect}", obstacle=obstacle, seen_at=NOW
        )

    async def check(self, store: StoreId) -> None:
        if store in self._clusters and self._clusters[store].down:
            raise silent(store)

    def outcome(self, store: StoreId, *, good: bool, cause: str = "") -> None:
        self.outcomes.append((store, good, cause))

    def mended(self, of: ImageId, store: StoreId) -> None:
        self.settled.append((of, store))

    async def verified(self, of: ImageId, store: StoreId, verification: Verification) -> None:
        self.verifications[of, store] = verification

    async def re_examine(self, of: ImageId, store: StoreId) -> Finding | None:
        self.examined.append(store)
        if store in self._clusters and self._clusters[store].down:
            raise silent(store)
        return self.findings.get((of, store))


@dataclass(kw_only=True)
class Finished:
    """What was recorded as the end of an attempt."""

    attempt: AttemptId
    at: datetime
    verdict: Verdict
    failures: list[Failure]
    events: list[Event]
    follow_up: Job | None

    @property
    def results(self) -> dict[str, CopyResult]:
        return {entry.store: entry.result for entry in self.verdict.results}

    @property
    def reasons(self) -> str:
        return " | ".join(entry.reason for entry in self.verdict.results)

    @property
    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]


class MemoryJournal(BlockNotes):
    """Notes what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.led: dict[str, Job] = {}
        self.opened: list[tuple[Attempt, Job | None]] = []
        self.attached: dict[AttemptId, TaskId] = {}
        self.finished: list[Finished] = []
        self.dropped: list[AttemptId] = []
        self.events: list[Event] = []
        self.failures: dict[tuple[ImageId, StoreId], Failure] = {}

    async def start_attempt(self, opened: Attempt, *, job: Job | None = None) -> None:
        self.opened.append((opened, job))

    async def job(self, job_id: str) -> Job:
        return self.led[job_id]

    async def attach_task(self, attempt_id: AttemptId, task: TaskId) -> None:
        self.attached[attempt_id] = task

    async def ledger(self) -> Ledger:
        return Ledger(failures=self.failures)

    async def finish_attempt(
        self,
        attempt_id: AttemptId,
        verdict: Verdict,
        failures: Sequence[Failure],
        *,
        events: Sequence[Event] = (),
        follow_up: Job | None = None,
        at: datetime,
    ) -> bool:
        if any(ended.attempt == attempt_id for ended in self.finished):
            return False
        self.finished.append(
            Finished(
                attempt=attempt_id,
                at=at,
                verdict=verdict,
                failures=list(failures),
                events=list(events),
                follow_up=follow_up,
            )
        )
        self.events.extend(events)
        return True

    async def drop_attempt(self, attempt_id: AttemptId) -> None:
        self.dropped.append(attempt_id)

    async def add_events(self, events: Sequence[Event]) -> None:
        self.events.extend(events)


@dataclass(kw_only=True)
class Rig:
    """Engines on doubles."""

    clock: HandClock
    glance: ScriptedGlance
    journal: MemoryJournal
    sites: MemorySites
    clusters: dict[StoreId, MemoryCluster]
    board: ProgressBoard
    bench: Workbench
    engines: Engines
    measured: list[tuple[StoreId, CopyResult]]
    lost: list[ImageId]

    @property
    def end(self) -> Finished:
        """The one end that was recorded."""
        (finished,) = self.journal.finished
        return finished

    def told(self, kind: EventKind) -> list[Event]:
        return [event for event in self.journal.events if event.kind is kind]


def rig(*, ceph: bool = True, stall_after: float = 600, memory: int = 0) -> Rig:
    clock = HandClock()
    glance = ScriptedGlance(clock)
    journal = MemoryJournal()
    clusters = {store: MemoryCluster(store) for store in (CENTRAL, DCN0, DCN1)} if ceph else {}
    sites = MemorySites(clusters)
    board = ProgressBoard()
    measured: list[tuple[StoreId, CopyResult]] = []
    lost: list[ImageId] = []
    tuning = Tuning(
        poll=2,
        stall_after=stall_after,
        trash_delay=timedelta(days=7),
        backoff=Backoff(first=60, ceiling=3600, attempts=5),
    )

    def measure(attempt: Attempt, entry: StoreResult) -> None:
        if attempt.work.brings:
            measured.append((entry.store, entry.result))

    bench = Workbench(
        glance=cast("Glance", glance),
        recorder=Recorder(
            journal=cast("Journal", journal),
            clock=clock,
            tuning=tuning,
            on_result=lambda attempt, entry, _: measure(attempt, entry),
            on_change=lambda: None,
        ),
        clock=clock,
        board=board,
        sightings=Sightings(saw=lambda _: None, lost=lost.append),
        sites=sites,
        clusters=cast("dict[StoreId, Cluster]", clusters),
        hub=CENTRAL,
        locks=Locks(),
        tuning=tuning,
    )
    engines = engines_on(
        bench,
        pools={DCN0: "glance"},
        blocks={},
        journal=cast("Journal", journal),
        images=dict,
        wished=lambda _image, store: EngineChoice.RBD if store == DCN0 else EngineChoice.AUTO,
        memory=memory,
        on_compared=lambda *_: None,
    )
    return Rig(
        clock=clock,
        glance=glance,
        journal=journal,
        sites=sites,
        clusters=clusters,
        board=board,
        bench=bench,
        engines=engines,
        measured=measured,
        lost=lost,
    )


def work_on(of: Image, work: Work, *stores: str, **fields: Any) -> Attempt:
    """An open attempt at some other work than copying."""
    return replace(attempt(of, *stores), work=work, **fields)


def import_job(of: Image, *stores: str, uri: str | None = "http://images/rhel.raw", allow_failure: bool = True) -> Job:
    led = job(of, *stores, allow_failure=allow_failure)
    return replace(led, work=Work.IMPORT, source=ImportSource(uri=uri, name=of.name))
