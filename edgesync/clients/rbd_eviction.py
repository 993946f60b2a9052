"""Cuts other clients off from an RBD image of ours. Everything here blocks.

Tried on 16.2, with clients that were killed. The lock of one holds for the half minute that its watch is there. Without
a lock, as between its opening and its first write, the watch alone makes a snapshot take that half minute, and its
protection 5 s: RBD asks every watcher first. Ceph's blocklist ends the watch at once, in 0.1 s, and whoever wants the
lock then breaks it by itself, since its owner watches no more.
"""

from __future__ import annotations

import rbd
import structlog

from edgesync.clients.ceph_connection import Session
from edgesync.domain.store import StoreId

log = structlog.get_logger(__name__)


def evict(session: Session, image: rbd.Image, store: StoreId) -> None:
    """Cut off from the cluster whoever else has it open for writing, dead or alive.

    `image` is open for writing over the session.
    """
    ours = session.cluster.get_instance_id()
    for watcher in image.watchers_list():
        if watcher["id"] != ours:
            address = watcher["addr"]
            session.cluster.blocklist_add(address)
            # Who finds the address in `ceph osd blocklist ls` looks for it in the log.
            what = "cut off a client that had an unfinished copy open"
            log.info(what, image=image.get_name(), store=store, client=address)
