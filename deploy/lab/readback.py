"""What is really at a site, read straight from Ceph: the witness that neither Glance nor edgesync can talk round."""

import hashlib
from dataclasses import dataclass, field

import rados
import rbd

from deploy.lab import ceph
from deploy.lab.layout import Lab

SNAPSHOT = "snap"
_CHUNK = 8 * 2**20


@dataclass(frozen=True, kw_only=True)
class Readback:
    """One image at one site."""

    exists: bool
    size: int = 0
    snapshot: bool = False  # whether there is a snapshot `snap`
    protected: bool = False  # and whether it is protected, so that it can be booted from
    parent: str = ""  # the image that it is layered on
    # With which the names of its own RADOS objects begin: each image has another.
    prefix: str = field(default="", compare=False)
    sha512: str = ""  # of the content at that snapshot; empty without one

    @property
    def bootable(self) -> bool:
        return self.snapshot and self.protected


def readback(lab: Lab, site: str, image: str, *, pool: str = "images") -> Readback:
    """Read the whole image with edgesync's own client; a dead site raises `rados.Error` or `rbd.Error` in time."""
    with ceph.pool(lab.site(site), pool) as ioctx:
        try:
            handle = rbd.Image(ioctx, image, read_only=True)
        except rbd.ImageNotFound:
            found = Readback(exists=False)
        else:
            with handle:
                found = _read(handle)
    return found


def rbd_images(lab: Lab, site: str, pool: str = "images") -> list[str]:
    """Every RBD image in a pool of the site, known to Glance or not."""
    with ceph.pool(lab.site(site), pool) as ioctx:
        return sorted(rbd.RBD().list(ioctx))


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One RADOS object that holds data of some image."""

    size: int
    written: str  # when it was written last
    sha512: str


def objects(lab: Lab, site: str, pool: str = "images") -> dict[str, Stored]:
    """Every RADOS object with data in a pool of the site, images in the trash and orphans included.

    Not those that are removed already, and only listed until the OSD gets to what a snapshot had kept of them.
    """
    with ceph.pool(lab.site(site), pool, user="admin") as ioctx:
        names = sorted(entry.key for entry in ioctx.list_objects() if entry.key.startswith("rbd_data."))
        return {name: stored for name in names if (stored := _stored(ioctx, name)) is not None}


def _stored(ioctx: rados.Ioctx, name: str) -> Stored | None:
    try:
        size, written = ioctx.stat(name)
        data = ioctx.read(name, size)
    except rados.ObjectNotFound:
        return None
    return Stored(size=size, written=str(written), sha512=hashlib.sha512(data).hexdigest())


def _read(image: rbd.Image) -> Readback:
    size, prefix = image.size(), image.block_name_prefix()
    if not any(snapshot["name"] == SNAPSHOT for snapshot in image.list_snaps()):
        return Readback(exists=True, size=size, prefix=prefix)
    protected = image.is_protected_snap(SNAPSHOT)
    image.set_snap(SNAPSHOT)
    try:
        parent = image.parent_info()[1]
    except rbd.ImageNotFound:
        parent = ""
    return Readback(
        exists=True,
        size=size,
        snapshot=True,
        protected=protected,
        parent=parent,
        prefix=prefix,
        sha512=sha512(image),
    )


def sha512(image: rbd.Image) -> str:
    """Of all that an open image reads as."""
    digest, size = hashlib.sha512(), image.size()
    for start in range(0, size, _CHUNK):
        digest.update(image.read(start, min(_CHUNK, size - start)))
    return digest.hexdigest()
