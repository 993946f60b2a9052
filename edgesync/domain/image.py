"""An image as Glance shows it, reduced to what decisions need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from edgesync.domain.store import StoreId

ImageId = NewType("ImageId", str)
TaskId = NewType("TaskId", str)

# What the RBD name of a copy of edgesync's own ends with until it is complete. No image id looks like it, so neither
# Glance nor an audit takes it for a copy.
UNFINISHED = ".edgesync"
# Before that: what is to replace a damaged copy. A copy never goes on with what a repair has begun, nor the reverse: a
# cluster's manager may be at work on this one, and holds its lock.
REPAIR = ".repair"
# Before RBD's own id of it: a damaged image that its repair has put aside, and keeps where something is cloned from it.
ASIDE = ".damaged."


def temporary_name(image: ImageId) -> str:
    """The RBD name of a copy that edgesync is making."""
    return image + UNFINISHED


def replacement_name(image: ImageId) -> str:
    """The RBD name of what edgesync makes to replace a damaged copy."""
    return image + REPAIR + UNFINISHED


class Visibility(StrEnum):
    PUBLIC = "public"
    PRIVATE = "private"
    SHARED = "shared"
    COMMUNITY = "community"


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One image. Sets are shared between equal images, so that 10,000 of them at 100 stores stay small."""

    id: ImageId
    name: str
    # Glance's word: `active` is the only one that can be copied.
    status: str
    visibility: str
    owner: str
    hidden: bool
    disk_format: str
    container_format: str
    # Bytes; None until data has been uploaded.
    size: int | None
    tags: frozenset[str]
    properties: dict[str, str]
    # Where the data is, by Glance's `stores`.
    stores: frozenset[StoreId]
    # `os_glance_importing_to_stores`: not yet written by the running import, or never written by the last one.
    importing_to: frozenset[StoreId]
    # `os_glance_failed_import`: failed in the running or the last import.
    failed: frozenset[StoreId]
    # `os_glance_import_task`: the lock. Whoever holds it, no other import of this image can start.
    lock: TaskId | None
    hash_algo: str
    hash_value: str
    updated_at: datetime

    @property
    def active(self) -> bool:
        return self.status == "active"

    @property
    def moving(self) -> bool:
        """True while an import of this image is under way (or was, when its worker died).

        Only the lock tells: after an all-or-nothing import failed, the stores whose turn never came stay in
        `os_glance_importing_to_stores` for good (tried).
        """
        return self.lock is not None


class TaskStatus(StrEnum):
    """Glance's task states."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"

    @property
    def ended(self) -> bool:
        return self in {TaskStatus.SUCCESS, TaskStatus.FAILURE}


# A lock may be taken over after so long without an update of its task (glance/api/v2/images.py), in minutes.
LOCK_EXPIRY = {TaskStatus.PENDING: 120, TaskStatus.PROCESSING: 60, TaskStatus.SUCCESS: 60, TaskStatus.FAILURE: 60}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportTask:
    """One entry of `GET /v2/images/{id}/tasks`."""

    id: TaskId
    status: TaskStatus
    # For people: "Copied 16 MiB" while a store is written, an error text afterwards.
    message: str
    # The stores that the request named, in order; empty when Glance does not tell.
    stores: tuple[StoreId, ...]
    created_at: datetime
    updated_at: datetime

    @property
    def expires_at(self) -> datetime:
        """When Glance gives the lock that this task holds to somebody else, unless the task is updated before."""
        return self.updated_at + timedelta(minutes=LOCK_EXPIRY[self.status])
