"""What clients that were killed have left of RBD's bookkeeping. Everything here blocks.

RBD makes, renames and removes an image in several steps, of which each is on disk when the next begins, and takes up
none of them by itself (tried on 16.2, with clients killed at random). An image has an entry in the pool's directory, an
object `rbd_id.NAME` with its id, by which it is opened, and a header.

- A rename makes the id object of the new name, changes the directory, and removes the old one's: killed in between, two
  names open the same image, and RBD refuses to rename it ever after.
- What was not made to its end has a name or a place in the directory, and no header: it can't be opened, nor made.
- What is moved into the trash loses its id object first and its place in the directory last.
"""

from __future__ import annotations

import struct

import rados
import rbd

from edgesync.clients.ceph_connection import Session

DIRECTORY = "rbd_directory"
# How Ceph writes a text: its length, then its bytes.
_LENGTH = struct.Struct("<I")
# Bytes of a text that is read; names and ids are shorter.
_LONGEST = 8192


def tidy(session: Session, name: str, other: str) -> str:
    """Undo the half of a rename between two names, or what is left under `name` of an image that was never whole.

    Returns what was done, as a clause; empty: nothing was left. Whatever has a header can be opened or is in the trash
    afterwards: no data are lost sight of.
    """
    pool = session.pool
    # By which it is opened, and as the directory has it: the one is None where there is no such object, empty where
    # nobody came to write it, the other None where the name is not listed.
    own, listed = _id_of(pool, name), _listed(pool, name)
    if own is None and listed is None:
        return ""
    if own and own == _id_of(pool, other):
        # The directory tells which of the two counts.
        stale = other if listed == own else name
        pool.remove_object(_id_object(stale))
        return f"a rename that somebody had begun was undone: {stale} was a second name of an image"
    if own and _is_there(pool, f"rbd_header.{own}"):
        return ""
    if own is None and listed and _is_there(pool, f"rbd_header.{listed}") and not _in_trash(pool, listed):
        pool.write_full(_id_object(name), _text(listed))
        return f"{name} was listed and could not be opened: it has its id again"
    if listed is not None:
        pool.execute(DIRECTORY, "rbd", "dir_remove_image", _text(name) + _text(listed))
    if own is not None:
        pool.remove_object(_id_object(name))
    return f"{name} was the name of no image any more, or not yet: it is free again"


def _id_object(name: str) -> str:
    return f"rbd_id.{name}"


def _id_of(pool: rados.Ioctx, name: str) -> str | None:
    try:
        return _read(pool.read(_id_object(name), _LONGEST))
    except rados.ObjectNotFound:
        return None


def _listed(pool: rados.Ioctx, name: str) -> str | None:
    """The id of the image that has the name in the pool's directory."""
    try:
        _, answer = pool.execute(DIRECTORY, "rbd", "dir_get_id", _text(name), _LONGEST)
    except rados.ObjectNotFound:
        return None
    return _read(answer)


def _is_there(pool: rados.Ioctx, name: str) -> bool:
    try:
        pool.stat(name)
    except rados.ObjectNotFound:
        return False
    return True


def _in_trash(pool: rados.Ioctx, image_id: str) -> bool:
    """Who moves an image there takes its name away last."""
    return any(entry["id"] == image_id for entry in rbd.RBD().trash_list(pool))


def _text(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data


def _read(data: bytes) -> str:
    if len(data) < _LENGTH.size:
        return ""
    (length,) = _LENGTH.unpack_from(data)
    return data[_LENGTH.size : _LENGTH.size + length].decode()
