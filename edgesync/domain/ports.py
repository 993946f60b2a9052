"""What the outer layers implement: Glance, the sites' clusters, the journal, the clock."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from edgesync.domain.blocks import KnownDigests, Verification
from edgesync.domain.copy import Failure
from edgesync.domain.image import Image, ImageId, ImportTask, TaskId
from edgesync.domain.job import (
    Attempt,
    AttemptId,
    Event,
    HistoryFilter,
    ImportSource,
    Job,
    JobId,
    JobState,
    Verdict,
)
from edgesync.domain.lag import Epochs
from edgesync.domain.level import Level
from edgesync.domain.pause import Pause
from edgesync.domain.site import Capacity, RbdImage
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

    @property
    def level(self) -> Level | None:
        """What this server can do; None before the first `check`."""
        ...

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

    async def create_image(self, image: ImageId, source: ImportSource) -> None:
        """Make a queued image of that id and description; nothing happens when it is there already."""
        ...

    async def stage(self, image: ImageId, data: AsyncIterable[bytes]) -> None:
        """Send the data of a queued image to Glance's staging area. Never repeated by the client."""
        ...

    async def import_image(
        self, image: ImageId, source: ImportSource, stores: Sequence[StoreId], *, allow_failure: bool
    ) -> None:
        """Ask for the import of a queued image's data (web-download), or of what was staged (glance-direct).

        Errors as those of `copy_image`. Never repeated by the client.
        """
        ...

    async def delete_image(self, image: ImageId) -> None:
        """Delete the image and every copy of it; NotFoundError when it is gone."""
        ...


class Cluster(Protocol):
    """One store's pool, seen by Ceph's own client. Every method has a deadline on Ceph's side and on ours.

    They raise UnreachableError when the cluster does not answer in time, PermanentError for what a person must mend
    (caps, a missing pool or keyring), NotFoundError for an RBD image that isn't there, ConflictError for one that is
    in use.
    """

    async def probe(self) -> Capacity | None:
        """Go to the monitors and to an OSD and back; None: it is alive, but no manager tells how full it is."""
        ...

    async def names(self) -> frozenset[str]:
        """The RBD images in the pool, those in the trash not among them."""
        ...

    async def inspect(self, name: str) -> RbdImage: ...

    async def written(self, name: str) -> int:
        """Bytes of the objects that the RBD image consists of so far; what was never written does not count."""
        ...

    async def trash(self, name: str, *, delay: timedelta) -> None:
        """Move an RBD image into the trash, where it can be restored for at least so long."""
        ...

    async def protect(self, name: str) -> None:
        """Protect the snapshot `snap`; nothing happens when it is."""
        ...

    async def close(self) -> None: ...


class Journal(Protocol):
    """The durable record. Each method is one transaction: when it returns, it is on disk."""

    async def claim(self) -> None:
        """Become the only writer of this journal; ConflictError names who else is."""
        ...

    async def close(self) -> None: ...

    async def ledger(self) -> Ledger:
        """Open jobs, open attempts, remembered failures, pauses."""
        ...

    async def add_job(self, job: Job) -> None: ...

    async def start_attempt(self, attempt: Attempt, *, job: Job | None = None) -> None:
        """Record that an import is about to be asked for, before it is; with `job`, open that in the same go.

        ConflictError when the image has an open attempt already, or the job that it is for has ended.
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
        follow_up: Job | None = None,
        at: datetime,
    ) -> bool:
        """Record the end of an attempt once; False when it was recorded before.

        In the same transaction: the results go to the leading job; `copied` also to every other open job that waits
        for a copy of the same image in the same store, `failed` to those among them that allow failure, anything else
        (`reverted`, `removed`, `repaired`) to the leading job only, `interrupted` to none: they go on waiting. Jobs
        with nothing pending end (`failed` if any store failed or was reverted, else `cancelled` if any was cancelled,
        else `done`); the failures of copied and removed stores are forgotten, those given are remembered, `events` are
        added, and the job `follow_up` is opened. Who had a copy made is remembered for `makers` until it is removed.
        """
        ...

    async def drop_attempt(self, attempt: AttemptId) -> None:
        """Forget an attempt that Glance never accepted."""
        ...

    async def settle(self, job: JobId, verdict: Verdict, *, events: Sequence[Event] = (), at: datetime) -> None:
        """Record results of a job that needed no attempt, and `events`; the job ends when nothing is pending."""
        ...

    async def cancel(self, job: JobId, *, by: str, at: datetime) -> Job:
        """Cancel what an open job has pending and no open attempt is making; the job as it is then. `by`: who asked.

        It ends when nothing is pending any more. What an attempt is making goes on; if it breaks off or is dropped,
        it is cancelled then. NotFoundError when there is none, ConflictError when it has ended.
        """
        ...

    async def makers(self, images: Collection[ImageId]) -> Mapping[tuple[ImageId, StoreId], str]:
        """Which policy had these images' copies made, by name; those that a person asked for are not among them."""
        ...

    async def attempted(self, copies: Collection[tuple[ImageId, StoreId]]) -> frozenset[tuple[ImageId, StoreId]]:
        """Those copies that an attempt of ours, open or ended, was to make: proof that leftovers there are ours."""
        ...

    async def keep_digests(self, image: ImageId, known: KnownDigests) -> None:
        """Remember an image's digests; those kept before are replaced."""
        ...

    async def digests(self, image: ImageId) -> KnownDigests | None: ...

    async def digested(self, images: Collection[ImageId]) -> frozenset[ImageId]:
        """Those of the images whose digests are remembered; they are not read."""
        ...

    async def forget_image(self, image: ImageId) -> None:
        """Drop the digests and verifications of an image that is gone."""
        ...

    async def forget_copies(self, copies: Collection[tuple[ImageId, StoreId]]) -> None:
        """Drop the verifications of copies that are gone."""
        ...

    async def add_verification(self, image: ImageId, store: StoreId, verification: Verification) -> None:
        """Remember how a copy was found; what was known of it before is replaced."""
        ...

    async def verifications(self, image: ImageId) -> Mapping[StoreId, Verification]: ...

    async def verified(self, store: StoreId) -> Mapping[ImageId, Verification]:
        """How all copies of a store were found."""
        ...

    async def paused(self) -> tuple[Pause, ...]:
        """Those in force, oldest first."""
        ...

    async def keep_gaps(self, changed: Mapping[ImageId, Epochs], closed: Collection[ImageId]) -> None:
        """Remember since when copies of some images have been missing, in place of what was remembered of these.

        Images that are `closed` miss nothing any more.
        """
        ...

    async def gaps(self) -> Mapping[ImageId, Epochs]:
        """Since when copies have been missing, as it was kept last."""
        ...

    async def pause(self, pause: Pause, event: Event) -> None:
        """Add a pause; one with the same scope is replaced."""
        ...

    async def resume(self, *, image: ImageId | None, store: StoreId | None, event: Event) -> bool:
        """Take the pause with exactly that scope away; False when there is none."""
        ...

    async def job(self, job: JobId) -> Job:
        """NotFoundError when there is none."""
        ...

    async def jobs(
        self,
        *,
        image: ImageId | None = None,
        state: JobState | None = None,
        before: JobId | None = None,
        limit: int = 100,
    ) -> tuple[Job, ...]:
        """Newest first; only those that came before one, none when that is gone."""
        ...

    async def attempts(self, *, image: ImageId | None = None, limit: int = 100) -> tuple[Attempt, ...]:
        """Newest first."""
        ...

    async def add_events(self, events: Sequence[Event]) -> None: ...

    async def history(self, filter: HistoryFilter) -> tuple[Event, ...]:  # noqa: A002
        """Newest first; oldest first where only what came `after` a position is asked for."""
        ...

    async def trim(self, before: datetime) -> int:
        """Remove what ended before then and concerns no open job; the number of records removed."""
        ...
