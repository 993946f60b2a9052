"""The state of a Glance, and what each request does to it. No HTTP and no clock: every call says what time it is."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.glance.data import Event, What
from tests.fakes.glance.importing import Page, Phase, Run, Trouble
from tests.fakes.glance.intake import Intake
from tests.fakes.glance.listing import Listing
from tests.fakes.glance.records import FakeImage, FakeStore, FakeTask, Timings
from tests.fakes.glance.refusal import RefusalError


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
        # What answers at which URI; nothing is found at any other.
        self.pages: dict[str, Page] = {}
        self.show_locations = False
        # Imports accepted, in order: (image, stores).
        self.accepted: list[tuple[str, tuple[str, ...]]] = []
        self.listing = Listing(self.images)
        self.intake = Intake(self.images, self.add_image)

    # ---- time

    def advance_to(self, now: datetime) -> None:
        """Let everything happen that is due by now, in the order in which it is due."""
        while due := [run for run in self.runs if run.due is not None and run.due <= now]:
            run = min(due, key=lambda one: one.due or now)
            run.step(run.due or now)
            if run.relisted:
                run.relisted = False
                self.listing.forget()
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
            run.crash(now)
        self.runs.clear()
        self.intake.crash()

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
        self.listing.forget()
        for store in image.stores:
            self._say(image, store, What.COMPLETE, image.size or 0, now)
        return image

    def delete_image(self, image: str, now: datetime) -> None:
        gone = self._find(image)
        gone.status = "deleted"
        for store in gone.stores:
            self._removed(gone, store, now)
        del self.images[image]
        self.intake.deleted.add(image)
        self.listing.forget()

    def written(self, store: str, image: str, now: datetime) -> int | None:
        """Bytes that a running import has written of its copy there; None when there is no such import."""
        self.advance_to(now)
        found = [run for run in self._writing(store) if run.image.id == image and run.opened]
        return found[0].written(now) if found else None

    @property
    def default_store(self) -> str:
        return next((store.id for store in self.stores.values() if store.default), "")

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
        """Accept a copy; None for stores means all."""
        return self.import_image(image_id, stores, method="copy-image", must_succeed=must_succeed, now=now)

    def import_image(
        self,
        image_id: str,
        stores: Sequence[str] | None,
        *,
        method: str,
        must_succeed: bool,
        now: datetime,
        uri: str | None = None,
    ) -> FakeTask | None:
        """Accept an import. The checks come in Glance's order."""
        image = self._find(image_id)
        self._check_status(image, method)
        stale = self._check_lock(image, now)
        wanted = self._wanted(image, stores)
        if not wanted:
            return None
        if method == "web-download" and not (uri or "").startswith(("http://", "https://")):
            raise RefusalError(400, f"URI for web-download does not pass filtering: {uri}")
        task = FakeTask(
            id=str(uuid.uuid4()),
            image=image.id,
            stores=wanted,
            must_succeed=must_succeed,
            created_at=now,
            updated_at=now,
            method=method,
            uri=uri,
        )
        image.lock = task.id
        if stale is not None:
            self._clean_up_after(image, stale, now)
        image.touch()
        self.tasks[task.id] = task
        self.runs.append(self._run(task, image, now))
        self.accepted.append((image.id, tuple(wanted)))
        return task

    def _check_status(self, image: FakeImage, method: str) -> None:
        if method == "copy-image":
            if image.status != "active":
                raise RefusalError(409, "Only images with status active can be targeted for copying")
        elif image.status == "active":
            raise RefusalError(409, "Image with status active cannot be target for import")
        elif method == "web-download" and image.status != "queued":
            raise RefusalError(409, f"Image needs to be in 'queued' state to use '{method}' method")
        elif method == "glance-direct" and image.status != "uploading":
            raise RefusalError(409, "Image needs to be staged before 'glance-direct' method can be used")

    def _run(self, task: FakeTask, image: FakeImage, now: datetime) -> Run:
        if task.method == "glance-direct" and image.size is None:
            # A glance-api was killed while it received the data: what it got passes for the whole.
            image.size = self.intake.staged[image.id]
        return Run(
            task=task,
            image=image,
            timings=self.timings,
            trouble=self.trouble,
            locate=self._url,
            staged=self.intake.staged,
            due=now + timedelta(seconds=self.timings.gap),
            page=self.pages.get(task.uri or "", Page(status=404)) if task.method == "web-download" else None,
        )

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
        self._check_unused(image, store, "The data for Image")
        image.stores.remove(store)
        image.locations.pop(store, None)
        self._removed(image, store, now)
        image.touch(now)

    def delete(self, image_id: str, now: datetime) -> None:
        """Delete an image with its copies, store after store: one that is in use stops it in the middle."""
        image = self._find(image_id)
        if image.protected:
            raise RefusalError(403, f"Image {image_id} is protected and cannot be deleted.")
        for store in list(image.stores):
            self._check_unused(image, store, "Image")
            image.stores.remove(store)
            self._removed(image, store, now)
            image.touch(now)
        self.delete_image(image_id, now)

    def forget_location(self, image_id: str, store: str, now: datetime) -> None:
        """A copy vanishes from Glance's database, and its data stays."""
        image = self._find(image_id)
        image.stores.remove(store)
        image.locations.pop(store, None)
        self.trouble.orphans.add((store, image_id))
        image.touch(now)

    def _check_unused(self, image: FakeImage, store: str, what: str) -> None:
        if (store, image.id) in self.trouble.in_use:
            raise RefusalError(
                409,
                f"{what} {image.id} could not be deleted because it is in use: The image cannot be deleted because "
                "it is in use through the backend store outside of Glance.",
            )

    def tell_all(self, now: datetime) -> None:
        """Tell the listener of every copy there is."""
        for image in self.images.values():
            for store in image.stores:
                self._say(image, store, What.COMPLETE, image.size or 0, now)

    def _removed(self, image: FakeImage, store: str, now: datetime) -> None:
        self._say(image, store, What.REMOVED, 0, now)

    def _say(self, image: FakeImage, store: str, what: What, written: int, now: datetime) -> None:
        self.trouble.on_data(
            Event(store=store, image=image.id, what=what, size=image.size or 0, written=written, at=now)
        )

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
