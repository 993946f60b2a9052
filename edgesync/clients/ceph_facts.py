"""What `doctor` asks of one store's cluster beyond what the daemon does. Nothing is changed there.

Everything here blocks. Tried on 16.2 with a key that has no more than `profile rbd`: the monitors tell their status and
a full report, the only thing in which they tell their clock (20 KB for one OSD); what the key may do they don't tell
(`auth get` is refused). But an OSD looks at a key's capabilities before it looks for the object. So an operation on an
object that doesn't exist is answered ENOENT when it is permitted, and EPERM when it isn't.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import rados

from edgesync.clients.ceph_commands import ask_monitors
from edgesync.clients.ceph_connection import Connection
from edgesync.clients.ceph_refusals import FORBIDDEN, Refusals
from edgesync.domain.checkup import Monitored, Rights
from edgesync.domain.store import CephSettings

# A method of RBD's on the OSDs that reads, and one that changes; its input is what it would decode if it came so far.
READS = ("rbd", "get_id", b"")
CHANGES = ("rbd", "set_protection_status", bytes(9))


class CephFacts:
    """The blocking half of `CephCheckup`. Raises the classes of `edgesync.errors`."""

    def __init__(self, settings: CephSettings, refusals: Refusals) -> None:
        self._refusals = refusals
        self._connection = Connection(settings, refusals)

    def close(self) -> None:
        self._connection.close()

    def monitored(self) -> Monitored:
        with self._connection.asking("reach the monitors") as session:
            health = ask_monitors(session.cluster, "status")["health"]
            return Monitored(
                fsid=session.cluster.get_fsid(),
                for_rbd="rbd" in session.pool.application_list(),
                health=str(health["status"]),
                troubles={
                    code: str(check["summary"]["message"])
                    for code, check in health["checks"].items()
                    if not check.get("muted")
                },
            )

    def ahead(self) -> float:
        with self._connection.asking("read the monitors' clock") as session:
            before = datetime.now(UTC)
            told = str(ask_monitors(session.cluster, "report")["timestamp"])
            middle = before + (datetime.now(UTC) - before) / 2
            return datetime.fromisoformat(told).timestamp() - middle.timestamp()

    def rights(self) -> Rights:
        absent = f"edgesync-doctor-{uuid4().hex}"
        with self._connection.asking("try what the key may do") as session:
            return Rights(
                write=_permitted(lambda: session.pool.remove_object(absent)),
                rbd_read=_permitted(lambda: session.pool.execute(absent, *READS)),
                rbd_change=_permitted(lambda: session.pool.execute(absent, *CHANGES)),
            )


def _permitted(operation: Callable[[], object]) -> bool:
    try:
        operation()
    except rados.Error as error:
        code = getattr(error, "errno", None)
        if code != errno.ENOENT and code not in FORBIDDEN:
            raise
        return bool(code == errno.ENOENT)
    return True
