"""Which labs there are, and who may work on one: ports are allotted and folders made here, one caller at a time."""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.lab import ports
from deploy.lab.errors import LabError
from deploy.lab.layout import DISTRO, HOME, IMAGES, OPENSTACK, Lab, Network, Release
from deploy.lab.wait import POLL, say

PATIENCE = 300  # seconds for another command on the same lab to end
_RESERVED = (OPENSTACK.name, IMAGES.name, DISTRO.name)


def create(
    name: str,
    edges: int,
    token_lifetime: int,
    home: Path = HOME,
    *,
    release: Release = Release.PINNED,
    network: Network = Network.LOOPBACK,
    rate: int = 0,
) -> Lab:
    """Allot ports and addresses to a new lab and record it. Its folder is there: `locked` has made it."""
    start = int.from_bytes(hashlib.sha256(str(home).encode()).digest()[:2], "big")
    with _lock(home):
        taken = {Lab.load(path.parent.name, home).base_port for path in home.glob("*/state.json")}
        lab = Lab(
            name=name,
            edges=edges,
            base_port=ports.allot(taken | ports.linked(), start),
            seed=secrets.token_hex(16),
            token_lifetime=token_lifetime,
            glance=release,
            network=network,
            rate=rate,
            home=home,
        )
        lab.save()
    return lab


@contextmanager
def locked(name: str, home: Path = HOME) -> Iterator[Path]:
    """Hold a lab's folder, made if need be, against every other command on the same lab."""
    if not name.replace("-", "").isalnum() or name in _RESERVED:
        raise LabError(f"{name!r} can't be a lab's name: letters, digits and dashes, and not {', '.join(_RESERVED)}")
    home.mkdir(exist_ok=True)
    folder = home / name
    while True:
        folder.mkdir(exist_ok=True)
        with _lock(folder) as descriptor:
            # While we waited a `down` may have removed the folder: then this lock is on nothing.
            if folder.exists() and folder.stat().st_ino == os.fstat(descriptor).st_ino:
                yield folder
                return


@contextmanager
def locked_lab(name: str, home: Path = HOME) -> Iterator[Lab]:
    """An existing lab, with every other command on it kept out."""
    Lab.load(name, home)
    with locked(name, home):
        yield Lab.load(name, home)


@contextmanager
def _lock(folder: Path) -> Iterator[int]:
    """A lock on the folder itself leaves no lock file behind, and the kernel drops it when its holder dies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _acquire(descriptor, folder)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> None:
    began = time.monotonic()
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - began > PATIENCE:
                raise LabError(f"another command holds {folder} for {PATIENCE} s; find it: fuser -v {folder}") from None
            if not told:
                say(f"waiting for another command on {folder}")
                told = True
            time.sleep(POLL)
        else:
            return
