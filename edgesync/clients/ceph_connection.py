"""Our own connection to one cluster and pool: made when first needed, and made anew after a failure.

Everything here blocks; it runs in the store's threads, which share the connection (librados and librbd allow that).
Ceph's deadlines are set on it, whole seconds: without them librados waits for ever on a dead OSD.

Tried on 16.2: a connection costs 8 ms and leaves nothing behind. Shutting one down takes no time, even with a dead
OSD, but a call that still uses it would then wait for ever: so the last one to leave shuts it down.
"""

from __future__ import annotations

import errno
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import rados
import rbd

from edgesync.clients.ceph_refusals import Refusals
from edgesync.domain.store import CephSettings

LIMITS = ("rados_osd_op_timeout", "rados_mon_op_timeout", "client_mount_timeout")
# Librados prints its troubles on stderr; ours is the daemon's log, and they reach it as errors.
QUIET = {"log_to_stderr": "false", "err_to_stderr": "false"}
# With one of these the cluster has answered, so the connection is good.
ANSWERS = frozenset({errno.ENOENT, errno.EBUSY, errno.EEXIST, errno.ENOTEMPTY})


@dataclass(eq=False, kw_only=True, slots=True)
class Session:
    """An open connection and the calls that use it."""

    cluster: rados.Rados
    pool: rados.Ioctx
    users: int = 0


class Connection:
    """One store's connection."""

    def __init__(self, settings: CephSettings, refusals: Refusals) -> None:
        self._settings = settings
        self._refusals = refusals
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._closed = False

    @contextmanager
    def session(self, what: str) -> Iterator[Session]:
        """Lend the connection. A failure inside, unless it is an answer, makes the next call connect anew.

        So does a refusal: new capabilities count from the next connection on.
        """
        session = self._enter(what)
        try:
            yield session
        except (rados.Error, rbd.Error) as error:
            if getattr(error, "errno", None) not in ANSWERS:
                self._retire(session)
            raise
        finally:
            self._leave(session)

    def close(self) -> None:
        """Shut it down now, or when the last call has ended."""
        with self._lock:
            self._closed = True
            session, self._session = self._session, None
            idle = session is not None and session.users == 0
        if session is not None and idle:
            _shut_down(session)

    def _enter(self, what: str) -> Session:
        # Somebody who connects holds the lock, for as long as Ceph lets them try.
        if not self._lock.acquire(timeout=self._refusals.deadline):
            raise self._refusals.silent(what, sent=False)
        try:
            if self._closed:
                raise self._refusals.closed(what)
            if self._session is None:
                self._session = self._connect(what)
            self._session.users += 1
            return self._session
        finally:
            self._lock.release()

    def _retire(self, session: Session) -> None:
        with self._lock:
            if self._session is session:
                self._session = None

    def _leave(self, session: Session) -> None:
        with self._lock:
            session.users -= 1
            last = session.users == 0 and self._session is not session
        if last:
            _shut_down(session)

    def _connect(self, what: str) -> Session:
        """Every error says what to mend; none of them has had an effect."""
        cluster = self._configured()
        try:
            cluster.connect()
            return Session(cluster=cluster, pool=self._pool(cluster))
        except rados.Error as error:
            cluster.shutdown()
            raise self._refusals.not_connected(what, error, getattr(error, "errno", None)) from error
        except BaseException:
            cluster.shutdown()
            raise

    def _configured(self) -> rados.Rados:
        settings = self._settings
        for file in filter(None, (settings.conf, settings.keyring)):
            if not os.access(file, os.R_OK):
                raise self._refusals.unreadable(file)
        limit = str(max(1, math.ceil(self._refusals.deadline)))
        options = dict.fromkeys(LIMITS, limit) | QUIET
        if settings.keyring is not None:
            options["keyring"] = settings.keyring
        try:
            return rados.Rados(conffile=settings.conf, rados_id=settings.user, conf=options)
        except rados.Error as error:
            raise self._refusals.unusable(settings.conf, error) from error

    def _pool(self, cluster: rados.Rados) -> rados.Ioctx:
        try:
            return cluster.open_ioctx(self._settings.pool)
        except rados.ObjectNotFound as error:
            raise self._refusals.no_pool() from error


def _shut_down(session: Session) -> None:
    session.pool.close()
    session.cluster.shutdown()
