"""Reads an image's snapshot from beginning to end, some chunks ahead, and takes its digests on the way.

What is read is always examined: where the digests are known already, what has others is not handed out.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Protocol

from edgesync.domain.block_ports import Reading
from edgesync.domain.blocks import MIB, Digests, Extent, differing, digests_of, of_zeros
from edgesync.errors import PermanentError, UnreadableError

# Read at once: enough for the OSDs to be busy, little enough to hold many.
CHUNK = 2 * MIB
# Chunks that are read before they are asked for.
AHEAD = 3
UPLOAD_AGAIN = (
    "Nothing was made of them. Upload the image again, or bring it back from a site whose copy is good; "
    "`edgesync verify --deep` tells when it is sound."
)


class SourceDamagedError(PermanentError):
    """The hub's data are not those that were uploaded."""


class Hasher(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of the image. Its first block begins where it does."""

    offset: int
    length: int
    digests: array[int]
    # None: nothing but zeros.
    data: bytes | None = None

    @property
    def end(self) -> int:
        return self.offset + self.length

    def part(self, offset: int, length: int) -> bytes | memoryview:
        """So many bytes from there on, counted from the image's beginning."""
        if self.data is None:
            return bytes(length)
        if (offset, length) == (self.offset, self.length):
            return self.data
        start = offset - self.offset
        return memoryview(self.data)[start : start + length]


Wanted = Callable[[Chunk], bool]


class Source:
    """One image's `snap`, read once."""

    def __init__(
        self,
        reading: Reading,
        *,
        block: int,
        executor: Executor,
        hasher: Hasher | None = None,
        known: Digests | None = None,
        wanted: Wanted,
    ) -> None:
        """With `known` digests only chunks that are `wanted` are read; `hasher` is fed all data, in order."""
        self._reading = reading
        self._block = block
        self._executor = executor
        self._hasher = hasher
        self._known = known
        self._wanted = wanted
        self._size = reading.layout.size
        self.chunk = max(CHUNK, block)
        self._values = array("Q")

    @property
    def digests(self) -> Digests:
        """Those of the image; ValueError unless they were known, or all of it was read."""
        return self._known or Digests(size=self._size, block=self._block, values=self._values)

    def holds(self, ahead: int) -> int:
        """Bytes that reading `ahead` holds at most, beyond what was handed out."""
        return (ahead + 1) * self.chunk

    async def chunks(self, start: int = 0, *, ahead: int = AHEAD) -> AsyncGenerator[Chunk]:
        """Those from `start` on, a chunk's beginning; up to `ahead` are read before they are asked for.

        Raises what reading raises, and SourceDamagedError where the data have other digests than the known ones, or
        can't be read.
        """
        extents = await self._reading.extents()
        offsets = iter(range(start, self._size, self.chunk))
        reads: deque[asyncio.Task[Chunk]] = deque()
        try:
            while True:
                while len(reads) <= ahead and (offset := next(offsets, None)) is not None:
                    reads.append(asyncio.create_task(self._read(offset, extents)))
                if not reads:
                    return
                chunk = await reads[0]
                reads.popleft()
                if self._known is None:
                    chunk = await self._digested(chunk)
                yield chunk
        finally:
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)

    async def _read(self, offset: int, extents: Sequence[Extent]) -> Chunk:
        length = min(self.chunk, self._size - offset)
        chunk = Chunk(offset=offset, length=length, digests=array("Q"))
        if self._known is not None:
            first = offset // self._block
            chunk = replace(chunk, digests=self._known.values[first : first + -(-length // self._block)])
            if not self._wanted(chunk):
                return chunk
        if _touched(extents, offset, length):
            chunk = replace(chunk, data=await self._data(offset, length))
        if self._known is not None:
            self._compare(chunk, await self._beside(self._digests_of, chunk))
        return chunk

    async def _data(self, offset: int, length: int) -> bytes:
        """SourceDamagedError where the hub's disks have lost them."""
        try:
            return await self._reading.read(offset, length)
        except UnreadableError as lost:
            raise SourceDamagedError(lost.message, remedy=UPLOAD_AGAIN) from lost

    def _compare(self, chunk: Chunk, found: array[int]) -> None:
        """SourceDamagedError unless they are those that are known: holes count, too, for they may be lost objects."""
        if (position := next(differing(chunk.digests, found), None)) is not None:
            raise SourceDamagedError(
                "The data at the hub are not those that were uploaded: they have changed since they were last read, "
                f"first at byte {chunk.offset + position * self._block}.",
                remedy=UPLOAD_AGAIN,
            )

    async def _digested(self, chunk: Chunk) -> Chunk:
        """With its digests, and hashed."""
        digests = await self._beside(self._examine, chunk)
        if len(self._values) * self._block == chunk.offset:
            self._values.extend(digests)
        return replace(chunk, digests=digests)

    async def _beside(self, take: Callable[[Chunk], array[int]], chunk: Chunk) -> array[int]:
        """Beside the loop: digests and hashes let other threads run."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, take, chunk)

    def _examine(self, chunk: Chunk) -> array[int]:
        if self._hasher is not None:
            self._hasher.update(bytes(chunk.length) if chunk.data is None else chunk.data)
        return self._digests_of(chunk)

    def _digests_of(self, chunk: Chunk) -> array[int]:
        if chunk.data is None:
            return of_zeros(chunk.length, self._block).values
        return digests_of(chunk.data, self._block)


def _touched(extents: Sequence[Extent], offset: int, length: int) -> bool:
    position = bisect_right(extents, offset, key=lambda extent: extent.end)
    return position < len(extents) and extents[position].offset < offset + length
