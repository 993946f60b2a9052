"""What the contract suite does to a pool behind the client's back, and what it looks at there."""

from __future__ import annotations

import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB, Digests, Layout, digests_of

# As Glance's driver makes images: layering, exclusive-lock, object-map, fast-diff, deep-flatten; objects of 8 MiB.
FEATURES = 61
OBJECT = 8 * MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """An image, as somebody else sees it."""

    layout: Layout
    # Of its snapshot `snap`.
    snapshot: bool
    protected: bool
    # How many it has itself, in RADOS, the snapshot's not counted twice.
    objects: int


class Driver(Protocol):
    """Everything that is done to one store's pool by somebody else than edgesync. Image names are never used twice."""

    async def put(
        self, name: str, data: bytes, *, object_size: int = OBJECT, snapshot: bool = True, protected: bool = True
    ) -> None:
        """An image with these bytes. Zeros at the end of an object are not written, as `rbd import` does."""
        ...

    async def clone(self, name: str, child: str) -> None:
        """Clone its snapshot within the pool, with objects as large as its own."""
        ...

    async def data(self, name: str, *, snapshot: bool = True) -> bytes: ...

    async def look(self, name: str) -> Seen: ...

    async def look_at_disk(self, pool: str, name: str) -> tuple[Layout, bytes]:
        """In another pool; its data, too."""
        ...

    async def rename(self, name: str, to: str) -> None: ...

    async def trash(self, name: str) -> None: ...

    async def resize(self, name: str, size: int) -> None: ...

    async def trashed(self, name: str) -> bool: ...

    async def behead(self, name: str) -> None:
        """Take away what RBD opens an image by; its name stays on the list."""
        ...

    async def leave_half_made(self, name: str, *, listed: bool) -> None:
        """Somebody makes it, and is killed before it has a header: it has its name, and a place in the list or none."""
        ...

    async def leave_half_trashed(self, name: str, *, trashed: bool) -> None:
        """Its id object is gone, its place in the list is not; `trashed`: it is in the trash already."""
        ...

    async def leave_half_renamed(self, name: str, to: str, *, listed: bool) -> None:
        """Somebody renames it, and is killed, before or after the list has the new name."""
        ...

    async def corrupt(self, name: str, offset: int) -> None:
        """Change one byte of the object that holds it."""
        ...

    async def leave_locked(self, name: str) -> None:
        """Somebody writes it, and is killed while they hold its lock."""
        ...

    async def leave_open(self, name: str) -> None:
        """Somebody opens it for writing, and is killed before they write."""
        ...

    async def flattened(self) -> None:
        """Return when the manager has done what it was asked for."""
        ...

    async def silence(self) -> None:
        """OSDs answer nothing."""
        ...

    async def fill(self) -> None:
        """Use up the pool."""
        ...

    async def stop_manager(self) -> None: ...

    async def heal(self) -> None:
        """Undo what was done to the site."""
        ...

    async def wait(self, seconds: float) -> None: ...

    def client(self) -> Blocks:
        """Another client of the same store; the driver closes it."""
        ...

    def client_that_reads(self) -> Blocks:
        """One whose librados knows of no checksums."""
        ...

    def client_without_manager_caps(self) -> Blocks: ...

    def client_of_one_pool(self) -> Blocks:
        """Whose key is good for the store's pool only."""
        ...


async def until(driver: Driver, seen: Callable[[], Awaitable[bool]], *, within: float = 60.0) -> None:
    """Wait until that is seen."""
    for _ in range(int(within / 0.25)):
        if await seen():
            return
        await driver.wait(0.25)
    raise AssertionError(f"not seen within {within} s")


def a_name() -> str:
    return f"contract-{uuid.uuid4()}"


def noise(length: int, seed: int = 1) -> bytes:
    """Data that no other seed has."""
    return random.Random(seed).randbytes(length)


def digests(data: bytes, block: int = 64 * KIB) -> Digests:
    return Digests(size=len(data), block=block, values=digests_of(bytes(data), block))


# Images of every shape.
SHAPES: dict[str, bytes] = {
    "one byte": b"x",
    "one block": noise(64 * KIB),
    "4 MiB and a byte": noise(4 * MIB + 1),
    "zeros": bytes(4 * MIB + 1),
    "no zeros": noise(12 * MIB),
    "a hole in the middle and at the end": noise(MIB) + bytes(19 * MIB) + noise(MIB) + bytes(11 * MIB + 5),
    "a zero at the end": noise(9 * MIB) + bytes(1),
    "no whole block": noise(100_001),
}
