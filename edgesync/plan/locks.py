"""How old the lock of an image is: by its task, or by our own watch where Glance does not tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from edgesync.domain.image import Image, ImageId, ImportTask, TaskId, TaskStatus

# Past the expiry we wait so much longer: Glance's clock may be behind ours, and asking too early only brings a 409.
LOCK_MARGIN = timedelta(seconds=5)

# Where Glance will not give an expired lock all the same, because its clock says otherwise: we ask again after so long.
INSISTENCE = timedelta(minutes=1)

# What changes while an import gets on, as the image itself shows it.
_Look = tuple[object, ...]


def expired(task: ImportTask, now: datetime) -> bool:
    """True when Glance gives the lock of this task to whoever asks."""
    return task.expires_at + LOCK_MARGIN <= now


class Locks:
    """Remembers since when locks without a visible task have stood still.

    One for the whole daemon, in memory only: who plans and who acts must be of one mind about a lock.
    """

    def __init__(self) -> None:
        self._still: dict[ImageId, tuple[_Look, datetime]] = {}
        # The locks that Glance refused to give though they looked expired, and until when we leave it at that.
        self._refused: dict[ImageId, tuple[TaskId, datetime]] = {}

    def holder(self, image: Image, tasks: Iterable[ImportTask], now: datetime) -> ImportTask | None:
        """The task behind the image's lock; None when it has none.

        A lock whose task can't be seen (before API v2.12, or the task was culled) is held by a pending one, last
        updated when we saw the image change: Glance gives no lock away later than that, 120 minutes on.
        """
        if image.lock is None:
            self.forget(image.id)
            return None
        if task := next((task for task in tasks if task.id == image.lock), None):
            return self.as_held(image.id, task)
        since = self._unchanged_since(image, now)
        hidden = ImportTask(
            id=image.lock, status=TaskStatus.PENDING, message="", stores=(), created_at=since, updated_at=since
        )
        return self.as_held(image.id, hidden)

    def refused(self, image: Image, now: datetime) -> None:
        """Glance did not give the image's lock, which had expired by our clock."""
        if image.lock is not None:
            self._refused[image.id] = (image.lock, now + INSISTENCE)

    def as_held(self, image: ImageId, task: ImportTask) -> ImportTask:
        """The task that holds the lock, expiring no earlier than we ask Glance for it again."""
        lock, until = self._refused.get(image, (None, task.expires_at))
        if lock != task.id or until <= task.expires_at:
            return task
        return replace(task, updated_at=task.updated_at + (until - task.expires_at))

    def forget(self, image: ImageId) -> None:
        self._still.pop(image, None)
        self._refused.pop(image, None)

    def _unchanged_since(self, image: Image, now: datetime) -> datetime:
        look = (image.lock, image.status, image.stores, image.importing_to, image.failed)
        before = self._still.get(image.id)
        if before is None or before[0] != look:
            before = self._still[image.id] = (look, now)
        return before[1]
