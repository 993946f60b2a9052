"""How far the running imports have come, for people. Kept in memory only: Glance is the record."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edgesync.domain.copy import Progress, Stall
from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.job import Attempt, AttemptId
from edgesync.domain.store import StoreId

# "Copied 16 MiB" speaks of the store being written; Glance writes them in the order of the request.
COPIED = re.compile(r"Copied (\d+) MiB")
MIB = 1 << 20
# Rates are taken over so many samples: long enough to be steady, short enough to notice a stall.
SAMPLES = 20


@dataclass(kw_only=True, slots=True)
class _Track:
    since: datetime
    samples: deque[tuple[datetime, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def rate(self) -> float:
        if len(self.samples) < 2:
            return 0.0
        (start, first), (end, last) = self.samples[0], self.samples[-1]
        seconds = (end - start).total_seconds()
        return max(0.0, (last - first) / seconds) if seconds > 0 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    """Which store is being written, and the message that still spoke of the one before."""

    store: StoreId | None
    stale: str


def being_written(attempt: Attempt, image: Image) -> StoreId | None:
    """The store whose turn it is: Glance writes them in the order of the request. None when each has had its turn."""
    return next((store for store in attempt.stores if store not in image.stores | image.failed), None)


class ProgressBoard:
    """Bytes per image and store, and the imports that do not get on."""

    def __init__(self) -> None:
        self._entries: dict[tuple[ImageId, StoreId], Progress] = {}
        self._stalls: dict[AttemptId, Stall] = {}
        self._tracks: dict[tuple[ImageId, StoreId], _Track] = {}
        self._messages: dict[AttemptId, _Message] = {}

    @property
    def entries(self) -> Mapping[tuple[ImageId, StoreId], Progress]:
        return self._entries

    @property
    def stalls(self) -> Mapping[AttemptId, Stall]:
        """The open attempts that do not get on, and why."""
        return self._stalls

    def update(
        self, attempt: Attempt, image: Image, task: ImportTask | None, now: datetime, *, measured: int | None = None
    ) -> None:
        """Note how far the import is: finished stores, and the bytes of the one being written.

        `measured` is what the site itself tells of them, where somebody could ask; else Glance's message counts.
        """
        total = image.size or 0
        writing = being_written(attempt, image)
        told = self._written(attempt, writing, task)
        written = told if measured is None else measured
        for store in attempt.stores:
            # Of what Glance fetches, nobody knows the size before it is in its first store.
            so_far = min(total, written) if total else written
            done = total if store in image.stores else so_far if store == writing else 0
            self._note(attempt, store, done=done, total=total, now=now)

    def _written(self, attempt: Attempt, writing: StoreId | None, task: ImportTask | None) -> int:
        """Bytes of the store being written, as the task's message tells (once a minute).

        When Glance goes on to the next store, the message of the one before stays for a while: it counts for nothing.
        """
        message = task.message if task is not None else ""
        before = self._messages.get(attempt.id)
        if before is None or before.store != writing:
            before = self._messages[attempt.id] = _Message(store=writing, stale=message if before else "")
        found = COPIED.search(message) if message != before.stale else None
        return int(found.group(1)) * MIB if found else 0

    def moved(self, attempt: Attempt, store: StoreId, *, done: int, total: int, now: datetime) -> None:
        """Note how far one store is, where that is known at first hand."""
        self._note(attempt, store, done=done, total=total, now=now)

    def stall(self, attempt: Attempt, stall: Stall) -> None:
        self._stalls[attempt.id] = stall

    def moves(self, attempt: Attempt) -> None:
        """It gets on again."""
        self._stalls.pop(attempt.id, None)

    def clear(self, attempt: Attempt) -> None:
        self._messages.pop(attempt.id, None)
        self._stalls.pop(attempt.id, None)
        for store in attempt.stores:
            self._entries.pop((attempt.image, store), None)
            self._tracks.pop((attempt.image, store), None)

    def _note(self, attempt: Attempt, store: StoreId, *, done: int, total: int, now: datetime) -> None:
        key = (attempt.image, store)
        track = self._tracks.setdefault(key, _Track(since=attempt.started_at))
        track.samples.append((now, done))
        self._entries[key] = Progress(
            image=attempt.image,
            store=store,
            bytes_done=done,
            bytes_total=total,
            rate=track.rate(),
            since=track.since,
        )
