"""What the outer layers implement: Glance, the journal, the clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from edgesync.domain.copy import Failure
from edgesync.domain.image import Image, ImageId, ImportTask, TaskId
from edgesync.domain.job import Attempt, AttemptId, Event, HistoryFilter, Job, JobId, JobState, Verdict
from edgesync.domain.store import Store, StoreId
from edgesync.domain.world import Ledger


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> datetime:
        """The present, in UTC with its time zone."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Glance(Protocol):
    """The Image service. Every method has a deadline and raises the classes of `edgesync.errors`."""

    async def check(self) -> str:
        """Return the newest API version that the server speaks; PermanentError when it can't do what we need."""
        ...

    async def stores(self) -> tuple[Store, ...]: ...

    def images(self, *, updated_since: datetime | None = None) -> AsyncIterator[Sequence[Image]]:
        """Yield pages of images: all, or those with `updated_at` at or after the time. An image may come twice."""
        ...

    async def image(self, image: ImageId) -> Image:
        """Show one image; NotFoundError when it is gone."""
        ...

    async def tasks(self, image: ImageId) -> tuple[ImportTask, ...]:
        """The image's tasks, newest first."""
        ...

    async def copy_image(self, image: ImageId, stores: Sequence[StoreId], *, allow_failure: bool) -> None:
        """Ask for a copy-image import. Never repeated by the client.

        Raises ConflictError while somebody holds the lock, RequestError when a named store has the data already,
        UnreachableError when it is not known whether the request arrived.
        """
        ...

    async def delete_from_store(self, image: ImageId, store: StoreId) -> None: ...

    async def add_location(self, image: ImageId, url: str, store: StoreId) -> Image: ...


class Journal(Protocol):
    """The durable record. Each method is one transaction: when it returns, it is on disk."""

    async def claim(self) -> None:
        """Become the only writer of this journal; ConflictError names who else is."""
        ...

    async def close(self) -> None: ...

    async def ledger(self) -> Ledger:
        """Open jobs, open attempts, remembered failures."""
        ...

    async def add_job(self, job: Job) -> None: ...

    async def start_attempt(self, attempt: Attempt, *, job: Job | None = None) -> None:
        """Record that an import is about to be asked for, before it is; with `job`, open that in the same go.

        ConflictError when the image has an open attempt already.
        """
        ...

    async def attach_task(self, attempt: AttemptId, task: TaskId) -> None:
        """Record which Glance task does it."""
        ...

    async def finish_attempt(
        self,
        attempt: AttemptId,
        verdict: Verdict,
        failures: Sequence[Failure],
        *,
        events: Sequence[Event] = (),
        at: datetime,
    ) -> bool:
        """Record the end of an attempt once; False when it was recorded before.

        In the same transaction: the results go to the leading job; `copied` also to every other open job that waits
        for the same image and store, `failed` to those among them that allow failure; jobs with nothing pending end
        (`failed` if any store failed or was reverted, else `done`); the failures of copied stores are forgotten,
        those given are remembered, and `events` are added.
        """
        ...

    async def drop_attempt(self, attempt: AttemptId) -> None:
        """Forget an attempt that Glance never accepted."""
        ...

    async def settle(self, job: JobId, verdict: Verdict, *, at: datetime) -> None:
        """Record results of a job that needed no attempt; the job ends when nothing is pending."""
        ...

    async def job(self, job: JobId) -> Job:
        """NotFoundError when there is none."""
        ...

    async def jobs(
        self, *, image: ImageId | None = None, state: JobState | None = None, limit: int = 100
    ) -> tuple[Job, ...]:
        """Newest first."""
        ...

    async def attempts(self, *, image: ImageId | None = None, limit: int = 100) -> tuple[Attempt, ...]:
        """Newest first."""
        ...

    async def add_events(self, events: Sequence[Event]) -> None: ...

    async def history(self, filter: HistoryFilter) -> tuple[Event, ...]:  # noqa: A002
        """Newest first."""
        ...

    async def trim(self, before: datetime) -> int:
        """Remove what ended before then and concerns no open job; the number of records removed."""
        ...
