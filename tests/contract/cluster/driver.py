"""What the contract suite does to a cluster behind the client's back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from edgesync.domain.ports import Cluster

MIB = 2**20
# Glance's object size: what is written counts in these.
OBJECT = 8 * MIB
SIZE = 4 * OBJECT


class Driver(Protocol):
    """Everything that is done to one store's pool by somebody else than edgesync. Image names are never used twice."""

    def now(self) -> datetime:
        """The cluster's clock."""
        ...

    async def wait(self, seconds: float) -> None: ...

    async def make(
        self, name: str, *, written: int = SIZE, snapshot: bool = True, protected: bool = True, size: int = SIZE
    ) -> None:
        """An RBD image as Glance makes it."""
        ...

    async def open(self, name: str) -> None:
        """Somebody opens it for writing, and takes its exclusive lock."""
        ...

    async def write(self, name: str, written: int) -> None:
        """Whoever has it open writes on, up to so many bytes."""
        ...

    async def leave(self, name: str) -> None:
        """Whoever has it open closes it."""
        ...

    async def clone(self, name: str, *, trashed: bool = False) -> str:
        """Clone its snapshot into another pool; the clone as pool/name."""
        ...

    async def trash(self) -> dict[str, timedelta]:
        """What is in the pool's trash, and for how long it was to stay there."""
        ...

    async def silence(self) -> None:
        """OSDs answer nothing."""
        ...

    async def heal(self) -> None:
        """Undo `silence` and `fill`."""
        ...

    async def fill(self) -> None:
        """Use up the pool."""
        ...

    async def stop_manager(self) -> None:
        """Return when the cluster has noticed."""
        ...

    def client(self) -> Cluster:
        """Another client of the same store; the driver closes it."""
        ...

    def client_elsewhere(self) -> Cluster:
        """A client of another store."""
        ...

    def client_without_caps(self) -> Cluster: ...


async def until(driver: Driver, seen: Callable[[], Awaitable[bool]], *, within: float = 60.0) -> None:
    """Wait until that is seen; what the monitors know is seconds old."""
    for _ in range(int(within / 0.25)):
        if await seen():
            return
        await driver.wait(0.25)
    raise AssertionError(f"not seen within {within} s")
