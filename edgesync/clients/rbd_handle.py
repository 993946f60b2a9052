"""One RBD image held open. Everything here blocks: it runs in the store's threads.

Several threads may use a handle at once; it is closed when the last of them has left.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import rbd

from edgesync.clients.ceph_connection import Connection, translated
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.lending import OverError, Shared
from edgesync.clients.rbd_eviction import evict
from edgesync.clients.rbd_look import has_map
from edgesync.domain.blocks import Extent, Layout

# What of an image's features a new one can be made with; the others tell of its state.
CREATABLE = (
    rbd.RBD_FEATURE_LAYERING
    | rbd.RBD_FEATURE_EXCLUSIVE_LOCK
    | rbd.RBD_FEATURE_OBJECT_MAP
    | rbd.RBD_FEATURE_FAST_DIFF
    | rbd.RBD_FEATURE_DEEP_FLATTEN
)
# To write an image that has been removed, or beyond the end of one that has been made smaller.
ANOTHER = frozenset({errno.ENOENT, errno.EINVAL})
# Objects of an image without an object map that one call looks for: ten at a time, so that a line of 50 ms takes 2 s.
SLICE = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an image's own objects lie in RADOS."""

    pool: str
    prefix: str
    # RBD's number of the snapshot; None: the image as it is now.
    snapshot: int | None
    # Bytes.
    object_size: int
    # Striped over several objects in a way that we don't follow.
    striped: bool

    def name(self, offset: int) -> str:
        """Of the object that holds the image's byte `offset`."""
        return f"{self.prefix}.{offset // self.object_size:016x}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Which:
    """What to open."""

    # For people, where `id` is given.
    name: str
    # RBD's own.
    id: str | None = None
    # None: the store's.
    pool: str | None = None
    # By name; None: the image as it is now.
    snapshot: str | None = None
    write: bool = False


class Handle:
    """An image, or a snapshot of it. Raises the classes of `edgesync.errors`."""

    def __init__(self, connection: Connection, refusals: Refusals, which: Which) -> None:
        self.name = which.name
        self._connection = connection
        self._refusals = refusals
        what = f"open RBD image {which.name}"
        with ExitStack() as opening:
            self._session = opening.enter_context(connection.lent(what))
            with self._translated(what):
                image = self._open(opening, which)
                self.layout = layout_of(image)
                self.place = self._placed(image, which)
                self.overlap = _overlap(image)
                self._mapped = has_map(image)
            self._image = Shared(image, self._shut)
            # Everything that is open with it.
            self._stack = opening.pop_all()

    def close(self) -> None:
        self._image.end()

    def spans(self) -> list[Extent]:
        """The pieces in which to look for its objects, so that each look takes little time."""
        size = self.layout.size
        step = size if self._mapped else SLICE * self.layout.object_size
        return [Extent(offset=start, length=min(step, size - start)) for start in range(0, size, step or 1)]

    def extents(self, span: Extent, *, parents: bool) -> list[Extent]:
        """Whole objects that exist, those of its parents with them or not."""
        found: list[Extent] = []

        def note(offset: int, length: int, exists: bool) -> None:
            if exists:
                found.append(Extent(offset=offset, length=length))

        with self._used(f"look which objects RBD image {self.name} has") as image:
            image.diff_iterate(span.offset, span.length, None, note, include_parent=parents, whole_object=True)
        return found

    def read(self, offset: int, length: int) -> bytes:
        """UnreadableError where an OSD can't read what it has stored: nothing but that is wrong with the site."""
        what = f"read RBD image {self.name}"
        with self._used(what) as image:
            try:
                return image.read(offset, length)
            except rbd.OSError as error:
                if error.errno == errno.EIO:
                    raise self._refusals.lost_data(what, error, offset=offset, length=length) from error
                raise

    def write(self, offset: int, data: bytes | memoryview) -> None:
        with self._written() as image:
            image.write(_bytes(data), offset)

    def write_all(self, pieces: Sequence[tuple[int, bytes | memoryview]]) -> None:
        """All of them at once: a long line costs its delay once."""
        held = [(offset, _bytes(data)) for offset, data in pieces]
        under_way: list[rbd.Completion] = []
        with self._written() as image:
            try:
                under_way.extend(image.aio_write(data, offset, _nothing) for offset, data in held)
            finally:
                # Librbd takes the data from here until then.
                for completion in under_way:
                    completion.wait_for_complete_and_cb()
            for code in [completion.get_return_value() for completion in under_way]:
                if code < 0:
                    raise rbd.OSError("a write failed", -code)

    def take_over(self) -> None:
        """Cut off whoever else has it open for writing."""
        with self._used(f"take over RBD image {self.name}") as image:
            evict(self._session, image, self._refusals.store)

    def parent(self) -> Handle:
        """The snapshot that it is a clone of; NotFoundError where there is none."""
        with self._used(f"look for the parent of RBD image {self.name}") as image:
            pool, name, snapshot = image.parent_info()
            # By its id: it may have been renamed, or be in the trash.
            which = Which(name=name, id=image.parent_id(), pool=pool, snapshot=snapshot)
        return Handle(self._connection, self._refusals, which)

    def _open(self, opening: ExitStack, which: Which) -> rbd.Image:
        pool = self._session.pool
        if which.pool is not None:
            pool = opening.enter_context(self._session.cluster.open_ioctx(which.pool))
        name = which.name if which.id is None else None
        image = rbd.Image(pool, name, image_id=which.id, read_only=not which.write)
        opening.enter_context(image)
        if which.snapshot is not None:
            image.set_snap_by_id(self._number(image, which))
        return image

    def _number(self, image: rbd.Image, which: Which) -> int:
        for entry in image.list_snaps():
            if entry["name"] == which.snapshot:
                return entry["id"]
        raise self._refusals.no_snapshot(self.name)

    def _placed(self, image: rbd.Image, which: Which) -> Place:
        pool = self._session.cluster.pool_reverse_lookup(image.data_pool_id())
        return Place(
            pool=pool or "",
            prefix=image.block_name_prefix(),
            snapshot=None if which.snapshot is None else self._number(image, which),
            object_size=self.layout.object_size,
            striped=image.stripe_count() > 1,
        )

    @contextmanager
    def _used(self, what: str) -> Iterator[rbd.Image]:
        try:
            self._image.enter()
        except OverError as error:
            raise self._refusals.closed(what) from error
        try:
            with self._translated(what):
                yield self._image.thing
        finally:
            self._image.leave()

    @contextmanager
    def _written(self) -> Iterator[rbd.Image]:
        what = f"write RBD image {self.name}"
        with self._used(what) as image:
            try:
                yield image
            except rbd.OSError as error:
                if error.errno in ANOTHER:
                    raise self._refusals.changed(what, error) from error
                raise

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        with translated(self._refusals, what, self.name), self._connection.watched(self._session):
            yield

    def _shut(self, _: rbd.Image) -> None:
        with self._translated(f"close RBD image {self.name}"):
            self._stack.close()


def layout_of(image: rbd.Image) -> Layout:
    return Layout(
        size=image.size(),
        object_size=image.stat()["obj_size"],
        features=image.features() & CREATABLE,
    )


def _overlap(image: rbd.Image) -> int:
    """Bytes of the image through which its parent is seen; 0 where it has none."""
    try:
        return image.overlap()
    except rbd.ImageNotFound:
        return 0


def _nothing(_: rbd.Completion) -> None:
    pass


def _bytes(data: bytes | memoryview) -> bytes:
    """The binding takes nothing else; what is whole is not copied."""
    if isinstance(data, bytes):
        return data
    whole = data.obj
    return whole if isinstance(whole, bytes) and len(whole) == data.nbytes else data.tobytes()
