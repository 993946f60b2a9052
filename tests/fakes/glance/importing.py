"""One import as a state machine: what Glance's `api_image_import` flow does, step by step.

Pure: it is told what time it is. Times and orders follow glance/async_/flows/api_image_import.py of Glance 33; what is
left after failures was tried with 33.0 and 25.1, which agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tests.fakes.glance.data import Event, Listener, What, nobody
from tests.fakes.glance.records import MIB, FakeImage, FakeTask, Timings

# All that a task ever says of a failure; what really went wrong is in glance-api's log only.
FAILED = "Task failed due to Internal Error"


class Phase(StrEnum):
    ACCEPTED = "accepted"
    STAGING = "staging"
    WRITING = "writing"
    FINISHING = "finishing"


@dataclass(frozen=True, kw_only=True)
class Page:
    """What answers at a URI."""

    size: int = MIB
    # Such as 404 or 500; the connection breaking off in the middle has the same consequences.
    status: int = 200
    # Nothing more comes, ever.
    hangs: bool = False


@dataclass(kw_only=True)
class Trouble:
    """What is wrong with the stores."""

    # Writes hang until the store is back: a dead OSD.
    dead: set[str] = field(default_factory=set)
    # Connecting hangs too, inside the request: a cut WAN.
    unreachable: set[str] = field(default_factory=set)
    # Writes fail, with this error text.
    failing: dict[str, str] = field(default_factory=dict)
    # (store, image): RBD data lies there that Glance knows nothing of.
    orphans: set[tuple[str, str]] = field(default_factory=set)
    # (store, image): a clone keeps the copy from being deleted.
    in_use: set[tuple[str, str]] = field(default_factory=set)
    # Asks a fake of Ceph whether an RBD image of that name is there; None: there is no such fake.
    has_data: Callable[[str, str], bool] | None = None
    on_data: Listener = nobody

    def hangs(self, store: str) -> bool:
        return store in self.dead or store in self.unreachable

    def occupied(self, store: str, image: FakeImage) -> bool:
        """Whether a write there finds that an image of that name exists."""
        if self.has_data is not None:
            return self.has_data(store, image.id)
        return (store, image.id) in self.orphans or store in image.stores


@dataclass(kw_only=True)
class Run:
    """An import under way in an API worker's memory. A crash of the worker forgets it and nothing else."""

    task: FakeTask
    image: FakeImage
    timings: Timings
    trouble: Trouble
    # (image, store) -> the URL under which the copy is registered.
    locate: Callable[[str, str], str]
    # Images whose data is in the staging area, with its size.
    staged: dict[str, int]
    # When the next thing happens; None while a dead store, or who should send the data, makes the worker hang.
    due: datetime | None
    # For web-download: what is found at the URI.
    page: Page | None = None
    phase: Phase = Phase.ACCEPTED
    index: int = 0
    # Bytes of the current store that were written at `since`.
    done: float = 0.0
    since: datetime | None = None
    told: datetime | None = None
    # Whether the current store has an RBD image of this run's making.
    opened: bool = False
    # The image as it was when the current store's turn came: Glance writes all of it back when the store is done.
    loaded: FakeImage | None = None
    made: list[str] = field(default_factory=list)
    ended: bool = False
    # Something changed by which the listings are made.
    relisted: bool = False

    @property
    def store(self) -> str:
        return self.task.stores[self.index]

    @property
    def size(self) -> int:
        if self.image.size is not None:
            return self.image.size
        return self.page.size if self.page else 0

    def step(self, at: datetime) -> None:
        """Do what is due at this time."""
        if self.image.lock != self.task.id and self.image.status != "deleted":
            self._preempted(at)
        elif self.image.status == "deleted" and self.phase is not Phase.WRITING:
            self._image_gone(at)
        elif self.phase is Phase.ACCEPTED:
            self._start(at)
        elif self.phase is Phase.STAGING:
            self._staged(at)
        elif self.phase is Phase.WRITING:
            self._write(at)
        else:
            self._finish(at)

    def freeze(self, at: datetime) -> None:
        """The store being written died."""
        if self.phase is Phase.WRITING and self.due is not None:
            self.done, self.since, self.due = self._written(at), at, None
            self._grown(at)

    def thaw(self, at: datetime) -> None:
        """The store is back: the write goes on where it hung."""
        if self.phase is Phase.WRITING and self.due is None:
            self.since = at
            if self.opened:
                self._schedule(at)
            else:
                self._create(at)

    def crash(self, at: datetime) -> None:
        """The worker is gone, and leaves half a copy behind."""
        if self.phase is Phase.STAGING and self.page is not None:
            self.staged[self.image.id] = self.size // 2
        if self.opened:
            self.trouble.orphans.add((self.store, self.image.id))
            self._say(What.ABANDONED, at, int(self._written(at)))

    def written(self, at: datetime) -> int:
        """Bytes that the current store has so far."""
        return int(self._written(at)) if self.opened else 0

    # ---- one after the other

    def _start(self, at: datetime) -> None:
        self.image.importing = (self.image.importing or set()) | set(self.task.stores)
        self.image.failed = (self.image.failed or set()) - set(self.task.stores)
        if self.task.brings:
            self.image.status = "importing"
        self.image.touch(at)
        self._tell(at, status="processing")
        self.phase = Phase.STAGING
        if self.page is not None and self.page.hangs:
            self.due = None
        elif self.task.method == "glance-direct":
            self.due = at
        else:
            self.due = at + timedelta(seconds=self.size / self.timings.staging_rate)

    def _staged(self, at: datetime) -> None:
        """Everything is in the staging area, or could not be got."""
        if self.page is not None:
            # What an earlier import left there makes every further one fail.
            if self.page.status != 200 or self.image.id in self.staged:
                self._fail(at)
                return
            self.staged[self.image.id] = self.page.size
        self.image.touch(at)
        self._open_store(at)

    def _open_store(self, at: datetime) -> None:
        """Begin with the current store, or finish when there is none left."""
        if self.index >= len(self.task.stores):
            self.phase = Phase.FINISHING
            self.due = at + timedelta(seconds=self.timings.finish)
            return
        self.phase, self.done, self.since, self.told, self.opened = Phase.WRITING, 0.0, at, at, False
        self.loaded = self.image.copy()
        self._create(at)

    def _create(self, at: datetime) -> None:
        """Make the RBD image, as soon as the store answers."""
        if self.trouble.hangs(self.store):
            self.due = None
        elif self.trouble.occupied(self.store, self.image) or self.store in self.trouble.failing:
            self._store_failed(at)
        else:
            self.opened = True
            self._say(What.WRITING, at, 0)
            self._schedule(at)

    def _write(self, at: datetime) -> None:
        if self.store in self.trouble.failing:
            # The driver takes its half image away when a write fails.
            self._dropped(at)
            self._store_failed(at)
        elif at >= self._end_of_store():
            self._tell(at, message=f"Copied {self.size // MIB} MiB")
            self._store_written(at)
        else:
            self.told = at
            self._tell(at, message=f"Copied {int(self._written(at)) // MIB} MiB")
            self._grown(at)
            self._schedule(at)

    def _store_written(self, at: datetime) -> None:
        self._say(What.COMPLETE, at, self.size)
        self.opened = False
        if self.image.status in {"deleted", "deactivated"}:
            # The data is there, and can't be registered any more.
            self.trouble.orphans.add((self.store, self.image.id))
            if self.image.status == "deleted":
                self._image_gone(at)
            else:
                self._fail(at)
            return
        self._write_back()
        if self.image.size is None:
            self.image.size = self.size
        self.image.hash_value = self.image.hash_value or "0" * 128
        self.image.stores.append(self.store)
        self.image.locations[self.store] = self.locate(self.image.id, self.store)
        self.made.append(self.store)
        last = self.index == len(self.task.stores) - 1
        if self.task.brings and (last or not self.task.must_succeed):
            self.image.status = "active"
        self._next_store(at)

    def _store_failed(self, at: datetime) -> None:
        if self.task.must_succeed or self.image.status == "deactivated":
            self._fail(at)
            return
        self._write_back()
        self.image.failed = (self.image.failed or set()) | {self.store}
        self._next_store(at)

    def _next_store(self, at: datetime) -> None:
        self.image.importing = (self.image.importing or set()) - {self.store}
        self.image.touch(at)
        self.index += 1
        self._open_store(at)

    def _write_back(self) -> None:
        """Glance saves the image as it was when this store's turn came: what was changed meanwhile is lost.

        Even a copy that was deleted is listed again, without its data (tried).
        """
        if self.loaded is not None:
            self.relisted = self.image.take(self.loaded) or self.relisted
            self.loaded = None

    # ---- ends

    def _finish(self, at: datetime) -> None:
        self.staged.pop(self.image.id, None)
        if self.task.brings and self.image.status == "importing":
            # None of the stores got its copy: as if nothing had been asked.
            self.image.status = "queued"
            self.image.size = None
            # The flow fails once more while it reverts a download, so its lock stays (tried).
            self._end(at, status="failure", message=FAILED, unlocks=self.task.method != "web-download")
        else:
            # Also when every store failed: with allow-failure a copy's task says success whatever happened.
            self._end(at, status="success", message=None)

    def _fail(self, at: datetime) -> None:
        """The flow reverts: what was made is taken back."""
        mine = set(self.made)
        self.image.stores = [store for store in self.image.stores if store not in mine]
        for store in self.made:
            self.image.locations.pop(store, None)
            self._say(What.REMOVED, at, 0, store=store)
        if self.task.brings and not self.image.stores and self.made:
            self.image.size = self.image.hash_value = None
        if self.task.method == "web-download":
            # The staging file stays, so no further import of this image succeeds. Not always (tried); here it does.
            failed = set(self.task.stores)
            self.image.importing = (self.image.importing or set()) - failed
            if self.image.status == "importing":
                self.image.status = "queued"
        else:
            # taskflow reverts only what ran: stores whose turn had not come stay in the importing list for good, and
            # an image that was staged stays `importing` for good.
            failed = {self.store}
            self.image.importing = (self.image.importing or set()) - failed - mine
        self.image.failed = (self.image.failed or set()) | failed
        self.image.touch(at)
        self._end(at, status="failure", message=FAILED)

    def _end(self, at: datetime, *, status: str, message: str | None, unlocks: bool = True) -> None:
        self._tell(at, status=status, message=message)
        if unlocks:
            self.image.lock = None
        # Neither setting nor dropping the lock moves `updated_at`.
        self.image.touch()
        self.ended = True

    def _image_gone(self, at: datetime) -> None:
        """The image was deleted."""
        self.staged.pop(self.image.id, None)
        if self.task.status == "processing":
            self._tell(at, status="failure", message=FAILED)
        self.ended = True

    def _preempted(self, at: datetime) -> None:
        """Somebody took the lock over: the write fails at the next look at the task."""
        if self.opened:
            self._dropped(at)
        self.ended = True

    def _dropped(self, at: datetime) -> None:
        self.opened = False
        self._say(What.REMOVED, at, 0)

    def _say(self, what: What, at: datetime, written: int, *, store: str | None = None) -> None:
        self.trouble.on_data(
            Event(store=store or self.store, image=self.image.id, what=what, size=self.size, written=written, at=at)
        )

    def _grown(self, at: datetime) -> None:
        if self.opened:
            self._say(What.WRITING, at, int(self._written(at)))

    def _tell(self, at: datetime, *, status: str | None = None, message: str | None = None) -> None:
        self.task.status = status or self.task.status
        self.task.message = self.task.message if message is None else message
        self.task.updated_at = at

    def _written(self, at: datetime) -> float:
        if self.due is None:
            return self.done
        elapsed = (at - (self.since or at)).total_seconds()
        return min(float(self.size), self.done + elapsed * self.timings.write_rate(self.store))

    def _end_of_store(self) -> datetime:
        left = self.size - self.done
        return (self.since or self.task.created_at) + timedelta(seconds=left / self.timings.write_rate(self.store))

    def _schedule(self, at: datetime) -> None:
        if self.store in self.trouble.failing:
            self.due = at
        else:
            next_message = (self.told or at) + timedelta(seconds=self.timings.message_every)
            self.due = min(self._end_of_store(), max(at, next_message))
