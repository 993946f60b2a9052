"""How an image is made."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB, Layout
from edgesync.errors import ConflictError, NotFoundError, TransientError, UnreachableError
from tests.contract.blocks.driver import FEATURES, OBJECT, SHAPES, Driver, a_name, noise, until

DAY = timedelta(days=1)


def layout(size: int, *, object_size: int = OBJECT) -> Layout:
    return Layout(size=size, object_size=object_size, features=FEATURES)


async def _cut(work: Coroutine[Any, Any, None], turns: int) -> None:
    """Begin it, and cancel it after so many turns of the loop."""
    doing = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)


class Writing:
    """Made, written, sealed, named."""

    @pytest.mark.parametrize("object_size", [OBJECT, MIB, 64 * KIB])
    async def test_a_new_image_is_as_asked_and_empty(self, blocks: Blocks, driver: Driver, object_size: int) -> None:
        name = a_name()
        await blocks.create(name, layout(4 * MIB + 1, object_size=object_size))
        seen = await driver.look(name)
        assert seen.layout == layout(4 * MIB + 1, object_size=object_size)
        assert (seen.snapshot, seen.objects) == (False, 0)

    @pytest.mark.parametrize("shape", SHAPES)
    async def test_what_is_written_is_there(self, blocks: Blocks, driver: Driver, shape: str) -> None:
        name, data = a_name(), SHAPES[shape]
        await blocks.create(name, layout(len(data)))
        async with blocks.writing(name) as image:
            for start in range(0, len(data), MIB):
                if any(data[start : start + MIB]):
                    await image.write(start, data[start : start + MIB])
        await blocks.seal(name)
        assert await driver.data(name) == data

    async def test_many_write_at_once(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(24 * MIB)
        await blocks.create(name, layout(len(data)))
        pieces = [(start, 192 * KIB) for start in range(0, len(data), 192 * KIB)]
        random.Random(3).shuffle(pieces)
        async with blocks.writing(name) as image:
            view = memoryview(data)
            await asyncio.gather(*(image.write(start, view[start : start + length]) for start, length in pieces))
        assert await driver.data(name, snapshot=False) == data

    async def test_many_pieces_are_written_by_one_call(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(12 * MIB + 7)
        await blocks.create(name, layout(len(data)))
        view = memoryview(data)
        pieces = [(start, view[start : start + 64 * KIB]) for start in range(0, len(data), 64 * KIB)]
        random.Random(5).shuffle(pieces)
        async with blocks.writing(name) as image:
            await image.write_all(pieces[:100])
            await image.write_all(pieces[100:])
            await image.write_all([])
        assert await driver.data(name, snapshot=False) == data

    async def test_the_snapshot_keeps_what_was_written_before_it(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(MIB)
        await blocks.create(name, layout(MIB))
        async with blocks.writing(name) as image:
            await image.write(0, data)
            await blocks.seal(name)
            await image.write(0, bytes(MIB))
        assert await driver.data(name) == data

    async def test_sealing_is_done_once(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, noise(MIB), snapshot=False)
        await blocks.seal(name)
        await blocks.seal(name)
        seen = await driver.look(name)
        assert (seen.snapshot, seen.protected) == (True, True)

    async def test_sealing_protects_a_snapshot_that_is_there(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, noise(MIB), protected=False)
        await blocks.seal(name)
        assert (await driver.look(name)).protected
        assert await driver.data(name) == noise(MIB)

    async def test_no_image_is_made_in_another_s_place(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, noise(MIB))
        with pytest.raises(ConflictError, match=name):
            await blocks.create(name, layout(2 * MIB))
        assert await driver.data(name) == noise(MIB)

    async def test_no_image_is_renamed_into_another_s_place(self, blocks: Blocks, driver: Driver) -> None:
        one, other = a_name(), a_name()
        await driver.put(one, noise(MIB, seed=1))
        await driver.put(other, noise(MIB, seed=2))
        with pytest.raises(ConflictError, match=other):
            await blocks.rename(one, other)
        assert await driver.data(one) == noise(MIB, seed=1)
        assert await driver.data(other) == noise(MIB, seed=2)

    async def test_a_renamed_image_is_the_same(self, blocks: Blocks, driver: Driver) -> None:
        one, other = a_name(), a_name()
        await driver.put(one, noise(MIB))
        await blocks.rename(one, other)
        assert await driver.data(other) == noise(MIB)
        await driver.put(one, noise(MIB, seed=2))
        with pytest.raises(ConflictError):
            await blocks.rename(one, other)

    @pytest.mark.parametrize("listed", [False, True])
    async def test_half_a_rename_is_undone(self, blocks: Blocks, driver: Driver, listed: bool) -> None:
        one, other = a_name(), a_name()
        await driver.put(one, noise(MIB))
        await driver.leave_half_renamed(one, other, listed=listed)
        with pytest.raises(ConflictError):
            await blocks.rename(one, other)
        await blocks.tidy(one, other)
        counts, stale = (other, one) if listed else (one, other)
        assert await driver.data(counts) == noise(MIB)
        with pytest.raises(NotFoundError):
            await blocks.parent(stale)
        await blocks.rename(counts, stale)
        assert await driver.data(stale) == noise(MIB)

    @pytest.mark.parametrize("listed", [False, True])
    async def test_what_was_never_whole_makes_room(self, blocks: Blocks, driver: Driver, listed: bool) -> None:
        name = a_name()
        await driver.leave_half_made(name, listed=listed)
        with pytest.raises(ConflictError):
            await blocks.create(name, layout(MIB))
        with pytest.raises(NotFoundError):
            await blocks.parent(name)
        await blocks.tidy(name, a_name())
        await blocks.create(name, layout(MIB))
        assert await driver.data(name, snapshot=False) == bytes(MIB)

    async def test_what_is_in_the_trash_already_loses_its_name(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, noise(MIB))
        await driver.leave_half_trashed(name, trashed=True)
        with pytest.raises(ConflictError):
            await blocks.create(name, layout(MIB))
        await blocks.tidy(name, a_name())
        assert await driver.trashed(name)
        await blocks.create(name, layout(MIB))
        assert await driver.data(name, snapshot=False) == bytes(MIB)

    async def test_what_is_whole_can_be_opened_again(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, noise(MIB))
        await driver.leave_half_trashed(name, trashed=False)
        with pytest.raises(NotFoundError):
            await blocks.parent(name)
        await blocks.tidy(name, a_name())
        assert await driver.data(name) == noise(MIB)

    async def test_whole_images_and_none_are_left_as_they_are(self, blocks: Blocks, driver: Driver) -> None:
        one, other = a_name(), a_name()
        await blocks.tidy(one, other)
        await driver.put(one, noise(MIB, seed=1))
        await blocks.tidy(one, other)
        await driver.put(other, noise(MIB, seed=2))
        await blocks.tidy(one, other)
        assert await driver.data(one) == noise(MIB, seed=1)
        assert await driver.data(other) == noise(MIB, seed=2)

    async def test_an_unknown_image_is_not_found(self, blocks: Blocks) -> None:
        nobody = a_name()
        for call in (blocks.seal(nobody), blocks.rename(nobody, a_name()), blocks.trash(nobody, delay=DAY)):
            with pytest.raises(NotFoundError, match=nobody):
                await call
        with pytest.raises(NotFoundError, match=nobody):
            async with blocks.writing(nobody):
                pass

    async def test_what_is_trashed_can_come_back(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await blocks.create(name, layout(MIB))
        await blocks.trash(name, delay=DAY)
        assert await driver.trashed(name)
        with pytest.raises(NotFoundError):
            await blocks.trash(name, delay=DAY)

    async def test_what_is_being_written_is_not_trashed(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await blocks.create(name, layout(MIB))
        for client in (blocks, driver.client()):
            async with client.writing(name) as image:
                await image.write(0, b"half")
                with pytest.raises(ConflictError, match=name):
                    await blocks.trash(name, delay=DAY)
        await blocks.trash(name, delay=DAY)

    async def test_an_image_that_was_made_smaller_meanwhile_is_worth_another_try(
        self, blocks: Blocks, driver: Driver
    ) -> None:
        name, data = a_name(), noise(2 * MIB)
        await blocks.create(name, layout(len(data)))
        async with blocks.writing(name) as image:
            await image.write(0, data[:MIB])
            await driver.resize(name, MIB)
            for write in (image.write(MIB, data[MIB:]), image.write_all([(MIB, data[MIB:])])):
                with pytest.raises(TransientError, match="removed or resized") as failed:
                    await write
                # The site is well.
                assert type(failed.value) is TransientError
            await image.write(0, data[:MIB])
        assert await driver.data(name, snapshot=False) == data[:MIB]


class Failing:
    """Sites that break, and writers that die."""

    async def test_nothing_waits_for_a_silent_site(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await blocks.create(name, layout(8 * MIB))
        async with blocks.writing(name) as image:
            await image.write(0, b"first")
            await driver.silence()
            writes = [image.write(at * MIB, noise(MIB)) for at in range(8)]
            writes.append(image.write_all([(at * MIB, noise(MIB)) for at in range(8)]))
            failures = await asyncio.gather(*writes, return_exceptions=True)
            assert {type(failure) for failure in failures} == {UnreachableError}
        for call in (
            blocks.create(a_name(), layout(MIB)),
            blocks.grow(name, 9 * MIB),
            blocks.seal(name),
            blocks.rename(name, a_name()),
            blocks.trash(name, delay=DAY),
            blocks.digests(name, 64 * KIB, snapshot=False),
            blocks.children(name),
            blocks.parent(name),
            blocks.layers(),
            blocks.disk(name, "vms", a_name(), object_size=MIB),
        ):
            with pytest.raises(UnreachableError, match=r"store dcn0 \(pool images\)") as failed:
                await call
            assert failed.value.remedy

    async def test_what_a_silence_broke_off_goes_on_when_the_site_is_back(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(4 * MIB)
        await blocks.create(name, layout(len(data)))
        async with blocks.writing(name) as image:
            await image.write(0, data[:MIB])
            await driver.silence()
            with pytest.raises(UnreachableError):
                await image.write(MIB, data[MIB : 2 * MIB])
        await driver.heal()

        async def written() -> bool:
            try:
                async with blocks.writing(name) as image:
                    await image.write(MIB, data[MIB:])
            except UnreachableError:
                return False
            return True

        await until(driver, written)
        assert await driver.data(name, snapshot=False) == data

    async def test_a_full_pool_takes_no_write_and_can_be_read(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(MIB)
        await driver.put(name, data)
        await driver.fill()
        with pytest.raises(UnreachableError):
            async with blocks.writing(name) as image:
                await image.write(0, noise(MIB, seed=2))
        async with blocks.reading(name) as image:
            assert await image.read(0, MIB) == data

    async def test_what_a_killed_writer_left_is_written_by_the_next(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(MIB)
        await blocks.create(name, layout(len(data)))
        await driver.leave_locked(name)

        async def written() -> bool:
            try:
                async with blocks.writing(name) as image:
                    await image.write(0, data)
            except UnreachableError:
                return False
            return True

        await until(driver, written)
        assert await driver.data(name, snapshot=False) == data

    async def test_a_dead_writer_s_image_is_taken_over_at_once(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(MIB)
        await blocks.create(name, layout(len(data)))
        await driver.leave_locked(name)
        # The deadline is far below the half minute that the dead one's lock holds.
        async with blocks.writing(name, take_over=True) as image:
            await image.write(0, data)
        assert await driver.data(name, snapshot=False) == data

    async def test_what_a_dead_client_had_open_is_sealed_at_once(self, blocks: Blocks, driver: Driver) -> None:
        one, other, data = a_name(), a_name(), noise(MIB)
        for name in (one, other):
            await driver.put(name, data, snapshot=False)
            await driver.leave_open(name)
        # The deadline is far below the half minute for which a snapshot waits for it.
        await blocks.seal(one, take_over=True)
        async with blocks.writing(other, take_over=True):
            pass
        await blocks.seal(other)
        for name in (one, other):
            assert (await driver.look(name)).protected
            assert await driver.data(name) == data

    async def test_what_a_dead_client_has_not_protected_is_protected_at_once(
        self, blocks: Blocks, driver: Driver
    ) -> None:
        name = a_name()
        await driver.put(name, noise(MIB), protected=False)
        await driver.leave_locked(name)
        await blocks.seal(name, take_over=True)
        assert (await driver.look(name)).protected

    async def test_a_living_writer_is_cut_off(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(MIB)
        other = driver.client()
        await blocks.create(name, layout(len(data)))
        async with other.writing(name) as slower:
            await slower.write(0, bytes(64 * KIB))
            async with blocks.writing(name, take_over=True) as image:
                await image.write(0, data)
            with pytest.raises(UnreachableError):
                await slower.write(0, bytes(64 * KIB))
        assert await driver.data(name, snapshot=False) == data
        # It may do other things.
        await other.seal(name)
        assert (await driver.look(name)).protected

    async def test_one_s_own_lock_and_one_that_nobody_has_are_no_obstacle(self, blocks: Blocks, driver: Driver) -> None:
        name, data = a_name(), noise(2 * MIB)
        await blocks.create(name, layout(len(data)))
        async with blocks.writing(name, take_over=True) as image:
            await image.write(0, data[:MIB])
            async with blocks.writing(name, take_over=True) as again:
                await again.write(MIB, data[MIB:])
            await image.write(0, data[:MIB])
        assert await driver.data(name, snapshot=False) == data

    async def test_what_a_cancelled_writer_had_open_can_be_trashed(self, blocks: Blocks, driver: Driver) -> None:
        data = noise(MIB)

        async def write(name: str) -> None:
            async with blocks.writing(name) as image:
                await asyncio.gather(*(image.write(at * MIB, data) for at in range(64)))

        for turns in range(0, 40, 4):
            name = a_name()
            await blocks.create(name, layout(64 * MIB))
            await _cut(write(name), turns)
            await blocks.trash(name, delay=DAY)
            assert await driver.trashed(name)

    async def test_what_a_cancelled_maker_still_makes_can_be_trashed(self, blocks: Blocks, driver: Driver) -> None:
        for turns in range(8):
            name, before = a_name(), a_name()
            await driver.put(before, noise(MIB), snapshot=False)
            await _cut(blocks.rename(before, name) if turns % 2 else blocks.create(name, layout(MIB)), turns)
            with suppress(NotFoundError):
                await blocks.trash(name, delay=DAY)
            # There is none, nor will there be one.
            await driver.put(name, noise(MIB))
            assert await driver.data(name) == noise(MIB)

    async def test_a_closed_client_does_nothing(self, driver: Driver) -> None:
        blocks = driver.client()
        name = a_name()
        await blocks.create(name, layout(MIB))
        await blocks.close()
        with pytest.raises(UnreachableError, match="has closed the connection"):
            await blocks.seal(name)
