"""What the rbd engine does with the RBD images in one pool. Everything here blocks: it runs in the store's threads.

Tried on 16.2. A clone inherits its parent's striping, so that a smaller object size is refused with EINVAL unless
stripe unit and count are named with it; a larger one alone makes a striped image (STRIPINGV2), which with
them it isn't. A rename is atomic for readers, and refused while there is one of that name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import quote

import rados
import rbd

from edgesync.clients.ceph_connection import Connection, Session
from edgesync.clients.ceph_refusals import SNAPSHOT, Refusals
from edgesync.clients.osd_digests import OsdDigests
from edgesync.clients.rbd_eviction import evict
from edgesync.clients.rbd_handle import Handle, Which, layout_of
from edgesync.clients.rbd_layers import layer_of, parent_of
from edgesync.clients.rbd_look import has_snapshot
from edgesync.clients.rbd_remains import tidy
from edgesync.clients.rbd_trash import children_of, moving, trash
from edgesync.domain.blocks import Layout
from edgesync.domain.layers import Layer
from edgesync.domain.store import CephSettings

# A write is on disk when it returns, and costs no memory beyond its own.
UNCACHED = {"rbd_cache": "false"}


class RbdBlocks:
    """The blocking half of `CephBlocks`. Raises the classes of `edgesync.errors`, with Ceph's own as cause."""

    def __init__(self, settings: CephSettings, refusals: Refusals) -> None:
        self._settings = settings
        self._refusals = refusals
        self._connection = Connection(settings, refusals, options=UNCACHED)
        self.sums = OsdDigests(settings, refusals)

    def close(self) -> None:
        self.sums.close()
        self._connection.close()

    def open(self, name: str, *, snapshot: bool = False) -> Handle:
        which = Which(name=name, snapshot=SNAPSHOT if snapshot else None)
        return Handle(self._connection, self._refusals, which)

    def open_for_writing(self, name: str, *, take_over: bool) -> Handle:
        handle = Handle(self._connection, self._refusals, Which(name=name, write=True))
        if take_over:
            try:
                handle.take_over()
            except BaseException:
                handle.close()
                raise
        return handle

    def create(self, name: str, layout: Layout) -> None:
        what = f"create RBD image {name}"
        with self._connection.asking(what, name) as session, self._naming(what, name):
            order = layout.object_size.bit_length() - 1
            rbd.RBD().create(session.pool, name, layout.size, order, old_format=False, features=layout.features)

    def clone(self, base: str, name: str, *, object_size: int) -> None:
        what = f"clone RBD image {base}"
        with self._connection.asking(what, base) as session, self._naming(what, name):
            self._clone(session, base, session.pool, name, object_size)

    def grow(self, name: str, size: int) -> None:
        what = f"enlarge RBD image {name}"
        with self._connection.asking(what, name) as session, rbd.Image(session.pool, name) as image:
            if image.size() < size:
                image.resize(size)

    def disk(self, base: str, pool: str, name: str, *, object_size: int) -> None:
        what = f"clone RBD image {base} to {pool}/{name}"
        with self._connection.asking(what, base) as session:
            try:
                there = session.cluster.open_ioctx(pool)
            except rados.ObjectNotFound as error:
                raise self._refusals.no_such_pool(what, pool) from error
            with there, self._naming(what, name, pool=pool):
                self._clone(session, base, there, name, object_size)

    def names(self) -> list[str]:
        with self._connection.asking("list the RBD images") as session:
            return sorted(rbd.RBD().list(session.pool))

    def layer(self, spec: str, *, clones: bool, measured: bool) -> Layer:
        """Of pool/name, in whatever pool; its clones are listed or not, what it holds is counted or not."""
        pool, _, name = spec.partition("/")
        with self._looking(f"look at RBD image {spec}", name, pool=pool) as image:
            return layer_of(image, pool=pool, name=name, clones=clones, measured=measured)

    @property
    def pool(self) -> str:
        return self._settings.pool

    def seal(self, name: str, *, take_over: bool) -> None:
        what = f"take the snapshot of RBD image {name}"
        with self._connection.asking(what, name) as session, rbd.Image(session.pool, name) as image:
            if take_over:
                evict(session, image, self._refusals.store)
            if not has_snapshot(image):
                image.create_snap(SNAPSHOT)
            if not image.is_protected_snap(SNAPSHOT):
                image.protect_snap(SNAPSHOT)

    def location(self, name: str) -> str:
        """As Glance's driver writes it (glance_store, _drivers/rbd.py)."""
        with self._connection.asking("read the cluster's id", name) as session:
            parts = (session.cluster.get_fsid(), self._settings.pool, name, SNAPSHOT)
            return "rbd://" + "/".join(quote(part, "") for part in parts)

    def rename(self, name: str, to: str) -> None:
        what = f"rename RBD image {name}"
        with self._connection.asking(what, name) as session, self._naming(what, to):
            rbd.RBD().rename(session.pool, name, to)

    def tidy(self, name: str, other: str) -> str:
        with self._connection.asking(f"look what is left of RBD image {name}", name) as session:
            return tidy(session, name, other)

    def trash(self, name: str, *, delay: timedelta) -> None:
        with self._connection.asking(moving(name), name) as session:
            trash(session, self._refusals, name, delay=delay)

    def children(self, name: str) -> tuple[str, ...]:
        with self._looking(f"look for clones of RBD image {name}", name) as image:
            return children_of(image)

    def parent(self, name: str) -> str | None:
        with self._looking(f"look for the parent of RBD image {name}", name) as image:
            return parent_of(image)

    def _clone(self, session: Session, base: str, pool: rados.Ioctx, name: str, object_size: int) -> None:
        with rbd.Image(session.pool, base, read_only=True) as image:
            self._require_snapshot(image, base)
            features = layout_of(image).features
        rbd.RBD().clone(
            session.pool,
            base,
            SNAPSHOT,
            pool,
            name,
            features=features,
            order=object_size.bit_length() - 1,
            stripe_unit=object_size,
            stripe_count=1,
        )

    def _require_snapshot(self, image: rbd.Image, name: str) -> None:
        if not has_snapshot(image):
            raise self._refusals.no_snapshot(name)
        if not image.is_protected_snap(SNAPSHOT):
            raise self._refusals.unprotected(name)

    @contextmanager
    def _naming(self, what: str, name: str, *, pool: str | None = None) -> Iterator[None]:
        try:
            yield
        except rbd.ImageExists as error:
            raise self._refusals.taken(what, name, pool=pool) from error

    @contextmanager
    def _looking(self, what: str, name: str, *, pool: str | None = None) -> Iterator[rbd.Image]:
        with (
            self._connection.asking(what, name) as session,
            session.cluster.open_ioctx(pool or self._settings.pool) as there,
            rbd.Image(there, name, read_only=True) as image,
        ):
            yield image
