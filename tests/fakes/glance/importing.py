"""One copy-image import as a state machine: what Glance's `api_image_import` flow does, step by step.

Pure: it is told what time it is. Times and orders follow glance/async_/flows/api_image_import.py of Glance 33.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tests.fakes.glance.records import MIB, FakeImage, FakeTask, Timings


class Phase(StrEnum):
    ACCEPTED = "accepted"
    STAGING = "staging"
    WRITING = "writing"
    FINISHING = "finishing"


@dataclass(kw_only=True)
class Trouble:
    """What is wrong with the stores."""

    # Writes hang until the store is back: a dead OSD.
    dead: set[str] = field(default_factory=set)
    # Connecting hangs too, inside the request: a cut WAN.
    unreachable: set[str] = field(default_factory=set)
    # Writes fail, with this error text.
    failing: dict[str, str] = field(default_factory=dict)
    # (store, image): a crashed worker left RBD data there that Glance knows nothing of.
    orphans: set[tuple[str, str]] = field(default_factory=set)

    def hangs(self, store: str) -> bool:
        return store in self.dead or store in self.unreachable

    def refusal(self, store: str, image: FakeImage) -> str | None:
        """Why a write to the store fails at once, if it does."""
        if (store, image.id) in self.orphans or store in image.stores:
            return f"Image {image.id} already exists"
        return self.failing.get(store)


@dataclass(kw_only=True)
class Run:
    """An import under way in an API worker's memory. A crash of the worker forgets it and nothing else."""

    task: FakeTask
    image: FakeImage
    timings: Timings
    trouble: Trouble
    # (image, store) -> the URL under which the copy is registered.
    locate: Callable[[str, str], str]
    # When the next thing happens; None while a dead store makes the worker hang.
    due: datetime | None
    phase: Phase = Phase.ACCEPTED
    index: int = 0
    # Bytes of the current store that were written at `since`.
    done: float = 0.0
    since: datetime | None = None
    told: datetime | None = None
    made: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def store(self) -> str:
        return self.task.stores[self.index]

    def step(self, at: datetime) -> None:
        """Do what is due at this time."""
        if self.image.status == "deleted" or self.image.lock != self.task.id:
            self._abort(at)
        elif self.phase is Phase.ACCEPTED:
            self._start(at)
        elif self.phase is Phase.STAGING:
            self.image.touch(at)
            self._open_store(at)
        elif self.phase is Phase.WRITING:
            self._write(at)
        else:
            self._finish(at)

    def freeze(self, at: datetime) -> None:
        """The store being written died."""
        if self.phase is Phase.WRITING and self.due is not None:
            self.done, self.since, self.due = self._written(at), at, None

    def thaw(self, at: datetime) -> None:
        """The store is back: the write goes on where it hung."""
        if self.phase is Phase.WRITING and self.due is None:
            self.since = at
            self._schedule(at)

    def _start(self, at: datetime) -> None:
        self.image.importing = (self.image.importing or set()) | set(self.task.stores)
        self.image.failed = (self.image.failed or set()) - set(self.task.stores)
        self.image.touch(at)
        self._tell(at, status="processing")
        self.phase = Phase.STAGING
        self.due = at + timedelta(seconds=(self.image.size or 0) / self.timings.staging_rate)

    def _open_store(self, at: datetime) -> None:
        """Begin with the current store, or finish when there is none left."""
        if self.index >= len(self.task.stores):
            self.phase = Phase.FINISHING
            self.due = at + timedelta(seconds=self.timings.finish)
            return
        self.phase, self.done, self.since, self.told = Phase.WRITING, 0.0, at, at
        if self.trouble.hangs(self.store):
            self.due = None
        else:
            self._schedule(at)

    def _write(self, at: datetime) -> None:
        error = self.trouble.refusal(self.store, self.image)
        if error is not None:
            self._store_failed(at, error)
        elif at >= self._end_of_store():
            self._tell(at, message=f"Copied {(self.image.size or 0) // MIB} MiB")
            self._store_done(at)
        else:
            self.told = at
            self._tell(at, message=f"Copied {int(self._written(at)) // MIB} MiB")
            self._schedule(at)

    def _store_done(self, at: datetime) -> None:
        self.image.stores.append(self.store)
        self.image.locations[self.store] = self.locate(self.image.id, self.store)
        self.made.append(self.store)
        self._drop_importing(at)
        self.index += 1
        self._open_store(at)

    def _store_failed(self, at: datetime, error: str) -> None:
        self.image.failed = (self.image.failed or set()) | {self.store}
        self._drop_importing(at)
        if not self.task.must_succeed:
            self.index += 1
            self._open_store(at)
            return
        # taskflow reverts only what ran: stores whose turn had not come stay in the importing list for good.
        self.image.stores = [store for store in self.image.stores if store not in self.made]
        self.image.lock = None
        self.image.touch(at)
        self._tell(at, status="failure", message=error)
        self.ended = True

    def _drop_importing(self, at: datetime) -> None:
        self.image.importing = (self.image.importing or set()) - {self.store}
        self.image.touch(at)

    def _finish(self, at: datetime) -> None:
        # Also when every store failed: with allow-failure a task says success whatever happened.
        self._tell(at, status="success", message="")
        self.image.lock = None
        # Neither setting nor dropping the lock moves `updated_at`.
        self.image.touch()
        self.ended = True

    def _abort(self, at: datetime) -> None:
        """The image was deleted, or somebody took the lock over: what is half written stays behind at the store."""
        self.leave_orphan()
        if self.task.status == "processing":
            self._tell(at, status="failure", message=f"No image found with ID {self.image.id}")
        self.ended = True

    def leave_orphan(self) -> None:
        if self.phase is Phase.WRITING and self.store not in self.image.stores:
            self.trouble.orphans.add((self.store, self.image.id))

    def _tell(self, at: datetime, *, status: str | None = None, message: str | None = None) -> None:
        self.task.status = status or self.task.status
        self.task.message = self.task.message if message is None else message
        self.task.updated_at = at

    def _written(self, at: datetime) -> float:
        size = float(self.image.size or 0)
        elapsed = (at - (self.since or at)).total_seconds()
        return min(size, self.done + elapsed * self.timings.write_rate(self.store))

    def _end_of_store(self) -> datetime:
        left = (self.image.size or 0) - self.done
        return (self.since or self.task.created_at) + timedelta(seconds=left / self.timings.write_rate(self.store))

    def _schedule(self, at: datetime) -> None:
        if self.trouble.refusal(self.store, self.image) is not None:
            self.due = at
        else:
            next_message = (self.told or at) + timedelta(seconds=self.timings.message_every)
            self.due = min(self._end_of_store(), max(at, next_message))
