"""The image at the hub: what Glance says that its data hash to, and whether they do."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Digests, KnownDigests, block_size
from edgesync.domain.image import Image
from edgesync.domain.ports import Journal
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import AHEAD, UPLOAD_AGAIN, Hasher, Source, SourceDamagedError


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """What Glance wrote down when the image was uploaded: `os_hash_algo` and `os_hash_value`."""

    algo: str
    value: str

    def hasher(self) -> Hasher | None:
        """None where nothing was written down, or with an algorithm that this machine does not have."""
        if not self.value or self.algo not in hashlib.algorithms_available:
            return None
        return hashlib.new(self.algo, usedforsecurity=False)

    def check(self, hasher: Hasher | None) -> None:
        """SourceDamagedError unless what was read is what was uploaded."""
        if hasher is None or (found := hasher.hexdigest()) == self.value:
            return
        raise SourceDamagedError(
            f"The data at the hub are not those that were uploaded: their {self.algo} is {found[:16]}..., and Glance's "
            f"os_hash_value {self.value[:16]}....",
            remedy=UPLOAD_AGAIN,
        )

    def kept_by(self, known: KnownDigests | None) -> Digests | None:
        """The digests, if they are remembered of these very data."""
        if known is None or (known.hash_algo, known.hash_value) != (self.algo, self.value):
            return None
        return known.digests

    def of(self, digests: Digests) -> KnownDigests:
        return KnownDigests(hash_algo=self.algo, hash_value=self.value, digests=digests)


class Original:
    """Reads the images at the hub, and keeps their digests in the journal."""

    def __init__(self, hub: Blocks, journal: Journal, resources: Resources) -> None:
        self._hub = hub
        self._journal = journal
        self._resources = resources

    async def read(self, image: Image, pace: Callable[[int], Awaitable[None]] | None = None) -> Digests:
        """The digests of the data as they are now, read to their end, and kept.

        `pace` is waited for after each piece, with its bytes. SourceDamagedError when the data are not what was
        uploaded; what the hub's cluster raises.
        """
        promise = promise_of(image)
        hasher = promise.hasher()
        async with self._hub.reading(image.id) as reading:
            block = block_size(reading.layout.size)
            source = Source(
                reading, block=block, executor=self._resources.executor, hasher=hasher, wanted=lambda _: True
            )
            async with self._resources.memory.hold(source.holds(AHEAD)), aclosing(source.chunks()) as chunks:
                async for chunk in chunks:
                    if pace is not None and chunk.data is not None:
                        await pace(chunk.length)
        promise.check(hasher)
        await self.keep(image, source.digests)
        return source.digests

    async def keep(self, image: Image, digests: Digests) -> None:
        await self._journal.keep_digests(image.id, promise_of(image).of(digests))


async def known_of(image: Image, journal: Journal) -> Digests | None:
    """The digests in the journal, if they are of data with the hash that Glance tells today."""
    return promise_of(image).kept_by(await journal.digests(image.id))


def promise_of(image: Image) -> Promise:
    return Promise(algo=image.hash_algo, value=image.hash_value)
