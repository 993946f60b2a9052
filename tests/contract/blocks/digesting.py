"""What an image's blocks are, without reading them."""

from __future__ import annotations

import pytest

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB
from edgesync.errors import NotFoundError, UnreachableError
from tests.contract.blocks.driver import OBJECT, SHAPES, Driver, a_name, digests, noise, until

BLOCK = 64 * KIB


async def _layered(blocks: Blocks, driver: Driver, sizes: list[int]) -> tuple[list[str], bytes]:
    """A chain of clones, each with a few changes of its own; the names from the lowest up, and the uppermost's data."""
    data = bytearray(noise(6 * MIB) + bytes(4 * MIB) + noise(6 * MIB + 70_000, seed=2))
    names = [a_name()]
    await driver.put(names[0], bytes(data))
    for depth, object_size in enumerate(sizes, 1):
        names.append(a_name())
        await blocks.clone(names[-2], names[-1], object_size=object_size)
        async with blocks.writing(names[-1]) as image:
            for at, new in (
                # New data over data, and over a hole; zeros over data, at the end too.
                (depth * MIB, noise(2 * BLOCK, seed=10 + depth)),
                (7 * MIB + depth * 5 * BLOCK, noise(BLOCK, seed=20 + depth)),
                (11 * MIB + depth * 3 * BLOCK, bytes(BLOCK)),
                (16 * MIB, bytes(70_000) if depth % 2 else noise(70_000, seed=30 + depth)),
            ):
                await image.write(at, new)
                data[at : at + len(new)] = new
        await blocks.seal(names[-1])
    return names, bytes(data)


class Digesting:
    """Each block's digest is that of its bytes, wherever they lie."""

    @pytest.mark.parametrize("snapshot", [True, False], ids=["snapshot", "head"])
    @pytest.mark.parametrize("shape", SHAPES)
    async def test_images_of_every_shape(self, blocks: Blocks, driver: Driver, shape: str, snapshot: bool) -> None:
        name, data = a_name(), SHAPES[shape]
        await driver.put(name, data)
        assert await blocks.digests(name, BLOCK, snapshot=snapshot) == digests(data)

    @pytest.mark.parametrize("shape", SHAPES)
    async def test_where_the_osds_do_not_compute_them_it_is_read(self, driver: Driver, shape: str) -> None:
        name, data = a_name(), SHAPES[shape]
        await driver.put(name, data)
        assert await driver.client_that_reads().digests(name, BLOCK, snapshot=True) == digests(data)

    async def test_an_image_never_written(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, bytes(3 * OBJECT), snapshot=False)
        assert await blocks.digests(name, BLOCK, snapshot=False) == digests(bytes(3 * OBJECT))

    async def test_snapshot_and_head_are_told_apart(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(2 * MIB)
        await driver.put(name, data, object_size=MIB)
        async with blocks.writing(name) as image:
            await image.write(MIB, bytes(MIB))
        assert await blocks.digests(name, BLOCK, snapshot=True) == digests(data)
        assert await blocks.digests(name, BLOCK, snapshot=False) == digests(data[:MIB] + bytes(MIB))

    @pytest.mark.parametrize(
        "sizes",
        [
            [64 * KIB],
            [256 * KIB],
            [MIB],
            [OBJECT],
            [64 * KIB, MIB],
            [MIB, 64 * KIB],
            [64 * KIB, OBJECT, 256 * KIB],
            [OBJECT, OBJECT, OBJECT],
        ],
        ids=str,
    )
    async def test_clones(self, blocks: Blocks, driver: Driver, sizes: list[int]) -> None:
        names, data = await _layered(blocks, driver, sizes)
        assert await driver.data(names[-1]) == data
        assert await blocks.digests(names[-1], BLOCK, snapshot=True) == digests(data)
        assert await blocks.digests(names[-1], BLOCK, snapshot=False) == digests(data)
        assert await driver.client_that_reads().digests(names[-1], BLOCK, snapshot=True) == digests(data)

    async def test_clones_of_parents_that_have_gone(self, blocks: Blocks, driver: Driver) -> None:
        names, data = await _layered(blocks, driver, [64 * KIB, MIB])
        await driver.rename(names[0], a_name())
        await driver.trash(names[1])
        assert await blocks.digests(names[2], BLOCK, snapshot=True) == digests(data)

    @pytest.mark.parametrize("block", [128 * KIB, MIB, 2 * MIB])
    async def test_blocks_larger_than_objects(self, blocks: Blocks, driver: Driver, block: int) -> None:
        names, data = await _layered(blocks, driver, [64 * KIB, MIB])
        for name in names[1:]:
            expected = digests(await driver.data(name), block)
            assert await blocks.digests(name, block, snapshot=True) == expected
        assert expected == digests(data, block)

    async def test_a_changed_byte_is_told(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(12 * MIB)
        await driver.put(name, data)
        sound = await blocks.digests(name, BLOCK, snapshot=True)
        await driver.corrupt(name, 9 * MIB + 17)
        found = await blocks.digests(name, BLOCK, snapshot=True)
        (extent,) = found.differing(sound)
        assert (extent.offset, extent.length) == (9 * MIB, BLOCK)
        async with blocks.reading(name) as image:
            assert await image.read(9 * MIB, BLOCK) != data[9 * MIB : 9 * MIB + BLOCK]

    async def test_what_is_not_there_has_none(self, blocks: Blocks, driver: Driver) -> None:
        half, nobody = a_name(), a_name()
        await driver.put(half, noise(MIB), snapshot=False)
        with pytest.raises(NotFoundError, match=nobody):
            await blocks.digests(nobody, BLOCK, snapshot=False)
        with pytest.raises(NotFoundError, match="no snapshot"):
            await blocks.digests(half, BLOCK, snapshot=True)

    async def test_a_silent_site_tells_none(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(MIB)
        await driver.put(name, data)
        # The connection is there already.
        await blocks.digests(name, BLOCK, snapshot=True)
        await driver.silence()
        for _ in range(2):
            with pytest.raises(UnreachableError, match="store dcn0"):
                await blocks.digests(name, BLOCK, snapshot=True)
        await driver.heal()

        async def back() -> bool:
            try:
                return await blocks.digests(name, BLOCK, snapshot=True) == digests(data)
            except UnreachableError:
                return False

        await until(driver, back)
