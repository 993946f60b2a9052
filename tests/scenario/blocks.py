"""What scenes of the rbd engine have in common: data, moments at which something happens, and what must hold after."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable

from edgesync.domain.blocks import KIB
from tests.scenario.stage import Stage

BLOCK = 64 * KIB
EDGES = ("dcn0", "dcn1")
# Seconds.
STEP = 5.0
TEMPORARY = ".edgesync"


def noise(length: int, seed: int = 1) -> bytes:
    """Bytes of which no block is like another."""
    return random.Random(seed).randbytes(length)


def at(
    stage: Stage, store: str, method: str, deed: Callable[[], Awaitable[object] | object], *, number: int = 1
) -> None:
    """Do something right before the engine's n-th call of a method at a store. The test fails if there is none."""
    blocks = stage.blocks[store]
    awaited = f"{method} number {number} at {store}"
    stage.awaited.append(awaited)
    calls: Counter[str] = Counter()
    further = blocks.before

    async def before(called: str, name: str) -> None:
        await further(called, name)
        calls[called] += 1
        if called == method and calls[called] == number:
            stage.awaited.remove(awaited)
            done = deed()
            if isinstance(done, Awaitable):
                await done

    blocks.before = before


async def passes(stage: Stage, seconds: float) -> None:
    """Let so much time go by, in steps in which everybody gets his turn."""
    for _ in range(int(seconds / STEP)):
        await stage.clock.sleep(STEP)


def sent(stage: Stage, store: str, image: str) -> int:
    """Bytes that were sent to a site for an image."""
    return sum(write.length for write in stage.blocks[store].sent if write.image.startswith(image))


def once(stage: Stage, store: str, image: str) -> bool:
    """Whether no block of the image was sent there twice."""
    blocks = Counter(
        position
        for write in stage.blocks[store].sent
        if write.image.startswith(image)
        for position in range(write.offset // BLOCK, -(-(write.offset + write.length) // BLOCK))
    )
    return max(blocks.values(), default=0) <= 1


def good(stage: Stage, image: str, *stores: str) -> None:
    """Glance lists copies at the hub and in these stores; they are whole, and nothing else is at any site."""
    assert set(stage.fake.image(image).stores) == {"central", *stores}
    data = stage.blocks["central"].data(image)
    for store in EDGES:
        nothing_but(stage, store, *([image] if store in stores else []))
    for store in stores:
        assert stage.blocks[store].data(image) == data, store
        assert stage.pool(store).image(image).protected, store


def nothing_but(stage: Stage, store: str, *names: str) -> None:
    pool = stage.pool(store)
    assert set(pool.images) == set(names), store
    assert not any(image.watchers for image in pool.images.values()), store


def slow(stage: Stage, store: str, *, seconds: float = 4) -> None:
    """Each write to the site takes so long."""

    async def before(method: str, _: str) -> None:
        if method == "write":
            await stage.clock.sleep(seconds)

    stage.blocks[store].before = before
