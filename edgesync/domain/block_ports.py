"""What the rbd engine needs of a store's cluster: images read and written block by block, compared, layered.

Beside `ports.Cluster`, on a connection of its own: a copy that fills the line must not make the site look dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from edgesync.domain.blocks import Digests, Extent, Flattening, Layout
from edgesync.domain.layers import PoolLayers


class Reading(Protocol):
    """An image's snapshot `snap`, open for reading."""

    @property
    def layout(self) -> Layout: ...

    async def extents(self) -> Sequence[Extent]:
        """The parts that may hold data, in order; what is left out reads as zeros. What a parent holds counts."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. UnreadableError where the site's disks have lost them."""
        ...


class Writing(Protocol):
    """An image open for writing, locked against other writers."""

    @property
    def layout(self) -> Layout: ...

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """On disk when it returns. UnreachableError: it may be there, in part.

        TransientError when the image is no longer what it was: removed, or resized.
        """
        ...

    async def write_all(self, pieces: Sequence[tuple[int, bytes | memoryview]]) -> None:
        """Many at once, by their offsets, in no order: a long line costs its delay once.

        Of small scattered ones an OSD takes two to three times as many a second as one by one (tried nearby).
        """
        ...


class Blocks(Protocol):
    """One store's pool. Every method has a deadline on Ceph's side and on ours, and raises what `Cluster` raises."""

    def reading(self, name: str) -> AbstractAsyncContextManager[Reading]:
        """NotFoundError when there is no such image, or it has no snapshot `snap`."""
        ...

    def writing(self, name: str, *, take_over: bool = False) -> AbstractAsyncContextManager[Writing]:
        """Writes wait for whoever holds the image's lock: a killed writer does for half a minute.

        With `take_over` everybody else who has it open for writing is cut off from the cluster at once, dead or alive.
        Only for images that nobody but edgesync writes, and while no manager flattens them.
        """
        ...

    async def create(self, name: str, layout: Layout) -> None:
        """ConflictError when there is one of that name."""
        ...

    async def clone(self, base: str, name: str, *, object_size: int) -> None:
        """Make an image on top of another's protected `snap`, of the same size and features."""
        ...

    async def grow(self, name: str, size: int) -> None:
        """Give an image so many bytes, if it has fewer: what it gains are zeros, of a clone, too."""
        ...

    async def disk(self, base: str, pool: str, name: str, *, object_size: int) -> None:
        """The same in another pool of the cluster, for an instance or a volume.

        NotFoundError, too, when there is no such pool; PermanentError when our key may not write there.
        """
        ...

    async def digests(self, name: str, block: int, *, snapshot: bool) -> Digests:
        """What the image, or its `snap`, holds: computed on the OSDs where they can and we may, else read.

        Blocks that the site's disks have lost are UNREADABLE, so that they differ from what they should be.
        """
        ...

    async def seal(self, name: str, *, take_over: bool = False) -> None:
        """Take the snapshot `snap` and protect it; what is done already is left as it is.

        A killed client that had it open holds that up for half a minute, even without a lock. `take_over` as for
        `writing`.
        """
        ...

    async def rename(self, name: str, to: str) -> None:
        """ConflictError when there is one of that name; NotFoundError when there is none to rename."""
        ...

    async def tidy(self, name: str, other: str) -> None:
        """Undo what a killed client has left half done: a rename between two names, or the making of `name`.

        RBD takes up neither: two names stay that open one image and can't be renamed, or a name that can be neither
        opened nor made. Whatever is an image is left alone. Only where nobody else renames or makes that name.
        """
        ...

    async def location(self, name: str) -> str:
        """The URL by which Glance's RBD driver finds an image: cluster, pool, name and snapshot."""
        ...

    async def trash(self, name: str, *, delay: timedelta) -> None:
        """As `Cluster.trash`: ConflictError while somebody has it open for writing, we too, or it has clones.

        Changes of ours that are still under way are waited for, those whose callers were cancelled, too.
        """
        ...

    async def children(self, name: str) -> tuple[str, ...]:
        """Its clones, as pool/image, those in a trash, too."""
        ...

    async def parent(self, name: str) -> str | None:
        """What it is a clone of, as pool/image; None where it depends on nothing."""
        ...

    async def layers(self, *, measured: bool = True) -> PoolLayers:
        """Every image in the pool, and what was cloned from them into other pools.

        Nothing of the data is read. Disks beyond the first hundreds are left out: they are among the clones of what
        they lie on. What is odd about one image hides no other. Without `measured` nothing is counted of what images
        hold and share: of a clone of 10 GiB in objects of 64 KiB that takes 0.2 s of a core, and all the rest 12 ms
        (tried).
        """
        ...

    async def flatten(self, name: str) -> None:
        """Have a clone made independent of its parent by the site's manager, so that nothing crosses the line.

        It takes its time: `tasks` tells how far it is, and `parent` when it is done. Asked for again, or of an image
        that has no parent, nothing happens.
        """
        ...

    async def tasks(self) -> tuple[Flattening, ...]:
        """What the site's manager still has to flatten in this pool."""
        ...

    async def close(self) -> None: ...
