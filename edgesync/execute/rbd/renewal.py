"""Makes a damaged copy good again, from the hub's and from what is good of it, while Glance's location stays.

A snapshot can't be written to. So a new image is made beside the damaged one, and swapped in by two renames; between
them, for a moment, the copy can't be opened. Disks that were cloned from the damaged image stay on it: they are never
broken, but they may show its damage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests
from edgesync.domain.image import ASIDE, ImageId, replacement_name
from edgesync.domain.ports import Cluster
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, TransientError
from edgesync.execute.rbd.replacement import Replacement
from edgesync.execute.rbd.resources import Resources

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewed:
    """What was done."""

    # Bytes that came from the hub.
    sent: int
    # Where the damaged image is kept because of its clones, and which these are; empty: it is in the trash.
    kept: str = ""
    clones: tuple[str, ...] = ()


class Renewal:
    """One damaged copy. Whatever a crash leaves of this, looking again tells where to go on."""

    def __init__(
        self,
        store: StoreId,
        image: ImageId,
        *,
        hub: Blocks,
        site: Blocks,
        cluster: Cluster,
        resources: Resources,
        trash_delay: timedelta,
        obstacle: Callable[[], Awaitable[str]],
    ) -> None:
        """`obstacle` asks Glance why the copy must not be replaced now; empty: go ahead.

        It raises NotFoundError when Glance knows of no such copy any more.
        """
        self._store = store
        self._image = image
        self._hub = hub
        self._site = site
        self._cluster = cluster
        self._resources = resources
        self._trash_delay = trash_delay
        self._obstacle = obstacle

    async def run(self, want: Digests) -> Renewed:
        """Have the copy hold the data with these digests.

        Raises what the sites raise, and SourceDamagedError when the hub's data are no better.

        NotFoundError when there is no such copy any more: `withdraw`. ConflictError when somebody else is at it.
        """
        await self._tidy()
        damaged, sent = await self._id(), 0
        if not await self._good(want):
            new = Replacement(
                self._store,
                self._image,
                want,
                hub=self._hub,
                site=self._site,
                resources=self._resources,
                trash_delay=self._trash_delay,
            )
            if not await new.ready():
                await new.make()
            sent = new.sent
            await self._swap(damaged, new.name)
        return await self._put_away(sent)

    async def withdraw(self) -> None:
        """Put away all that was made: Glance has no such copy any more."""
        await self._tidy()
        with suppress(NotFoundError):
            await self._site.trash(replacement_name(self._image), delay=self._trash_delay)
        await self._put_away(sent=0)

    async def _tidy(self) -> None:
        """Who did this before may have died in the middle of making an image, or of a rename."""
        await self._site.tidy(replacement_name(self._image), self._image)
        if (there := await self._id()) is not None:
            await self._site.tidy(f"{self._aside}{there}", self._image)

    async def _swap(self, damaged: str | None, new: str) -> None:
        """The damaged image's name for the new one. A crash between the two is made good by doing both again.

        To make the new one took its time: whatever has become of the copy since then is left alone.
        """
        why = await self._obstacle()
        there = await self._id()
        if there != damaged:
            raise ConflictError(
                f"somebody has replaced the RBD image of the copy at {self._store} meanwhile",
                remedy="nothing was changed; have the copy verified again",
            )
        if there is None:
            log.info("the damaged image was moved aside before", image=self._image, store=self._store)
        elif why:
            raise ConflictError(why, remedy="nothing was changed; the repair is begun again later")
        else:
            await self._site.rename(self._image, f"{self._aside}{there}")
        await self._site.rename(new, self._image)

    async def _put_away(self, sent: int) -> Renewed:
        """The damaged images into the trash; those that have clones stay under the names that they have now."""
        kept: list[str] = []
        clones: list[str] = []
        for name in sorted(await self._cluster.names()):
            if not name.startswith(self._aside):
                continue
            try:
                await self._site.trash(name, delay=self._trash_delay)
            except ConflictError as refusal:
                children = await self._site.children(name)
                if not children:
                    # Somebody has it open: that ends, or a person looks.
                    raise TransientError(refusal.message, remedy=refusal.remedy) from refusal
                kept.append(name)
                clones.extend(children)
        return Renewed(sent=sent, kept=", ".join(kept), clones=tuple(clones))

    @property
    def _aside(self) -> str:
        """How the names begin under which damaged images of this copy are kept."""
        return f"{self._image}{ASIDE}"

    async def _id(self) -> str | None:
        """RBD's own, of what has the copy's name now."""
        try:
            return (await self._cluster.inspect(self._image)).id
        except NotFoundError:
            return None

    async def _good(self, want: Digests) -> bool:
        try:
            return await self._site.digests(self._image, want.block, snapshot=True) == want
        except NotFoundError:
            return False
