"""A counter to make requests at: the intake on a picture, with its journal kept on paper."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from edgesync.daemon.intake import Intake
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, CopyResult, Event, EventKind, HistoryFilter, Job, JobId, JobState, StoreResult
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.errors import NotFoundError
from edgesync.expose.picture import Health, Picture, Showcase
from tests.builders import NOW
from tests.fakes.block_notes import BlockNotes


@dataclass(kw_only=True)
class PaperJournal(BlockNotes):
    """Keeps what the intake writes; of the real one only as much as the intake sees of it."""

    kept: dict[JobId, Job] = field(default_factory=dict)
    attempts_open: tuple[Attempt, ...] = ()
    pauses: list[Pause] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    async def ledger(self) -> Ledger:
        return Ledger(attempts=self.attempts_open, pauses=tuple(self.pauses))

    async def paused(self) -> tuple[Pause, ...]:
        return tuple(self.pauses)

    async def add_job(self, job: Job) -> None:
        self.kept[job.id] = job

    async def job(self, job: JobId) -> Job:
        if job not in self.kept:
            raise NotFoundError(f"There is no job {job}.", remedy="Look at the history.")
        return self.kept[job]

    async def jobs(self, *, limit: int, **_: object) -> tuple[Job, ...]:
        return tuple(reversed(self.kept.values()))[:limit]

    async def attempts(self, *, image: ImageId, limit: int) -> tuple[Attempt, ...]:
        return tuple(attempt for attempt in self.attempts_open if attempt.image == image)[:limit]

    async def history(self, wanted: HistoryFilter) -> tuple[Event, ...]:
        found = [event for event in reversed(self.events) if wanted.image in {None, event.image}]
        return tuple(found[: wanted.limit])

    async def cancel(self, job: JobId, *, by: str, at: datetime) -> Job:
        known = await self.job(job)
        busy = {store for attempt in self.attempts_open if attempt.image == known.image for store in attempt.stores}
        results = tuple(
            StoreResult(store=entry.store, result=CopyResult.CANCELLED)
            if not entry.result.ended and entry.store not in busy
            else entry
            for entry in known.stores
        )
        ended = all(entry.result.ended for entry in results)
        told = f"cancelled by {by}"
        self.events.append(Event(at=at, kind=EventKind.JOB_CANCELLED, message=told, image=known.image, job=job))
        now = replace(known, stores=results)
        self.kept[job] = replace(now, state=JobState.CANCELLED, ended_at=at) if ended else now
        return self.kept[job]

    async def pause(self, pause: Pause, event: Event) -> None:
        self.pauses = [entry for entry in self.pauses if (entry.image, entry.store) != (pause.image, pause.store)]
        self.pauses.append(pause)
        self.events.append(event)

    async def resume(self, *, image: ImageId | None, store: StoreId | None, event: Event) -> bool:
        left = [entry for entry in self.pauses if (entry.image, entry.store) != (image, store)]
        found = len(left) < len(self.pauses)
        self.pauses = left
        self.events += [event] if found else []
        return found

    async def add_events(self, events: Sequence[Event]) -> None:
        self.events += events


@dataclass(kw_only=True)
class Staging:
    """Takes files in."""

    got: dict[JobId, bytes] = field(default_factory=dict)
    pieces: int = 0

    async def stage(self, job: Job, data: AsyncIterable[bytes]) -> None:
        self.got[job.id] = b""
        async for piece in data:
            self.pieces += 1
            self.got[job.id] += piece


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass(kw_only=True)
class Counter:
    """The intake, and what it works with."""

    showcase: Showcase
    journal: PaperJournal
    staging: Staging
    intake: Intake
    # How often the daemon was told that the journal changed.
    told: list[None]

    @property
    def job(self) -> Job:
        """The only one that was written."""
        (job,) = self.journal.kept.values()
        return job


@dataclass(kw_only=True)
class _Looks:
    picture: Picture | None

    async def show(self, image_id: ImageId) -> Image | None:
        return self.picture.world.images.get(image_id) if self.picture else None


def counter(picture: Picture | None, *, journal: PaperJournal | None = None, **more: Any) -> Counter:
    """An intake that sees this picture."""
    showcase = Showcase(health=Health(started_at=NOW))
    showcase.picture = picture
    paper = journal or PaperJournal(pauses=list(picture.ledger.pauses) if picture else [])
    staging = Staging()
    told: list[None] = []
    intake = Intake(
        showcase=showcase,
        observer=_Looks(picture=picture),
        journal=cast("Journal", paper),
        clock=Noon(),
        on_job=lambda: told.append(None),
        importer=staging,
        **more,
    )
    return Counter(showcase=showcase, journal=paper, staging=staging, intake=intake, told=told)
