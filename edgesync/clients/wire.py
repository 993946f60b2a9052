"""From Glance's JSON to domain records.

10,000 images pass through here whenever everything is listed, so this stays lean: one look at each field, equal
strings and sets shared. What an operator can't match on or show (locations, links, checksums) is dropped at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any, TypeVar

import structlog

from edgesync.domain.image import Image, ImageId, ImportTask, TaskId, TaskStatus
from edgesync.domain.job import ImportSource
from edgesync.domain.store import Store, StoreId
from edgesync.errors import RequestError

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=str)

RESERVED = "os_glance_"
# Fields of Glance's image schema. Every other key of the document is a custom property.
FIELDS = frozenset(
    {
        "checksum",
        "container_format",
        "created_at",
        "direct_url",
        "disk_format",
        "file",
        "id",
        "locations",
        "min_disk",
        "min_ram",
        "name",
        "os_hash_algo",
        "os_hash_value",
        "os_hidden",
        "owner",
        "protected",
        "schema",
        "self",
        "size",
        "status",
        "stores",
        "tags",
        "updated_at",
        "virtual_size",
        "visibility",
    }
)
# More distinct sets than this at once: forget them and begin again, so that the memory has a bound.
MOST_SETS = 4096


class MalformedError(ValueError):
    """A record that is not what Glance's schema promises; the message names the field."""


class ImageReader:
    """Turns documents into images, handing out the same set for the same content."""

    def __init__(self) -> None:
        # By Glance's text, whose order differs between images with the same stores; so the sets are shared once more.
        self._texts: dict[str, frozenset[StoreId]] = {}
        self._stores: dict[frozenset[StoreId], frozenset[StoreId]] = {}
        self._tags: dict[frozenset[str], frozenset[str]] = {}
        # Whether the image read last had its locations with it.
        self.shows_locations = False

    def page(self, documents: Iterable[object]) -> list[Image]:
        """Read what can be read; a malformed image must not hide the others."""
        images = []
        for document in documents:
            try:
                images.append(self.image(document))
            except MalformedError as error:
                log.warning("image skipped: Glance's record of it can't be read", image=_name(document), why=str(error))
        return images

    def image(self, document: object) -> Image:
        if not isinstance(document, dict):
            raise MalformedError("it is not an object")
        get = document.get
        tags = get("tags") or ()
        size = get("size")
        hidden = get("os_hidden", False)
        if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
            raise MalformedError("tags: expected a list of strings")
        if size is not None and (not isinstance(size, int) or size < 0):
            raise MalformedError("size: expected a number of bytes")
        if not isinstance(hidden, bool):
            raise MalformedError("os_hidden: expected true or false")
        lock = _text(document, RESERVED + "import_task")
        self.shows_locations = "locations" in document
        return Image(
            id=ImageId(_required(document, "id")),
            name=_text(document, "name"),
            status=intern(_required(document, "status")),
            visibility=intern(_required(document, "visibility")),
            owner=intern(_text(document, "owner")),
            hidden=hidden,
            disk_format=intern(_text(document, "disk_format")),
            container_format=intern(_text(document, "container_format")),
            size=size,
            tags=_shared(self._tags, frozenset(map(intern, tags))),
            properties=_properties(document),
            stores=self._split(_text(document, "stores")),
            importing_to=self._split(_text(document, RESERVED + "importing_to_stores")),
            failed=self._split(_text(document, RESERVED + "failed_import")),
            lock=TaskId(lock) if lock else None,
            hash_algo=intern(_text(document, "os_hash_algo")),
            hash_value=_text(document, "os_hash_value"),
            updated_at=_time(document, "updated_at"),
        )

    def _split(self, text: str) -> frozenset[StoreId]:
        """Take "dcn1,dcn10" apart: a substring search would find dcn1 in dcn10."""
        known = self._texts.get(text)
        if known is None:
            names = frozenset(StoreId(intern(name)) for part in text.split(",") if (name := part.strip()))
            known = _shared(self._stores, names)
            _bound(self._texts)
            self._texts[text] = known
        return known


def _shared(sets: dict[frozenset[T], frozenset[T]], content: frozenset[T]) -> frozenset[T]:
    _bound(sets)
    return sets.setdefault(content, content)


def _bound(cache: dict[Any, Any]) -> None:
    if len(cache) >= MOST_SETS:
        cache.clear()


def load_list(body: bytes) -> Any:
    """Parse a page of images; ValueError when it is not JSON.

    With show_multiple_locations, an image at 100 stores carries 14 KB of locations, on which a plain json.loads
    spends thirty times as long as on everything else. Nothing here reads them, so they are cut out first. A cut in the
    wrong place leaves brackets that don't match, and then the whole text is parsed after all. An empty list stays: that
    they are shown is worth knowing.
    """
    if _LOCATIONS not in body:
        return json.loads(body)
    try:
        return json.loads(_cut_locations(body))
    except ValueError:
        return json.loads(body)


# The key as Glance's json.dumps writes it. Neither can be inside a JSON string, where quotes are escaped.
_LOCATIONS = b'"locations": ['
_END = b'}], "'


def _cut_locations(body: bytes) -> bytes:
    first, *rest = body.split(_LOCATIONS)
    parts = [first]
    for part in rest:
        if part.startswith(b"]"):
            parts.append(_LOCATIONS)
            parts.append(part)
        else:
            parts.append(_LOCATIONS)
            parts.append(part[part.find(_END) + 1 :])
    return b"".join(parts)


def image_document(image: ImageId, source: ImportSource) -> dict[str, Any]:
    """The body of a request to create an image; RequestError when a property has the name of a field."""
    properties = dict(source.properties)
    if taken := sorted(FIELDS & properties.keys()):
        raise RequestError(
            f"An image's property can't be called {taken[0]}: that is a field of every image.",
            remedy="Give it another name, or set the field.",
        )
    return properties | {
        "id": image,
        "name": source.name,
        "disk_format": source.disk_format,
        "container_format": source.container_format,
        "visibility": source.visibility,
        "os_hidden": source.hidden,
        "min_disk": source.min_disk,
        "min_ram": source.min_ram,
        "tags": list(source.tags),
    }


def read_stores(document: object) -> tuple[Store, ...]:
    """Read `GET /v2/info/stores` or `.../detail`. An entry without a name is left out."""
    entries = document.get("stores") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise MalformedError("stores: expected a list")
    return tuple(_store(entry) for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))


def _store(entry: dict[str, Any]) -> Store:
    properties = entry.get("properties")
    ceph: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
    return Store(
        id=StoreId(intern(entry["id"])),
        description=str(entry.get("description") or ""),
        default=_flag(entry.get("default")),
        read_only=_flag(entry.get("read-only")),
        type=str(entry.get("type") or ""),
        fsid=str(ceph.get("fsid") or ""),
        pool=str(ceph.get("pool") or ""),
    )


def read_tasks(document: object) -> tuple[ImportTask, ...]:
    """Read `GET /v2/images/{id}/tasks`, newest first: Glance gives them in no order."""
    entries = document.get("tasks") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise MalformedError("tasks: expected a list")
    tasks = []
    for entry in entries:
        try:
            tasks.append(_task(entry))
        except MalformedError as error:
            log.warning("task skipped: Glance's record of it can't be read", task=_name(entry), why=str(error))
    return tuple(sorted(tasks, key=lambda task: task.created_at, reverse=True))


def _task(entry: object) -> ImportTask:
    if not isinstance(entry, dict):
        raise MalformedError("it is not an object")
    status = _required(entry, "status")
    if status not in set(TaskStatus):
        raise MalformedError(f"status: {status!r} is not known")
    created_at = _time(entry, "created_at")
    asked = entry.get("input")
    stores = asked.get("backend") if isinstance(asked, dict) else None
    return ImportTask(
        id=TaskId(_required(entry, "id")),
        status=TaskStatus(status),
        message=_text(entry, "message"),
        stores=tuple(StoreId(intern(store)) for store in stores or () if isinstance(store, str)),
        created_at=created_at,
        # A task that was never touched has no time of change.
        updated_at=_time(entry, "updated_at") if entry.get("updated_at") else created_at,
    )


def _properties(document: dict[str, Any]) -> dict[str, str]:
    return {
        intern(key): intern(value)
        for key, value in document.items()
        # A property that is null or a number says nothing that a policy could match.
        if key not in FIELDS and isinstance(value, str) and not key.startswith(RESERVED)
    }


def _required(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if isinstance(value, str) and value:
        return value
    raise MalformedError(f"{key}: expected a text, found {value!r:.40}")


def _text(document: dict[str, Any], key: str) -> str:
    """Return the text; empty where Glance says null or nothing."""
    value = document.get(key)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise MalformedError(f"{key}: expected a text, found {value!r:.40}")


def _time(document: dict[str, Any], key: str) -> datetime:
    """Images carry "2026-01-01T00:00:00Z", tasks the same without a zone; both are UTC."""
    text = _required(document, key)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedError(f"{key}: {text!r:.40} is not a time") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _flag(value: object) -> bool:
    """Glance writes flags as the string "true"."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _name(document: object) -> str:
    """What to call a record that can't be read."""
    if isinstance(document, dict):
        return str(document.get("id") or document.get("name") or "?")[:80]
    return "?"
