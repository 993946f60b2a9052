"""What the fake Glance keeps: images, tasks, running imports, and the timings of it all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

MIB = 1024 * 1024


@dataclass(kw_only=True)
class Timings:
    """Seconds and bytes per second. The defaults are in the range of a small real cloud."""

    # Between the 202 and the two lists: only the lock tells that an import is under way.
    gap: float = 1.0
    # Reading the image from the hub, or from a URI, into the staging file.
    staging_rate: float = 2048.0 * MIB
    # Writing to a store that `rates` does not name.
    rate: float = 256.0 * MIB
    rates: dict[str, float] = field(default_factory=dict)
    # Glance writes "Copied N MiB" into the task once a minute, and once more when a store is done.
    message_every: float = 60.0
    # Between the last store and the end of the lock.
    finish: float = 0.1
    # How long a request blocks that connects to an unreachable cluster.
    connect_timeout: float = 60.0
    # After these, without an update of its task, a lock may be taken over.
    lock_expiry: float = 3600.0
    pending_lock_expiry: float = 7200.0

    def write_rate(self, store: str) -> float:
        return self.rates.get(store, self.rate)


@dataclass(kw_only=True)
class FakeStore:
    id: str
    description: str = ""
    default: bool = False
    read_only: bool = False
    type: str = "rbd"
    fsid: str = ""
    pool: str = "images"

    def plain(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"id": self.id}
        if self.description:
            entry["description"] = self.description
        # Glance writes flags as the string "true", and leaves them out otherwise.
        if self.default:
            entry["default"] = "true"
        if self.read_only:
            entry["read-only"] = "true"
        return entry

    def detail(self, *, with_fsid: bool = True) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        if self.type == "rbd":
            properties = {"chunk_size": 8, "pool": self.pool, "thin_provisioning": False}
        entry = {**self.plain(), "type": self.type, "properties": properties}
        if with_fsid:
            entry["weight"] = 0
            if self.type == "rbd":
                properties["fsid"] = self.fsid
        return entry


@dataclass(kw_only=True)
class FakeImage:
    """One image. Call `touch` after every change, so that the prepared JSON is made anew."""

    id: str
    name: str | None
    created_at: datetime
    updated_at: datetime
    status: str = "active"
    visibility: str = "public"
    protected: bool = False
    container_format: str = "bare"
    min_disk: int = 0
    min_ram: int = 0
    owner: str = "project"
    hidden: bool = False
    disk_format: str = "raw"
    size: int | None = MIB
    tags: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    stores: list[str] = field(default_factory=list)
    # None: the property does not exist yet; an empty set: it exists and is the empty string.
    importing: set[str] | None = None
    failed: set[str] | None = None
    lock: str | None = None
    hash_value: str | None = None
    locations: dict[str, str] = field(default_factory=dict)
    # Replaces fields of the answer, to show a client something malformed; None as a value removes nothing.
    override: dict[str, Any] = field(default_factory=dict)
    _json: bytes | None = None

    def touch(self, at: datetime | None = None) -> None:
        """Forget the prepared JSON; with a time, also move `updated_at`, which has a resolution of one second."""
        self._json = None
        if at is not None:
            self.updated_at = at.replace(microsecond=0)

    def copy(self) -> FakeImage:
        return replace(
            self,
            stores=list(self.stores),
            tags=list(self.tags),
            properties=dict(self.properties),
            locations=dict(self.locations),
        )

    def take(self, old: FakeImage) -> bool:
        """Go back to what somebody loaded before; True when that moves the image in the listings."""
        moved = (self.hidden, self.visibility) != (old.hidden, old.visibility)
        for field_name in ("name", "tags", "properties", "hidden", "visibility", "stores", "locations"):
            setattr(self, field_name, getattr(old, field_name))
        return moved

    def as_json(self, *, show_locations: bool) -> bytes:
        if self._json is None:
            self._json = json.dumps(self._document(show_locations), ensure_ascii=False).encode()
        return self._json

    def _document(self, show_locations: bool) -> dict[str, Any]:
        document: dict[str, Any] = dict(self.properties)
        if self.lock is not None:
            document["os_glance_import_task"] = self.lock
        if self.importing is not None:
            document["os_glance_importing_to_stores"] = ",".join(sorted(self.importing))
        if self.failed is not None:
            document["os_glance_failed_import"] = ",".join(sorted(self.failed))
        document |= {
            "name": self.name,
            "disk_format": self.disk_format,
            "container_format": self.container_format,
            "visibility": self.visibility,
            "size": self.size,
            "virtual_size": self.size,
            "status": self.status,
            "checksum": "d41d8cd98f00b204e9800998ecf8427e",
            "protected": self.protected,
            "min_ram": self.min_ram,
            "min_disk": self.min_disk,
            "owner": self.owner,
            "os_hidden": self.hidden,
            "os_hash_algo": "sha512" if self.hash_value else None,
            "os_hash_value": self.hash_value,
            "id": self.id,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
            "tags": self.tags,
            "self": f"/v2/images/{self.id}",
            "file": f"/v2/images/{self.id}/file",
            "schema": "/v2/schemas/image",
        }
        if show_locations:
            document["locations"] = [
                {"url": self.locations.get(store, ""), "metadata": {"store": store}} for store in self.stores
            ]
        if self.stores:
            document["stores"] = ",".join(self.stores)
        return document | self.override


@dataclass(kw_only=True)
class FakeTask:
    id: str
    image: str
    stores: list[str]
    must_succeed: bool
    created_at: datetime
    updated_at: datetime
    method: str = "copy-image"
    uri: str | None = None
    status: str = "pending"
    message: str = ""

    @property
    def brings(self) -> bool:
        """True when the image gets its data by it."""
        return self.method != "copy-image"

    def document(self) -> dict[str, Any]:
        request = {
            "method": {"name": self.method} | ({"uri": self.uri} if self.uri else {}),
            "stores": self.stores,
            "all_stores_must_succeed": self.must_succeed,
        }
        return {
            "id": self.id,
            "type": "api_image_import",
            "status": self.status,
            "owner": "project",
            "expires_at": None,
            # Tasks carry times without a zone, with microseconds; images with a Z, without them.
            "created_at": naive(self.created_at),
            "updated_at": naive(self.updated_at),
            "deleted_at": None,
            "deleted": False,
            "image_id": self.image,
            "request_id": f"req-{self.id}",
            "user_id": "user",
            "input": {"image_id": self.image, "import_req": request, "backend": self.stores},
            "result": {"image_id": self.image} if self.status == "success" else None,
            "message": self.message,
        }


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def naive(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")
