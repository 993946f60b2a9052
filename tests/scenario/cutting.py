"""Kills the daemon at a chosen step: between two instructions, as SIGKILL would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from edgesync.domain.block_ports import Blocks, Writing
from edgesync.domain.ports import Cluster, Glance, Journal
from tests.scenario.stage import Outside

# What changes something: in the journal, at Glance, at a site.
WRITES = frozenset(
    {"add_job", "start_attempt", "attach_task", "finish_attempt", "drop_attempt", "settle", "cancel", "pause"}
    | {"resume", "add_events", "trim", "keep_digests", "forget_image", "forget_copies", "add_verification"}
    | {"keep_gaps"}
)
REQUESTS = frozenset({"copy_image", "delete_from_store", "create_image", "stage", "import_image", "delete_image"})
REQUESTS |= {"add_location"}
DEEDS = frozenset({"trash", "protect"})
BLOCKS = frozenset({"create", "clone", "grow", "seal", "rename", "trash", "flatten"})


class Scissors(Outside):
    """Cuts a life off before or after its n-th step. Nothing that the life still tries has any effect then."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.passed = 0
        # What was about to happen, or had just happened.
        self.where = ""
        self._cut = asyncio.Event()

    @property
    def cut(self) -> bool:
        return self._cut.is_set()

    async def fall(self) -> None:
        """Return when the life was cut off."""
        await self._cut.wait()

    async def step(self, where: str) -> None:
        if not self.cut:
            self.passed += 1
            if self.passed != self.at:
                return
            self.where = where
            self._cut.set()
            # Never: whoever did this step hears nothing more of it.
            await asyncio.get_running_loop().create_future()
        raise asyncio.CancelledError

    def journal(self, journal: Journal) -> Journal:
        return cast("Journal", _Watched(journal, WRITES, self))

    def glance(self, glance: Glance) -> Glance:
        return cast("Glance", _Watched(glance, REQUESTS, self))

    def cluster(self, cluster: Cluster) -> Cluster:
        return cast("Cluster", _Watched(cluster, DEEDS, self))

    def blocks(self, blocks: Blocks) -> Blocks:
        return cast("Blocks", _WatchedBlocks(blocks, BLOCKS, self))


class _Watched:
    """Passes everything on, and steps through the scissors before and after what changes something."""

    def __init__(self, behind: Any, names: Collection[str], scissors: Scissors) -> None:
        self._behind = behind
        self._names = names
        self._scissors = scissors

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._behind, name)
        if name not in self._names:
            return method

        async def watched(*arguments: Any, **named: Any) -> Any:
            await self._scissors.step(f"before {name}")
            result = await method(*arguments, **named)
            await self._scissors.step(f"after {name}")
            return result

        return watched


class _WatchedBlocks(_Watched):
    """Steps through the scissors at each write, too, and where a dead writer is cut off."""

    @asynccontextmanager
    async def writing(self, name: str, *, take_over: bool = False) -> AsyncIterator[Writing]:
        if take_over:
            await self._scissors.step("before take_over")
        async with self._behind.writing(name, take_over=take_over) as image:
            if take_over:
                await self._scissors.step("after take_over")
            yield cast("Writing", _Watched(image, {"write", "write_all"}, self._scissors))


def made(folder: Path) -> Path:
    """A folder of its own for one life."""
    folder.mkdir()
    return folder


async def first_of(tale: Awaitable[None], scissors: Scissors) -> bool:
    """True when the tale was cut off before its end."""
    telling, falling = asyncio.ensure_future(tale), asyncio.create_task(scissors.fall())
    try:
        await asyncio.wait({telling, falling}, return_when=asyncio.FIRST_COMPLETED)
        if not scissors.cut:
            telling.result()
        return scissors.cut
    finally:
        telling.cancel()
        falling.cancel()
        await asyncio.gather(telling, falling, return_exceptions=True)
