"""The state of a Glance, and what each request does to it. No HTTP and no clock: every call says what time it is."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.glance.importing import Phase, Run, Trouble
from tests.fakes.glance.records import FakeImage, FakeStore, FakeTask, Timings


class RefusalError(Exception):
    """Glance says no: the HTTP status and the sentence in its body."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status} {said}")
        self.status = status
        self.said = said


class Simulation:
    """Images, stores, tasks and running imports."""

    def __init__(self, stores: Sequence[str], timings: Timings | None = None) -> None:
        self.timings = timings or Timings()
        self.trouble = Trouble()
        self.stores: dict[str, FakeStore] = {}
        for index, store in enumerate(stores):
            self.add_store(store, default=index == 0)
        self.images: dict[str, FakeImage] = {}
        self.tasks: dict[str, FakeTask] = {}
        self.runs: list[Run] = []
        self.show_locations = False
        # Entries that each page repeats from the one before, as happens when images come and go between two pages.
        self.overlap = 0
        # Imports accepted, in order: (image, stores).
        self.accepted: list[tuple[str, tuple[str, ...]]] = []
        self._order: dict[tuple[bool, bool], list[FakeImage]] = {}
        self._positions: dict[tuple[bool, bool], dict[str, int]] = {}

    # ---- time

    def advance_to(self, now: datetime) -> None:
        """Let everything happen that is due by now, in the order in which it is due."""
        while due := [run for run in self.runs if run.due is not None and run.due <= now]:
            run = min(due, key=lambda one: one.due or now)
            run.step(run.due or now)
            if run.ended:
                self.runs.remove(run)

    # ---- stores

    def add_store(self, store: str, **fields: Any) -> FakeStore:
        fsid = str(uuid.uuid5(uuid.NAMESPACE_DNS, store))
        entry = FakeStore(id=store, fsid=fsid, **fields)
        self.stores[store] = entry
        return entry

    def dead(self, store: str, now: datetime) -> None:
        """The store's OSDs are down: writes to it hang, those to other stores behind it too."""
        self.advance_to(now)
        self.trouble.dead.add(store)
        for run in self._writing(store):
            run.freeze(now)

    def revive(self, store: str, now: datetime) -> None:
        self.advance_to(now)
        self.trouble.dead.discard(store)
        self.trouble.unreachable.discard(store)
        for run in self._writing(store):
            run.thaw(now)

    def crash_worker(self, now: datetime) -> None:
        """glance-api dies: locks and lists stay as they were, half a copy stays at the store."""
        self.advance_to(now)
        for run in self.runs:
            run.leave_orphan()
        self.runs.clear()

    def _writing(self, store: str) -> list[Run]:
        return [run for run in self.runs if run.phase is Phase.WRITING and run.store == store]

    # ---- images

    def add_image(self, now: datetime, **fields: Any) -> FakeImage:
        fields.setdefault("id", str(uuid.uuid4()))
        fields.setdefault("name", f"image-{len(self.images)}")
        fields.setdefault("stores", [self.default_store])
        fields.setdefault("hash_value", hashlib.sha512(fields["id"].encode()).hexdigest())
        fields.setdefault("created_at", now)
        fields.setdefault("updated_at", now)
        image = FakeImage(**fields)
        image.created_at = image.created_at.replace(microsecond=0)
        image.updated_at = image.updated_at.replace(microsecond=0)
        image.locations = {store: self._url(image.id, store) for store in image.stores}
        self.images[image.id] = image
        self._order.clear()
        return image

    def delete_image(self, image: str) -> None:
        gone = self._find(image)
        gone.status = "deleted"
        del self.images[image]
        self._order.clear()

    def forget_order(self) -> None:
        """Call after a change of what the listings are made by: hidden, visibility, owner."""
        self._order.clear()

    @property
    def default_store(self) -> str:
        return next((store.id for store in self.stores.values() if store.default), "")

    def page(
        self, *, hidden: bool, everybody: bool, marker: str | None, limit: int, updated_since: datetime | None
    ) -> tuple[list[FakeImage], str | None]:
        """Return one page, newest image first, and the marker of the next one, if any."""
        listing, positions = self._listing(hidden, everybody)
        start = 0
        if marker is not None:
            if marker not in positions:
                # Also when it was there a moment ago: a deleted image can't be a marker.
                raise RefusalError(400, f"No image found with ID {marker}")
            start = max(0, positions[marker] + 1 - self.overlap)
        candidates: Iterable[FakeImage] = listing[start:] if updated_since else listing[start : start + limit]
        if updated_since:
            candidates = [image for image in candidates if image.updated_at >= updated_since][:limit]
        page = list(candidates)
        return page, page[-1].id if len(page) == limit and page else None

    def _listing(self, hidden: bool, everybody: bool) -> tuple[list[FakeImage], dict[str, int]]:
        key = (hidden, everybody)
        if key not in self._order:
            listing = [
                image
                for image in self.images.values()
                # Without visibility=all, Glance leaves out community images of other projects.
                if image.hidden is hidden and (everybody or image.visibility != "community" or image.owner == "project")
            ]
            listing.sort(key=lambda image: (image.created_at, image.id), reverse=True)
            self._order[key] = listing
            self._positions[key] = {image.id: index for index, image in enumerate(listing)}
        return self._order[key], self._positions[key]

    def show(self, image: str) -> FakeImage:
        return self._find(image)

    def tasks_of(self, image: str) -> list[FakeTask]:
        self._find(image)
        return [task for task in self.tasks.values() if task.image == image]

    def _find(self, image: str) -> FakeImage:
        if image not in self.images:
            raise RefusalError(404, f"No image found with ID {image}")
        return self.images[image]

    def _url(self, image: str, store: str) -> str:
        known = self.stores.get(store)
        return f"rbd://{known.fsid}/{known.pool}/{image}/snap" if known else ""

    # ---- requests that change something

    def copy_image(
        self, image_id: str, stores: Sequence[str] | None, *, must_succeed: bool, now: datetime
    ) -> FakeTask | None:
        """Accept an import; None for stores means all. The checks come in Glance's order."""
        image = self._find(image_id)
        if image.status != "active":
            raise RefusalError(409, "Only images with status active can be targeted for copying")
        stale = self._check_lock(image, now)
        wanted = self._wanted(image, stores)
        if not wanted:
            return None
        task = FakeTask(
            id=str(uuid.uuid4()),
            image=image.id,
            stores=wanted,
            must_succeed=must_succeed,
            created_at=now,
            updated_at=now,
        )
        image.lock = task.id
        if stale is not None:
            self._clean_up_after(image, stale, now)
        image.touch()
        self.tasks[task.id] = task
        due = now + timedelta(seconds=self.timings.gap)
        self.runs.append(
            Run(task=task, image=image, timings=self.timings, trouble=self.trouble, locate=self._url, due=due)
        )
        self.accepted.append((image.id, tuple(wanted)))
        return task

    def _wanted(self, image: FakeImage, stores: Sequence[str] | None) -> list[str]:
        if stores is None:
            return [store.id for store in self.stores.values() if not store.read_only and store.id not in image.stores]
        for store in stores:
            if store not in self.stores:
                raise RefusalError(409, f"Store for identifier {store} not found")
        for store in image.stores:
            if store in stores:
                raise RefusalError(400, f"Image is already present at store '{store}'")
        return list(stores)

    def _check_lock(self, image: FakeImage, now: datetime) -> FakeTask | None:
        """Raise while the lock holds; return the task it was taken from when it has expired."""
        if image.lock is None:
            return None
        holder = self.tasks.get(image.lock)
        if holder is None:
            return None
        pending = holder.status == "pending"
        expiry = self.timings.pending_lock_expiry if pending else self.timings.lock_expiry
        if (now - holder.updated_at).total_seconds() < expiry:
            raise RefusalError(409, "Image has active task")
        if holder.status in {"pending", "processing"}:
            holder.status, holder.message, holder.updated_at = "failure", "Expired lock preempted", now
        return holder

    def _clean_up_after(self, image: FakeImage, stale: FakeTask, now: datetime) -> None:
        image.importing = (image.importing or set()) - set(stale.stores)
        image.failed = (image.failed or set()) - set(stale.stores)
        image.touch(now)

    def delete_from_store(self, image_id: str, store: str, now: datetime) -> None:
        if store not in self.stores:
            raise RefusalError(409, f"The selected store {store} is not available on this node.")
        if image_id not in self.images:
            raise RefusalError(404, f"Failed to find image {image_id}")
        image = self.images[image_id]
        if image.status != "active":
            raise RefusalError(409, "It's not allowed to remove image data from store if image status is not 'active'")
        if len(image.stores) == 1:
            raise RefusalError(
                403,
                "Cannot delete image data from the only store containing it. Consider deleting the image instead.",
            )
        if store not in image.stores:
            raise RefusalError(404, f"Image {image_id} is not stored in store {store}.")
        image.stores.remove(store)
        image.touch(now)

    def add_location(self, image_id: str, url: str, store: str, now: datetime) -> FakeImage:
        """Register a location. Glance does not look at the import lock here."""
        image = self._find(image_id)
        if not self.show_locations:
            raise RefusalError(403, "It's not allowed to add locations if locations are invisible.")
        if image.status not in {"active", "queued"}:
            raise RefusalError(409, f"It's not allowed to add locations if image status is {image.status}.")
        if url in image.locations.values():
            raise RefusalError(400, f"The location {url} already exists")
        if store not in self.stores:
            raise RefusalError(400, f"Invalid location: {url}")
        image.stores.append(store)
        image.locations[store] = url
        self.trouble.orphans.discard((store, image.id))
        image.touch(now)
        return image
