"""What replaces a damaged copy: only what is damaged comes from the hub, once, whatever breaks off in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from edgesync.domain.blocks import KIB, Flattening
from edgesync.domain.image import temporary_name
from edgesync.errors import ConflictError, EdgesyncError, TransientError, UnreachableError
from edgesync.execute.rbd.source import UPLOAD_AGAIN, SourceDamagedError
from tests.unit.execute.rbd.damaged import DATA, IMAGE, NAME, OBJECT, Scene


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.manage()
    return made


@contextmanager
def breaking(scene: Scene, method: str, *, number: int = 1) -> Iterator[None]:
    """The n-th call of a method for the new image is never answered."""
    left = number

    async def cut(called: str, _: str) -> None:
        nonlocal left
        left -= called == method
        if called == method and left == 0:
            raise UnreachableError("cut")

    scene.site.before = cut
    with pytest.raises(UnreachableError):
        yield
    assert left <= 0


async def nothing(_method: str, _image: str) -> None:
    pass


async def test_one_damaged_object_comes_from_the_hub(scene: Scene) -> None:
    new = scene.new()
    await new.make()
    scene.good()
    assert new.sent == scene.sent == scene.hub.fetched == OBJECT
    assert scene.site.contents(NAME).copied_up == 0
    assert await new.ready()


async def test_data_are_held_within_the_engines_memory(scene: Scene) -> None:
    async with scene.memory.hold(1):
        making = asyncio.create_task(scene.new().make())
        await asyncio.sleep(0.1)
        assert scene.hub.fetched == 0
    await making
    scene.good()


@pytest.mark.parametrize(
    ("method", "number"),
    [
        *[("clone", 1), ("digests", 1), ("writing", 1), ("write", 1), ("write", 2)],
        *[("flatten", 1), ("tasks", 2), ("digests", 2), ("seal", 1)],
    ],
)
async def test_what_broke_off_is_gone_on_with_and_nothing_is_sent_twice(scene: Scene, method: str, number: int) -> None:
    scene.site.contents(IMAGE).corrupt(2 * OBJECT + 5)
    with breaking(scene, method, number=number):
        await scene.new().make()
    scene.site.before = nothing
    await scene.new().make()
    scene.good()
    assert scene.sent == 2 * OBJECT


async def test_without_a_manager_only_what_is_not_zeros_is_written(scene: Scene) -> None:
    scene.site.manages = False
    with breaking(scene, "write", number=3):
        await scene.new().make()
    scene.site.before = nothing
    await scene.new().make()
    scene.good()
    blocks = [DATA[start : start + 64 * KIB] for start in range(0, len(DATA), 64 * KIB)]
    assert scene.sent == sum(len(block) for block in blocks if block.strip(b"\0")), "each once"


async def test_over_a_hole_only_what_lacks_is_written(scene: Scene) -> None:
    scene.site.contents(IMAGE).corrupt(OBJECT + 5)
    for layer in (scene.site.contents(IMAGE).objects, scene.site.contents(IMAGE).snap):
        assert layer is not None
        del layer[3]
    await scene.new().make()
    scene.good()
    assert scene.sent == 64 * KIB


async def test_a_dead_writers_lock_is_taken_over(scene: Scene) -> None:
    with breaking(scene, "write"):
        await scene.new().make()
    scene.site.before = nothing
    scene.site.leave_locked(NAME)
    began = scene.clock.now()
    await scene.new().make()
    scene.good()
    assert scene.clock.now() - began < timedelta(seconds=10)


async def test_a_manager_at_work_is_never_cut_off(scene: Scene) -> None:
    with breaking(scene, "write"):
        await scene.new().make()
    await scene.site.flatten(NAME)

    async def look(method: str, _: str) -> None:
        assert method != "writing" or not scene.site.flattening

    scene.site.before = look
    await scene.new().make()
    scene.good()


async def test_a_manager_that_has_only_to_close_it_is_not_cut_off_either(scene: Scene) -> None:
    scene.site.put(NAME, DATA, object_size=OBJECT, snapshot=False)
    scene.site.flattening[NAME] = Flattening(image=NAME, running=True)
    scene.clock.after(1, scene.site.flattening.clear)

    async def look(method: str, _: str) -> None:
        assert method != "writing" or not scene.site.flattening

    scene.site.before = look
    await scene.new().make()
    scene.good()
    assert scene.sent == 0


async def test_a_manager_that_gives_up_is_told() -> None:
    scene = Scene()
    scene.clock.after(1, scene.site.flattening.clear)
    with pytest.raises(TransientError, match="has given up flattening"):
        await scene.new().make()


async def test_neither_a_copys_leftover_nor_a_sealed_one_is_gone_on_with(scene: Scene) -> None:
    scene.site.put(temporary_name(IMAGE), DATA[:-1], snapshot=False)
    scene.site.put(NAME, b"y" + DATA[1:])
    assert not await scene.new().ready()
    await scene.new().make()
    scene.good()
    assert scene.site.data(temporary_name(IMAGE), snapshot=False) == DATA[:-1]


@pytest.mark.parametrize("left", ["short", "elsewhere"])
async def test_a_leftover_that_is_no_good_goes_into_the_trash(scene: Scene, left: str) -> None:
    if left == "short":
        scene.site.put(NAME, DATA[:-1], snapshot=False)
    else:
        scene.site.put("other", DATA, object_size=OBJECT)
        await scene.site.clone("other", NAME, object_size=OBJECT)
    await scene.new().make()
    scene.good()
    assert [entry.image.name for entry in scene.site.cluster.trashed] == [NAME]


async def test_a_leftover_that_somebody_has_open_is_a_refusal(scene: Scene) -> None:
    scene.site.put(NAME, DATA[:-1], snapshot=False)
    scene.site.cluster.images[NAME].watchers = 1
    with pytest.raises(ConflictError):
        await scene.new().make()


async def test_from_a_damaged_hub_nothing_is_taken(scene: Scene) -> None:
    scene.hub.contents(IMAGE).corrupt(OBJECT + 1)
    with pytest.raises(SourceDamagedError, match=f"between bytes {OBJECT} and {2 * OBJECT - 1}"):
        await scene.new().make()
    assert scene.sent == 0


async def test_what_the_hubs_disks_have_lost_is_no_reason_to_copy_all_else(scene: Scene) -> None:
    scene.site.contents(IMAGE).corrupt(2 * OBJECT + 5)
    scene.hub.contents(IMAGE).lost.add(2 * OBJECT + 5)
    with pytest.raises(SourceDamagedError, match="input/output error") as lost:
        await scene.new().make()
    assert lost.value.remedy == UPLOAD_AGAIN
    assert scene.sent == OBJECT, "the other damaged one"
    assert scene.site.cluster.trashed == []


async def test_a_write_that_did_not_stick_is_a_failure_that_names_the_range(scene: Scene) -> None:
    async def spoil(method: str, name: str) -> None:
        if method == "flatten":
            scene.site.contents(name).write(OBJECT, b"z")

    scene.site.before = spoil
    with pytest.raises(EdgesyncError, match=f"1 damaged range .64 KiB.: bytes {OBJECT}-{OBJECT + 65535}"):
        await scene.new().make()
