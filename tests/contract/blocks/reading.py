"""What is read of an image."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB, Extent, Layout
from edgesync.errors import NotFoundError, UnreachableError
from tests.contract.blocks.driver import FEATURES, OBJECT, SHAPES, Driver, a_name, noise, until


class Reading:
    """Snapshots, whole and in part."""

    @pytest.mark.parametrize("shape", SHAPES)
    async def test_every_byte_is_read(self, blocks: Blocks, driver: Driver, shape: str) -> None:
        name, data = a_name(), SHAPES[shape]
        await driver.put(name, data)
        async with blocks.reading(name) as image:
            assert image.layout == Layout(size=len(data), object_size=OBJECT, features=FEATURES)
            assert await image.read(0, len(data)) == data
            assert await image.read(len(data) - 1, 1) == data[-1:]
            assert await image.read(len(data) // 2, 0) == b""

    @pytest.mark.parametrize("shape", SHAPES)
    async def test_what_the_extents_leave_out_is_zeros(self, blocks: Blocks, driver: Driver, shape: str) -> None:
        name, data = a_name(), SHAPES[shape]
        await driver.put(name, data)
        async with blocks.reading(name) as image:
            extents = await image.extents()
        assert all(one.end <= other.offset for one, other in pairwise(extents))
        assert all(extent.length > 0 and extent.end <= len(data) for extent in extents)
        rest = bytearray(data)
        for extent in extents:
            rest[extent.offset : extent.end] = bytes(extent.length)
        assert not any(rest)

    async def test_holes_are_left_out(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, noise(MIB) + bytes(3 * MIB) + noise(MIB) + bytes(MIB), object_size=MIB)
        async with blocks.reading(name) as image:
            assert list(await image.extents()) == [
                Extent(offset=0, length=MIB),
                Extent(offset=4 * MIB, length=MIB),
            ]

    async def test_a_clone_s_extents_are_its_parent_s_too(self, blocks: Blocks, driver: Driver) -> None:
        base, name = a_name(), a_name()
        data = noise(MIB) + bytes(2 * MIB) + noise(MIB)
        await driver.put(base, data, object_size=MIB)
        await blocks.clone(base, name, object_size=256 * KIB)
        async with blocks.writing(name) as image:
            await image.write(2 * MIB, noise(256 * KIB, seed=2))
        await blocks.seal(name)
        async with blocks.reading(name) as image:
            covered = {at for one in await image.extents() for at in range(one.offset, one.end, 256 * KIB)}
            assert covered == {*range(0, MIB, 256 * KIB), 2 * MIB, *range(3 * MIB, 4 * MIB, 256 * KIB)}
            expected = data[: 2 * MIB] + noise(256 * KIB, seed=2) + data[2 * MIB + 256 * KIB :]
            assert await image.read(0, len(data)) == expected

    async def test_the_snapshot_is_read_whatever_is_written_later(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(MIB)
        await driver.put(name, data)
        async with blocks.writing(name) as image:
            await image.write(0, bytes(64 * KIB))
        async with blocks.reading(name) as image:
            assert await image.read(0, MIB) == data
        assert await driver.data(name, snapshot=False) == bytes(64 * KIB) + data[64 * KIB :]

    async def test_many_read_at_once(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), SHAPES["no zeros"]
        await driver.put(name, data)
        async with blocks.reading(name) as image:
            pieces = await asyncio.gather(*(image.read(at, 256 * KIB) for at in range(0, len(data), 256 * KIB)))
        assert b"".join(pieces) == data

    async def test_an_unknown_image_is_not_found(self, blocks: Blocks) -> None:
        nobody = a_name()
        with pytest.raises(NotFoundError, match=f"no RBD image {nobody}"):
            async with blocks.reading(nobody):
                pass

    async def test_half_a_copy_has_nothing_to_read(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, noise(MIB), snapshot=False)
        with pytest.raises(NotFoundError, match="no snapshot"):
            async with blocks.reading(name):
                pass

    async def test_a_read_from_a_silent_site_ends(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(MIB)
        await driver.put(name, data)
        async with blocks.reading(name) as image:
            await driver.silence()
            with pytest.raises(UnreachableError, match=r"store dcn0 \(pool images\)"):
                await image.read(0, MIB)
            with pytest.raises(UnreachableError):
                async with blocks.reading(name):
                    pass
        await driver.heal()

        async def back() -> bool:
            try:
                async with blocks.reading(name) as image:
                    return await image.read(0, MIB) == data
            except UnreachableError:
                return False

        await until(driver, back)
