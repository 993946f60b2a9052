"""What edgesync asks of a cluster's manager: to flatten clones, and what of that it has still to do.

Everything here blocks, and has no deadline inside Ceph. With `rados_mon_op_timeout` librados gives up on a command to
the manager without taking it back (16.2.15, RadosClient::mgr_command): an answer that comes later is written to where
the call's variables were. So librados waits for the answer, for as long as no manager gives one, and whatever it writes
to is there until then. Each command has a connection of its own, which nobody but its own thread shuts down, once the
answer is in. Who asked has a deadline (`ceph_calls`), and the threads that may wait are few.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import rados

from edgesync.clients.ceph_commands import ask_manager
from edgesync.clients.ceph_connection import connect
from edgesync.clients.ceph_refusals import Refusals
from edgesync.domain.blocks import Flattening
from edgesync.domain.store import CephSettings

# Never give up.
PATIENT = {"rados_mon_op_timeout": "0"}


class RbdManager:
    """Raises the classes of `edgesync.errors`, with Ceph's own as cause."""

    def __init__(self, settings: CephSettings, refusals: Refusals) -> None:
        self._settings = settings
        self._refusals = refusals

    def close(self) -> None:
        """Each command shuts its own connection down."""

    def flatten(self, name: str) -> None:
        """The manager goes on with it through restarts of its own; nothing happens when it has it already.

        Where there is nothing to flatten it answers ENOENT, as where there is no such image.
        """
        with self._managing(f"have RBD image {name} flattened", name) as cluster:
            ask_manager(cluster, "rbd task add flatten", image_spec=f"{self._settings.pool}/{name}")

    def tasks(self) -> tuple[Flattening, ...]:
        with self._managing("list the manager's tasks") as cluster:
            tasks = ask_manager(cluster, "rbd task list")
        here = {"action": "flatten", "pool_name": self._settings.pool, "pool_namespace": ""}
        return tuple(
            Flattening(
                image=task["refs"]["image_name"],
                running=task.get("in_progress", False),
                progress=task.get("progress", 0.0),
                trouble=task.get("retry_message", ""),
            )
            for task in tasks
            if here.items() <= task["refs"].items()
        )

    @contextmanager
    def _managing(self, what: str, name: str = "") -> Iterator[rados.Rados]:
        cluster = connect(self._settings, self._refusals, what, options=PATIENT)
        try:
            yield cluster
        except rados.Error as error:
            code = getattr(error, "errno", None)
            if code == errno.ENOENT and name:
                raise self._refusals.no_image(name) from error
            raise self._refusals.unmanaged(what, error, code) from error
        finally:
            cluster.shutdown()
