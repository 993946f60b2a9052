"""Images on top of others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB, Layout
from edgesync.errors import ConflictError, NotFoundError, PermanentError, UnreachableError
from tests.contract.blocks.driver import FEATURES, OBJECT, Driver, a_name, digests, noise, until

DAY = timedelta(days=1)


class Layering:
    """Clones, their parents, and how they become independent."""

    @pytest.mark.parametrize("object_size", [64 * KIB, MIB, OBJECT])
    async def test_a_clone_is_its_base_with_objects_of_its_own_size(
        self, blocks: Blocks, driver: Driver, object_size: int
    ) -> None:
        base, name, data = a_name(), a_name(), noise(9 * MIB + 3)
        await driver.put(base, data)
        await blocks.clone(base, name, object_size=object_size)
        seen = await driver.look(name)
        assert seen.layout == Layout(size=len(data), object_size=object_size, features=FEATURES)
        assert (seen.snapshot, seen.objects) == (False, 0)
        assert await driver.data(name, snapshot=False) == data
        assert await blocks.parent(name) == f"images/{base}"
        assert await blocks.children(base) == (f"images/{name}",)

    async def test_only_what_is_written_is_stored(self, blocks: Blocks, driver: Driver) -> None:
        base, name, data = a_name(), a_name(), noise(8 * MIB)
        await driver.put(base, data)
        await blocks.clone(base, name, object_size=64 * KIB)
        async with blocks.writing(name) as image:
            await image.write(3 * MIB, noise(128 * KIB, seed=2))
            # Zeros over the parent's data are data.
            await image.write(5 * MIB, bytes(64 * KIB))
        await blocks.seal(name)
        changed = bytearray(data)
        changed[3 * MIB : 3 * MIB + 128 * KIB] = noise(128 * KIB, seed=2)
        changed[5 * MIB : 5 * MIB + 64 * KIB] = bytes(64 * KIB)
        assert await driver.data(name) == changed
        assert (await driver.look(name)).objects == 3
        assert await driver.data(base) == data

    async def test_a_write_of_a_part_of_an_object_keeps_the_rest(self, blocks: Blocks, driver: Driver) -> None:
        base, name, data = a_name(), a_name(), noise(2 * MIB)
        await driver.put(base, data)
        await blocks.clone(base, name, object_size=MIB)
        async with blocks.writing(name) as image:
            await image.write(MIB + 5, b"part")
        assert await driver.data(name, snapshot=False) == data[: MIB + 5] + b"part" + data[MIB + 9 :]

    @pytest.mark.parametrize("object_size", [64 * KIB, MIB, OBJECT])
    @pytest.mark.parametrize("size", [9 * MIB, 9 * MIB + 3])
    async def test_a_clone_that_has_grown_is_its_base_and_then_zeros(
        self, blocks: Blocks, driver: Driver, object_size: int, size: int
    ) -> None:
        base, name, data = a_name(), a_name(), noise(size)
        await driver.put(base, data)
        await blocks.clone(base, name, object_size=object_size)
        grown = data + bytes(3 * MIB + 1)
        await blocks.grow(name, len(grown))
        seen = await driver.look(name)
        assert seen.layout == Layout(size=len(grown), object_size=object_size, features=FEATURES)
        assert (seen.snapshot, seen.objects) == (False, 0)
        assert await driver.data(name, snapshot=False) == grown
        assert await blocks.digests(name, 64 * KIB, snapshot=False) == digests(grown)
        assert await blocks.parent(name) == f"images/{base}"
        assert await driver.data(base) == data

    async def test_what_has_grown_is_written_sealed_cloned_and_flattened_as_any_other(
        self, blocks: Blocks, driver: Driver
    ) -> None:
        """Twice, so that there is a chain of three sizes; where a base ends, a whole object is written over its end."""
        names, data = [a_name()], noise(9 * MIB + 3)
        await driver.put(names[0], data)
        for seed in (2, 3):
            names.append(a_name())
            await blocks.clone(names[-2], names[-1], object_size=64 * KIB)
            end = len(data) // (64 * KIB) * 64 * KIB
            data = data[:end] + noise(MIB + 1, seed=seed) + bytes(2 * MIB)
            await blocks.grow(names[-1], len(data))
            async with blocks.writing(names[-1]) as image:
                await image.write(end, data[end : end + MIB])
                await image.write(end + MIB, data[end + MIB : end + MIB + 64 * KIB])
            await blocks.seal(names[-1])
            assert await driver.data(names[-1]) == data
            for client in (blocks, driver.client_that_reads()):
                assert await client.digests(names[-1], 64 * KIB, snapshot=True) == digests(data)
        disk = a_name()
        await blocks.disk(names[-1], "vms", disk, object_size=OBJECT)
        layout, read = await driver.look_at_disk("vms", disk)
        assert (layout.size, read) == (len(data), data)
        for name in names[1:]:
            await blocks.flatten(name)
        await driver.flattened()

        async def alone() -> bool:
            return [await blocks.parent(name) for name in names[1:]] == [None, None]

        await until(driver, alone)
        assert await driver.data(names[-1]) == data
        assert await blocks.digests(names[-1], 64 * KIB, snapshot=True) == digests(data)

    async def test_an_image_only_grows(self, blocks: Blocks, driver: Driver) -> None:
        name, nobody, data = a_name(), a_name(), noise(MIB)
        await driver.put(name, data, snapshot=False)
        for size in (len(data), len(data) - 1):
            await blocks.grow(name, size)
            assert await driver.data(name, snapshot=False) == data
        with pytest.raises(NotFoundError, match=nobody):
            await blocks.grow(nobody, MIB)

    async def test_what_can_not_be_cloned_is_said(self, blocks: Blocks, driver: Driver) -> None:
        half, unprotected, base, taken, nobody = (a_name() for _ in range(5))
        await driver.put(half, noise(MIB), snapshot=False)
        await driver.put(unprotected, noise(MIB), protected=False)
        await driver.put(base, noise(MIB))
        await driver.put(taken, noise(MIB, seed=2))
        with pytest.raises(NotFoundError, match="no snapshot"):
            await blocks.clone(half, a_name(), object_size=MIB)
        with pytest.raises(PermanentError, match="not protected"):
            await blocks.clone(unprotected, a_name(), object_size=MIB)
        with pytest.raises(ConflictError, match=taken):
            await blocks.clone(base, taken, object_size=MIB)
        with pytest.raises(NotFoundError, match=nobody):
            await blocks.clone(nobody, a_name(), object_size=MIB)
        assert await driver.data(taken) == noise(MIB, seed=2)

    @pytest.mark.parametrize("object_size", [4 * MIB, OBJECT])
    async def test_a_disk_of_a_layered_copy_has_objects_as_large_as_asked_for(
        self, blocks: Blocks, driver: Driver, object_size: int
    ) -> None:
        base, name, disk, data = a_name(), a_name(), a_name(), noise(9 * MIB + 3)
        await driver.put(base, data)
        await blocks.clone(base, name, object_size=64 * KIB)
        await blocks.seal(name)
        await blocks.disk(name, "vms", disk, object_size=object_size)
        layout, read = await driver.look_at_disk("vms", disk)
        # Not striped: the features are those of the image.
        assert layout == Layout(size=len(data), object_size=object_size, features=FEATURES)
        assert read == data
        assert await blocks.children(name) == (f"vms/{disk}",)

    async def test_a_disk_that_can_not_be_made_is_said(self, blocks: Blocks, driver: Driver) -> None:
        base, unprotected, half, taken, nobody = (a_name() for _ in range(5))
        await driver.put(base, noise(MIB))
        await driver.put(unprotected, noise(MIB), protected=False)
        await driver.put(half, noise(MIB), snapshot=False)
        await blocks.disk(base, "vms", taken, object_size=OBJECT)
        with pytest.raises(ConflictError, match=taken) as refused:
            await blocks.disk(base, "vms", taken, object_size=OBJECT)
        assert f"rbd info vms/{taken}" in refused.value.remedy
        with pytest.raises(NotFoundError, match="no pool nowhere"):
            await blocks.disk(base, "nowhere", a_name(), object_size=OBJECT)
        with pytest.raises(PermanentError, match="not protected"):
            await blocks.disk(unprotected, "vms", a_name(), object_size=OBJECT)
        with pytest.raises(NotFoundError, match="no snapshot"):
            await blocks.disk(half, "vms", a_name(), object_size=OBJECT)
        with pytest.raises(NotFoundError, match=nobody):
            await blocks.disk(nobody, "vms", a_name(), object_size=OBJECT)
        with pytest.raises(PermanentError, match="may not"):
            await driver.client_of_one_pool().disk(base, "vms", a_name(), object_size=OBJECT)
        assert await blocks.children(base) == (f"vms/{taken}",)

    async def test_layers_tell_what_is_shared_and_what_is_not(self, blocks: Blocks, driver: Driver) -> None:
        base, name, disk, alone = a_name(), a_name(), a_name(), a_name()
        # An object of zeros in the middle is none.
        await driver.put(base, noise(OBJECT) + bytes(OBJECT) + noise(5, seed=2))
        await driver.put(alone, noise(MIB))
        await blocks.clone(base, name, object_size=64 * KIB)
        async with blocks.writing(name) as image:
            await image.write(128 * KIB, noise(64 * KIB, seed=3))
            await image.write(OBJECT, noise(64 * KIB, seed=4))
        await blocks.seal(name)
        await blocks.disk(name, "vms", disk, object_size=OBJECT)
        layers = {
            layer.spec: layer for layer in (await blocks.layers()).layers if layer.name in {base, name, disk, alone}
        }
        assert [*layers] == sorted(layers)
        lowest, layered = layers[f"images/{base}"], layers[f"images/{name}"]
        assert (lowest.size, lowest.own, lowest.shared) == (2 * OBJECT + 5, OBJECT + 5, 0)
        assert (lowest.parent, lowest.clones, lowest.flattens) == (None, (f"images/{name}",), True)
        # One of the two objects of its own covers what the base holds, the other a hole.
        assert (layered.own, layered.shared) == (128 * KIB, OBJECT + 5 - 64 * KIB)
        assert (layered.parent, layered.clones) == (f"images/{base}", (f"vms/{disk}",))
        top = layers[f"vms/{disk}"]
        assert (top.size, top.own, top.parent, top.clones) == (2 * OBJECT + 5, 0, f"images/{name}", ())
        assert top.shared is not None
        assert top.shared >= OBJECT + 5
        assert layers[f"images/{alone}"].own == MIB
        uncounted = {layer.spec: layer for layer in (await blocks.layers(measured=False)).layers}
        assert uncounted[f"images/{name}"] == replace(layered, own=None, shared=None)

    async def test_layers_without_the_disks_that_the_key_may_not_see(self, blocks: Blocks, driver: Driver) -> None:
        base, disk = a_name(), a_name()
        await driver.put(base, noise(MIB))
        await blocks.disk(base, "volumes", disk, object_size=OBJECT)
        seen = {layer.spec: layer for layer in (await driver.client_of_one_pool().layers()).layers}
        assert seen[f"images/{base}"].clones is None
        assert seen[f"images/{base}"].own == MIB
        assert f"volumes/{disk}" not in seen

    async def test_an_image_that_can_not_be_opened_is_named_and_hides_no_other(
        self, blocks: Blocks, driver: Driver
    ) -> None:
        good, odd = a_name(), a_name()
        await driver.put(good, noise(MIB))
        await driver.put(odd, noise(MIB), snapshot=False)
        await driver.behead(odd)
        found = await blocks.layers()
        assert f"images/{good}" in {layer.spec for layer in found.layers}
        assert f"images/{odd}" not in {layer.spec for layer in found.layers}
        assert odd in found.unseen[f"images/{odd}"]
        assert found.left_out == 0

    async def test_a_parent_in_the_trash_is_told_by_its_name(self, blocks: Blocks, driver: Driver) -> None:
        base, name = a_name(), a_name()
        await driver.put(base, noise(MIB))
        await blocks.clone(base, name, object_size=MIB)
        await driver.trash(base)
        layers = {layer.name: layer for layer in (await blocks.layers()).layers}
        assert layers[name].parent == f"images/{base}"
        assert base not in layers
        # Another comes back under that name, on top of what is still on top of the first.
        await blocks.seal(name)
        await blocks.clone(name, base, object_size=MIB)
        layers = {layer.name: layer for layer in (await blocks.layers()).layers}
        assert (layers[base].parent, layers[base].parent_id) == (f"images/{name}", layers[name].id)
        assert layers[name].parent == f"images/{base}"
        assert layers[name].parent_id not in {layers[base].id, None}

    async def test_parents_and_children_of_none(self, blocks: Blocks, driver: Driver) -> None:
        name, nobody = a_name(), a_name()
        await driver.put(name, noise(MIB))
        assert await blocks.parent(name) is None
        assert await blocks.children(name) == ()
        for call in (blocks.parent(nobody), blocks.children(nobody), blocks.flatten(nobody)):
            with pytest.raises(NotFoundError, match=nobody):
                await call

    async def test_they_are_found_under_their_new_names(self, blocks: Blocks, driver: Driver) -> None:
        base, child, new_base, new_child = (a_name() for _ in range(4))
        await driver.put(base, noise(MIB))
        await blocks.clone(base, child, object_size=MIB)
        await driver.rename(base, new_base)
        await blocks.rename(child, new_child)
        assert await blocks.parent(new_child) == f"images/{new_base}"
        assert await blocks.children(new_base) == (f"images/{new_child}",)

    async def test_a_base_is_not_trashed_under_its_clones(self, blocks: Blocks, driver: Driver) -> None:
        base, child = a_name(), a_name()
        await driver.put(base, noise(MIB))
        await blocks.clone(base, child, object_size=MIB)
        with pytest.raises(ConflictError, match=child):
            await blocks.trash(base, delay=DAY)
        assert (await driver.look(base)).protected

    async def test_a_flattened_image_is_the_same_and_needs_nobody(self, blocks: Blocks, driver: Driver) -> None:
        base, name, data = a_name(), a_name(), noise(9 * MIB)
        await driver.put(base, data)
        await blocks.clone(base, name, object_size=MIB)
        async with blocks.writing(name) as image:
            await image.write(4 * MIB, noise(MIB, seed=2))
        await blocks.seal(name)
        before = await blocks.digests(name, 64 * KIB, snapshot=True)
        await blocks.flatten(name)
        await blocks.flatten(name)
        await driver.flattened()

        async def alone() -> bool:
            return await blocks.parent(name) is None

        await until(driver, alone)
        await blocks.flatten(name)
        assert await blocks.children(base) == ()
        assert await driver.data(name) == data[: 4 * MIB] + noise(MIB, seed=2) + data[5 * MIB :]
        assert await blocks.digests(name, 64 * KIB, snapshot=True) == before
        seen = await driver.look(name)
        assert (seen.snapshot, seen.protected) == (True, True)
        await blocks.trash(base, delay=DAY)

        async def nothing_left() -> bool:
            return await blocks.tasks() == ()

        await until(driver, nothing_left)

    async def test_what_is_being_flattened_is_listed(self, blocks: Blocks, driver: Driver) -> None:
        base, names = a_name(), [a_name() for _ in range(6)]
        await driver.put(base, noise(24 * MIB))
        for name in names:
            await blocks.clone(base, name, object_size=64 * KIB)
        for name in names:
            await blocks.flatten(name)
        tasks = await blocks.tasks()
        assert {task.image for task in tasks} <= set(names)
        # They are done one by one.
        assert names[-1] in {task.image for task in tasks}
        assert sum(task.running for task in tasks) <= 1
        assert all(0 <= task.progress <= 1 and not task.trouble for task in tasks)
        await driver.flattened()

        async def done() -> bool:
            return await blocks.tasks() == ()

        await until(driver, done)
        assert [await blocks.parent(name) for name in names] == [None] * 6

    async def test_an_image_that_stands_alone_is_not_flattened(self, blocks: Blocks, driver: Driver) -> None:
        name = a_name()
        await driver.put(name, noise(MIB))
        await blocks.flatten(name)
        assert await blocks.tasks() == ()

    async def test_without_a_manager_nothing_is_flattened(self, blocks: Blocks, driver: Driver) -> None:
        base, name = a_name(), a_name()
        await driver.put(base, noise(MIB))
        await blocks.clone(base, name, object_size=MIB)
        await driver.stop_manager()
        for call in (blocks.flatten(name), blocks.tasks()):
            with pytest.raises(UnreachableError, match="store dcn0"):
                await call
        assert await blocks.parent(name) == f"images/{base}"

    async def test_the_manager_s_capabilities_are_named(self, driver: Driver) -> None:
        blocks = driver.client_without_manager_caps()
        base, name = a_name(), a_name()
        await driver.put(base, noise(MIB))
        await driver.clone(base, name)
        with pytest.raises(PermanentError, match="may not") as refused:
            await blocks.flatten(name)
        assert "mgr 'profile rbd'" in refused.value.remedy
        # It needs them for nothing else.
        assert await blocks.parent(name) == f"images/{base}"
