"""New images: described, then sent. What becomes of the data is in `importing`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tests.fakes.glance.records import FakeImage
from tests.fakes.glance.refusal import RefusalError

DISK_FORMATS = ("raw", "qcow2", "vmdk", "iso")
VISIBILITIES = ("shared", "public", "private", "community")
# What a request to create an image may say of it; everything else becomes a property.
CREATED_WITH = frozenset(
    {"name", "disk_format", "container_format", "visibility", "protected", "os_hidden", "min_disk", "min_ram", "tags"}
)


class Intake:
    """What a Glance knows of images that have no copy yet."""

    def __init__(self, images: Mapping[str, FakeImage], add: Callable[..., FakeImage]) -> None:
        # Images whose data is in the staging area, with its size; and those whose data is just coming.
        self.staged: dict[str, int] = {}
        self.receiving: set[str] = set()
        # Ids of deleted images are never given again.
        self.deleted: set[str] = set()
        self._images = images
        self._add = add

    def create(self, document: dict[str, Any], now: datetime, *, owner: str = "project") -> FakeImage:
        """Make a queued image of what a request says of it."""
        fields = dict(document)
        image = str(fields.pop("id", None) or uuid.uuid4())
        if image in self._images or image in self.deleted:
            raise RefusalError(409, f"Image ID {image} already exists!")
        for name in fields:
            if name.startswith("os_glance_"):
                raise RefusalError(403, f"Access was denied to this resource. Attribute '{name}' is reserved.")
        for name, known in (("disk_format", DISK_FORMATS), ("visibility", VISIBILITIES)):
            if fields.get(name, known[0]) not in known:
                raise RefusalError(
                    400, f"Provided object does not match schema 'image': '{fields[name]}' is not one of"
                )
        own = {name: fields.pop(name) for name in list(fields) if name in CREATED_WITH}
        return self._add(
            now,
            id=image,
            status="queued",
            size=None,
            stores=[],
            hash_value=None,
            owner=owner,
            hidden=own.pop("os_hidden", False),
            properties={name: str(value) for name, value in fields.items()},
            **own,
        )

    def begin_stage(self, image_id: str, now: datetime) -> FakeImage:
        image = self._known(image_id)
        if image.status != "queued":
            raise RefusalError(409, f"Image status transition from {image.status} to uploading is not allowed")
        image.status = "uploading"
        image.touch(now)
        self.staged[image_id] = 0
        self.receiving.add(image_id)
        return image

    def end_stage(self, image_id: str, now: datetime, *, complete: bool) -> None:
        """All has come; or the connection broke, which Glance notices and undoes."""
        if image_id not in self.receiving:
            return
        self.receiving.discard(image_id)
        if image_id not in self._images:
            raise RefusalError(404, f"No image found with ID {image_id}")
        image = self._images[image_id]
        if complete:
            image.size = self.staged[image_id]
        else:
            image.status = "queued"
            del self.staged[image_id]
        image.touch(now)

    def crash(self) -> None:
        """What was being received stays, and passes for the whole."""
        self.receiving.clear()

    def _known(self, image: str) -> FakeImage:
        if image not in self._images:
            raise RefusalError(404, f"No image found with ID {image}")
        return self._images[image]
