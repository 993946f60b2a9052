"""Moves RBD images into the trash, unless somebody needs them. Everything here blocks."""

from __future__ import annotations

from datetime import timedelta

import rbd

from edgesync.clients.ceph_connection import Session
from edgesync.clients.ceph_refusals import Refusals


def trash(session: Session, refusals: Refusals, name: str, *, delay: timedelta) -> None:
    """Move it away, snapshots, protection and a dead client's lock with it.

    Ceph itself would also move an image that somebody has open and locked, or that has clones (tried), so this looks
    first. Nobody opens an image for writing between look and move: Glance only writes those it creates.
    """
    what = moving(name)
    with rbd.Image(session.pool, name, read_only=True) as image:
        # Our own count, too: this look leaves none.
        if watchers := len(list(image.watchers_list())):
            raise refusals.in_use(what, f"{watchers} client(s) have it open for writing")
        if children := children_of(image):
            raise refusals.in_use(what, f"it has clones: {', '.join(children)}")
    rbd.RBD().trash_move(session.pool, name, int(delay.total_seconds()))


def moving(name: str) -> str:
    """What it is called where it fails."""
    return f"move RBD image {name} into the trash"


def watchers_of(session: Session, image: rbd.Image) -> int:
    """Everybody's watches but this connection's. That of a client that died is there for 30 s more (tried)."""
    ours = session.cluster.get_instance_id()
    return sum(watcher["id"] != ours for watcher in image.watchers_list())


def children_of(image: rbd.Image) -> tuple[str, ...]:
    """Clones of all its snapshots, those in a trash, too: they go on needing it."""
    return tuple(sorted(f"{child['pool']}/{child['image']}" for child in image.list_children2()))
