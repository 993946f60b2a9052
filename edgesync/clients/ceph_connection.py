"""Our own connection to one cluster and pool: made when first needed, and made anew after a failure.

Everything here blocks; it runs in the store's threads, which share the connection (librados and librbd allow that).
Ceph's deadlines are set on it, whole seconds: without them librados waits for ever on a dead OSD.

Tried on 16.2: a connection costs 8 ms and leaves nothing behind. Shutting one down takes no time, even with a dead
OSD, but a call that still uses it would then wait for ever.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import rados
import rbd

from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.lending import OverError, Renewed
from edgesync.domain.store import CephSettings

LIMITS = ("rados_osd_op_timeout", "rados_mon_op_timeout", "client_mount_timeout")
# Librados prints its troubles on stderr; ours is the daemon's log, and they reach it as errors.
QUIET = {"log_to_stderr": "false", "err_to_stderr": "false"}
# With one of these the cluster has answered, so the connection is good.
ANSWERS = frozenset({errno.ENOENT, errno.EBUSY, errno.EEXIST, errno.ENOTEMPTY, errno.EIO})
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(eq=False, kw_only=True, slots=True)
class Session:
    """An open connection."""

    cluster: rados.Rados
    pool: rados.Ioctx


class Connection:
    """One store's connection."""

    def __init__(self, settings: CephSettings, refusals: Refusals, *, options: Mapping[str, str] = NOTHING) -> None:
        """`options`: Ceph's own, beside the deadlines."""
        self._settings = settings
        self._refusals = refusals
        self._options = options
        self._renewed: Renewed[Session] = Renewed(_shut_down)

    @contextmanager
    def asking(self, what: str, name: str = "") -> Iterator[Session]:
        """Lend the connection. A failure inside, unless it is an answer, makes the next call connect anew.

        So does a refusal: new capabilities count from the next connection on. Ceph's errors leave as those of
        `edgesync.errors`, about the RBD image of that name, if any.
        """
        with translated(self._refusals, what, name), self.lent(what) as session, self.watched(session):
            yield session

    @contextmanager
    def lent(self, what: str) -> Iterator[Session]:
        """Lend it to somebody who watches each of their calls themselves."""
        try:
            shared = self._renewed.enter(lambda: self._connect(what), patience=self._refusals.deadline)
        except TimeoutError as error:
            raise self._refusals.silent(what, sent=False) from error
        except OverError as error:
            raise self._refusals.closed(what) from error
        try:
            yield shared.thing
        finally:
            shared.leave()

    @contextmanager
    def watched(self, session: Session) -> Iterator[None]:
        try:
            yield
        except (rados.Error, rbd.Error) as error:
            if getattr(error, "errno", None) not in ANSWERS:
                self._renewed.retire(session)
            raise

    def close(self) -> None:
        """Shut it down now, or when the last call has ended."""
        self._renewed.close()

    def _connect(self, what: str) -> Session:
        cluster = connect(self._settings, self._refusals, what, options=self._options)
        try:
            with _connecting(self._refusals, what):
                return Session(cluster=cluster, pool=self._pool(cluster))
        except BaseException:
            cluster.shutdown()
            raise

    def _pool(self, cluster: rados.Rados) -> rados.Ioctx:
        try:
            return cluster.open_ioctx(self._settings.pool)
        except rados.ObjectNotFound as error:
            raise self._refusals.no_pool() from error


def connect(settings: CephSettings, refusals: Refusals, what: str, *, options: Mapping[str, str]) -> rados.Rados:
    """A connection of the caller's own, to be shut down.

    `options`: Ceph's own, beside the deadlines or in their place. Every error says what to mend; none of them has had
    an effect.
    """
    cluster = _configured(settings, refusals, options)
    try:
        with _connecting(refusals, what):
            cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise
    return cluster


def _configured(settings: CephSettings, refusals: Refusals, options: Mapping[str, str]) -> rados.Rados:
    for file in filter(None, (settings.conf, settings.keyring)):
        if not os.access(file, os.R_OK):
            raise refusals.unreadable(file)
    conf = {**options_of(settings, refusals.deadline), **options}
    try:
        return rados.Rados(conffile=settings.conf, rados_id=settings.user, conf=conf)
    except rados.Error as error:
        raise refusals.unusable(settings.conf, error) from error


@contextmanager
def _connecting(refusals: Refusals, what: str) -> Iterator[None]:
    try:
        yield
    except rados.Error as error:
        raise refusals.not_connected(what, error, getattr(error, "errno", None)) from error


@contextmanager
def translated(refusals: Refusals, what: str, name: str) -> Iterator[None]:
    """Ceph's errors as those of `edgesync.errors`, with it as their cause."""
    try:
        yield
    except (rados.Error, rbd.Error) as error:
        raise refusals.refused(what, error, getattr(error, "errno", None), name=name) from error


def options_of(settings: CephSettings, deadline: float) -> dict[str, str]:
    """What every connection of ours is made with; the deadline in seconds."""
    options = dict.fromkeys(LIMITS, str(max(1, math.ceil(deadline)))) | QUIET
    if settings.keyring is not None:
        options["keyring"] = settings.keyring
    return options


def _shut_down(session: Session) -> None:
    session.pool.close()
    session.cluster.shutdown()
