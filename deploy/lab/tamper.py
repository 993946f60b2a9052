"""What people, bugs and crashes do behind Glance's and edgesync's back, with an administrator's rights at the site."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import rados
import rbd

from deploy.lab import ceph, mariadb
from deploy.lab.errors import LabError
from deploy.lab.layout import Lab
from deploy.lab.readback import SNAPSHOT
from deploy.lab.wait import POLL

PATIENCE = 40  # seconds for somebody who still writes an image to end; a dead client's watch lasts 30
_CHUNK = 4 * 2**20


def unprotect_snap(lab: Lab, site: str, image: str) -> None:
    """Leave the snapshot there, unprotected: a clone of it can't be made."""
    with _images(lab, site) as pool, rbd.Image(pool, image) as handle:
        handle.unprotect_snap(SNAPSHOT)


def remove_image(lab: Lab, site: str, image: str, *, pool: str = "images") -> None:
    """Remove an RBD image with its snapshots; nothing happens when there is none. Its clones go on without it.

    Somebody may still be writing it, and make a snapshot when it is done: then it is tried again.
    """
    deadline = time.monotonic() + PATIENCE
    with _images(lab, site, pool) as ioctx:
        while True:
            try:
                _drop_snapshots(lab, site, ioctx, image)
                rbd.RBD().remove(ioctx, image)
            except rbd.ImageNotFound:
                return
            except (rbd.ImageHasSnapshots, rbd.ImageBusy):
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL)


def make_partial(lab: Lab, site: str, image: str, size: int, *, written: int | None = None) -> None:
    """An RBD image of that size without a snapshot, as a writer leaves it that dies; half of it written by default."""
    with _images(lab, site) as pool:
        rbd.RBD().create(pool, image, size)
        with rbd.Image(pool, image) as handle:
            end = size // 2 if written is None else written
            for start in range(0, end, _CHUNK):
                handle.write(b"\x5a" * min(_CHUNK, end - start), start)


def make_copy(lab: Lab, source: str, target: str, image: str) -> str:
    """Put the image's data into another site without Glance's knowledge; its location's URL."""
    with (
        _images(lab, source) as source_pool,
        _images(lab, target) as target_pool,
        rbd.Image(source_pool, image, snapshot=SNAPSHOT, read_only=True) as original,
    ):
        rbd.RBD().create(target_pool, image, original.size())
        with rbd.Image(target_pool, image) as copy:
            for start in range(0, original.size(), _CHUNK):
                copy.write(original.read(start, min(_CHUNK, original.size() - start)), start)
            copy.create_snap(SNAPSHOT)
            copy.protect_snap(SNAPSHOT)
    return f"rbd://{lab.site(target).fsid}/images/{image}/{SNAPSHOT}"


def corrupt(lab: Lab, site: str, image: str, offset: int, length: int = 1) -> None:
    """Flip the bits of so many bytes where they are stored, the snapshot's too: RBD notices nothing.

    KeyError where nothing is stored. RADOS copies an object before its first write after a snapshot only where the
    writer says so, as RBD does.
    """
    with _images(lab, site) as pool:
        with rbd.Image(pool, image, read_only=True) as handle:
            prefix, size = handle.block_name_prefix(), handle.stat()["obj_size"]
        end = offset + length
        while offset < end:
            index, start = divmod(offset, size)
            name, step = f"{prefix}.{index:016x}", min(end - offset, size - start)
            stored = pool.read(name, step, start)
            if len(stored) < step:
                raise KeyError(f"{name} has nothing at {start}")
            pool.write(name, bytes(byte ^ 0xFF for byte in stored), start)
            offset += step


def clone(lab: Lab, site: str, image: str, pool: str, name: str) -> None:
    """Make a clone, as Nova does for a VM's disk: the image's snapshot can't be removed while it exists."""
    with _images(lab, site) as images, _images(lab, site, pool) as ioctx:
        rbd.RBD().clone(images, image, SNAPSHOT, ioctx, name, features=rbd.RBD_FEATURE_LAYERING)


def remove_location(lab: Lab, image: str, store: str) -> None:
    """Make Glance forget a copy, in its database: through its API the RBD data would go, too."""
    where = f"image_id = '{uuid.UUID(image)}' AND deleted = 0 AND value LIKE 'rbd://{lab.site(store).fsid}/%'"
    # Nothing of it comes from outside.
    if mariadb.changed(lab, f"UPDATE image_locations SET deleted = 1, status = 'deleted' WHERE {where}") == 0:  # noqa: S608
        raise LabError(f"Glance knows no copy of image {image} in store {store}")


@contextmanager
def only_in(lab: Lab, image: str, store: str) -> Iterator[None]:
    """Make Glance forget the image's other copies for a while: whatever it reads then, it reads from this store."""
    others = f"image_id = '{uuid.UUID(image)}' AND deleted = 0 AND value NOT LIKE 'rbd://{lab.site(store).fsid}/%'"
    # Nothing of it comes from outside.
    keys = ", ".join(key for (key,) in mariadb.query(lab, f"SELECT id FROM image_locations WHERE {others}"))  # noqa: S608
    if keys:
        mariadb.changed(lab, f"UPDATE image_locations SET deleted = 1 WHERE id IN ({keys})")  # noqa: S608
    try:
        yield
    finally:
        if keys:
            mariadb.changed(lab, f"UPDATE image_locations SET deleted = 0 WHERE id IN ({keys})")  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class Trashed:
    """One RBD image in the trash."""

    id: str
    name: str
    until: datetime  # not removed for good before then


def trash_list(lab: Lab, site: str) -> list[Trashed]:
    """What is in the trash of the site's pool."""
    with _images(lab, site) as pool:
        return [
            Trashed(id=entry["id"], name=entry["name"], until=entry["deferment_end_time"].replace(tzinfo=UTC))
            for entry in rbd.RBD().trash_list(pool)
        ]


def empty_trash(lab: Lab, site: str) -> None:
    """Remove what is in the trash for good, whatever its time of grace."""
    with _images(lab, site) as pool:
        for entry in list(rbd.RBD().trash_list(pool)):
            _drop_snapshots(lab, site, pool, key=entry["id"])
            rbd.RBD().trash_remove(pool, entry["id"], force=True)


def remove_objects(lab: Lab, site: str) -> None:
    """Remove the data of all RBD images in the pool, that of images whose header is lost, too."""
    with _images(lab, site) as pool:
        for name in [entry.key for entry in pool.list_objects() if entry.key.startswith("rbd_data.")]:
            with suppress(rados.ObjectNotFound):  # only listed until the OSD gets to it
                pool.remove_object(name)


@contextmanager
def _images(lab: Lab, site: str, pool: str = "images") -> Iterator[rados.Ioctx]:
    with ceph.pool(lab.site(site), pool, user="admin") as ioctx:
        yield ioctx


def _drop_snapshots(
    lab: Lab, site: str, pool: rados.Ioctx, image: str | None = None, *, key: str | None = None
) -> None:
    """Those of one image; copies that are layered on it get their own data first."""
    with rbd.Image(pool, image, image_id=key) as handle:
        for child in list(handle.list_children2()):
            with _images(lab, site, child["pool"]) as theirs, rbd.Image(theirs, image_id=child["id"]) as clone:
                clone.flatten()
        for snapshot in [entry["name"] for entry in handle.list_snaps()]:
            if handle.is_protected_snap(snapshot):
                handle.unprotect_snap(snapshot)
            handle.remove_snap(snapshot)
