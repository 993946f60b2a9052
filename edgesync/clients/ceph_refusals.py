"""What a cluster refuses or fails to answer, as errors that say what a person can do. Each names store and pool.

Ceph's bindings are not imported here: an error's number tells enough, and what goes wrong without them is said here,
too.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    ForbiddenError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnreachableError,
    UnreadableError,
)

# What Nova and Cinder clone from.
SNAPSHOT = "snap"

FORBIDDEN = frozenset({errno.EPERM, errno.EACCES})
IN_USE = frozenset({errno.EBUSY, errno.ENOTEMPTY})
# Blocklisted, shut down; read-only is what librbd says when it could not get an image's lock in time (tried).
LOST = frozenset({None, errno.ESHUTDOWN, errno.ENOTCONN, errno.EROFS})


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """The errors of one store. `what` is what could not be done: "list the RBD images", after "Can't"."""

    store: StoreId
    settings: CephSettings
    # Seconds.
    deadline: float

    @property
    def where(self) -> str:
        return f"store {self.store} (pool {self.settings.pool})"

    def refused(self, what: str, error: Exception, code: int | None, *, name: str = "") -> EdgesyncError:
        """The error for one of librados or librbd with that errno, about the RBD image of that name if any."""
        if code == errno.ENOENT and name:
            return self.no_image(name)
        if code == errno.ETIMEDOUT:
            return self.silent(what)
        if code in LOST:
            return self.lost(what, error)
        if code in FORBIDDEN:
            return self.forbidden(what)
        if code in IN_USE:
            return self.in_use(what, f"Ceph says {error}")
        return PermanentError(
            f"Can't {what} in {self.where}: {error}.",
            remedy=f"Look at the site's health and logs; {self._try} may tell more.",
        )

    # ---- before anything was asked

    def not_connected(self, what: str, error: Exception, code: int | None) -> EdgesyncError:
        user = self.settings.user
        if code in FORBIDDEN:
            return PermanentError(
                f"The cluster of {self.where} refuses the key of client.{user}.",
                remedy=f"Compare the keyring here with `ceph auth get client.{user}` there, and the conf's mon host "
                "with that cluster's address.",
            )
        if code in {errno.ENOENT, errno.EIO}:
            return PermanentError(
                f"There is no usable key of client.{user} for {self.where}, or its conf names no monitors.",
                remedy=f"Put what `ceph auth get client.{user}` prints there into the file named as keyring (or by "
                f"{self.settings.conf}), and that cluster's mon host into {self.settings.conf}.",
            )
        if code == errno.ETIMEDOUT:
            return self.silent(what, sent=False)
        return self.lost(what, error, sent=False)

    def unreadable(self, file: str) -> PermanentError:
        return PermanentError(
            f"Can't read {file}, which is needed to reach {self.where}.",
            remedy="Put the site's file there, readable for the user edgesync runs as, or correct its path in the "
            "store's `ceph:`.",
        )

    def unusable(self, file: str, error: Exception) -> PermanentError:
        return PermanentError(
            f"Ceph can't use {file} for {self.where}: {error}.", remedy="Compare it with the site's own ceph.conf."
        )

    def no_pool(self) -> PermanentError:
        return PermanentError(
            f"The cluster of store {self.store} has no pool {self.settings.pool}.",
            remedy="Name the pool of Glance's rbd_store_pool as `pool` in the store's `ceph:`, and its cluster's conf.",
        )

    def no_bindings(self) -> PermanentError:
        return PermanentError(
            f"Can't reach the cluster of {self.where}: Ceph's Python modules are not installed.",
            remedy="`apt-get install python3-rados python3-rbd`, for the Python that runs edgesync; or take `ceph:` "
            "out of the store's configuration.",
        )

    def busy(self, what: str, limit: int) -> UnreachableError:
        return UnreachableError(
            f"Can't {what} in {self.where}: {limit} other calls, as many as may be, still wait for Ceph.",
            remedy="Look at the site's OSDs and manager, and the line to it; the calls end by themselves.",
            sent=False,
        )

    def closed(self, what: str) -> UnreachableError:
        return UnreachableError(
            f"Can't {what} in {self.where}: edgesync has closed the connection.", remedy="Nothing to do.", sent=False
        )

    # ---- once asked

    def silent(self, what: str, *, sent: bool = True) -> UnreachableError:
        return UnreachableError(
            f"Can't {what} in {self.where}: Ceph did not answer within {self.deadline:g} seconds.",
            remedy=f"Look at the site's monitors, manager and OSDs, and the line to it: {self._try}.",
            sent=sent,
        )

    def lost(self, what: str, error: Exception, *, sent: bool = True) -> UnreachableError:
        return UnreachableError(
            f"Can't {what} in {self.where}: the connection failed: {error}.",
            remedy=f"If it goes on, look whether `ceph osd blocklist ls` lists this host, and at {self._try}.",
            sent=sent,
        )

    def changed(self, what: str, error: Exception) -> TransientError:
        return TransientError(
            f"Can't {what} in {self.where}: somebody has removed or resized it meanwhile: {error}.",
            remedy="The next try looks again what there is, and makes it anew. If that goes on, look who else writes "
            "to this pool.",
        )

    def too_slow(self, name: str) -> TransientError:
        return TransientError(
            f"RBD image {name} in {self.where} has no good object map, and to look for each object takes too long.",
            remedy=f"`rbd object-map rebuild {self.settings.pool}/{name}`; where the features are missing, give images "
            "object-map and fast-diff by rbd_default_features in glance-api's ceph.conf.",
        )

    def lost_data(self, what: str, error: Exception, *, offset: int, length: int) -> UnreadableError:
        return UnreadableError(
            f"Can't {what} in {self.where}: its bytes {offset}-{offset + length - 1}: {error}.",
            remedy=f"`edgesync verify IMAGE --store {self.store} --repair` makes a copy good again from the hub's; "
            f"`ceph --conf {self.settings.conf} --id {self.settings.user} health detail` tells which disk fails.",
        )

    def forbidden(self, what: str) -> ForbiddenError:
        user, pool = self.settings.user, self.settings.pool
        return ForbiddenError(
            f"Can't {what} in {self.where}: client.{user} may not.",
            remedy=f"Give it the capabilities: `ceph auth caps client.{user} mon 'profile rbd' mgr 'profile rbd' "
            f"osd 'profile rbd pool={pool}'`, with one more `profile rbd pool=` for each pool with clones of images.",
        )

    def unmanaged(self, what: str, error: Exception, code: int | None) -> EdgesyncError:
        """What the manager's module for RBD refuses."""
        if code in FORBIDDEN:
            return self.forbidden(what)
        if code == errno.ETIMEDOUT:
            return self.silent(what)
        if code == errno.EAGAIN:
            return TransientError(
                f"Can't {what} in {self.where}: the cluster's manager is not ready.", remedy="Wait a moment."
            )
        return PermanentError(
            f"Can't {what} in {self.where}: {error}.",
            remedy="Look at the site's manager: `ceph mgr module ls` lists rbd_support as always on, and "
            "`ceph health detail` says if it failed.",
        )

    def no_image(self, name: str) -> NotFoundError:
        return NotFoundError(
            f"There is no RBD image {name} in {self.where}.", remedy="Look whether it was removed meanwhile."
        )

    def no_snapshot(self, name: str) -> NotFoundError:
        return NotFoundError(
            f"RBD image {name} in {self.where} has no snapshot {SNAPSHOT}.",
            remedy="It is half a copy: remove it from this store and copy it again.",
        )

    def unprotected(self, name: str) -> PermanentError:
        return PermanentError(
            f"The snapshot {SNAPSHOT} of RBD image {name} in {self.where} is not protected: nothing is cloned from it.",
            remedy=f"`rbd snap protect {self.settings.pool}/{name}@{SNAPSHOT}`.",
        )

    def taken(self, what: str, name: str, *, pool: str | None = None) -> ConflictError:
        return ConflictError(
            f"Can't {what} in {self.where}: there is an RBD image {name} already.",
            remedy=f"Look at whose it is: `rbd info {pool or self.settings.pool}/{name}`.",
        )

    def no_such_pool(self, what: str, pool: str) -> NotFoundError:
        return NotFoundError(
            f"Can't {what}: the cluster of store {self.store} has no pool {pool}.",
            remedy="`ceph osd pool ls` there lists its pools; Nova's is mostly vms, Cinder's volumes.",
        )

    def in_use(self, what: str, why: str) -> ConflictError:
        return ConflictError(
            f"Can't {what} in {self.where}: {why}.",
            remedy="Wait until nobody uses it: `rbd status` names who has it open, `rbd children` its clones. The "
            "watch of a client that died ends after half a minute.",
        )

    @property
    def _try(self) -> str:
        return f"`ceph --conf {self.settings.conf} --id {self.settings.user} status`"
