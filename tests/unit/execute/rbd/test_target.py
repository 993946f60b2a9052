"""One site's copy in the making: what is found of it, and what can be gone on with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.blocks import KIB, MIB, Layout, block_size, of_zeros, widened
from edgesync.domain.image import ImageId, temporary_name
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.target import Base, Target
from edgesync.plan.changes import held
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import HandClock
from tests.unit.execute.rbd.disks import digests

IMAGE = ImageId("id-img")
TEMPORARY = temporary_name(IMAGE)
SIZE = 16 * MIB
LAYOUT = Layout(size=SIZE, object_size=8 * MIB, features=61)


@pytest.fixture
def blocks() -> FakeBlocks:
    return FakeBlocks(FakeCluster("dcn0", clock=HandClock()))


@pytest.fixture
def target(blocks: FakeBlocks) -> Target:
    return Target(StoreId("dcn0"), blocks, IMAGE, trash_delay=timedelta(hours=1))


@pytest.mark.parametrize("snapshot", [True, False])
async def test_whether_there_is_something_under_our_name_takes_one_call(
    blocks: FakeBlocks, target: Target, snapshot: bool
) -> None:
    calls: list[tuple[str, str]] = []

    async def before(method: str, name: str) -> None:
        calls.append((method, name))

    blocks.before = before
    assert not await target.begun()
    blocks.put(TEMPORARY, b"data", snapshot=snapshot)
    assert await target.begun()
    assert [name for _, name in calls] == [TEMPORARY, TEMPORARY]


async def test_half_a_copy_of_somebody_elses_has_no_name_yet(blocks: FakeBlocks, target: Target) -> None:
    assert not await target.has_name()
    blocks.cluster.put_partial(IMAGE)
    assert not await target.has_name()
    blocks.cluster.remove(IMAGE)
    blocks.put(IMAGE, b"data")
    assert await target.has_name()


@pytest.mark.parametrize(("object_size", "kept"), [(64 * KIB, True), (2 * MIB, True), (8 * MIB, False)])
async def test_a_clone_is_gone_on_with_unless_its_objects_are_larger_than_what_is_written_at_once(
    blocks: FakeBlocks, target: Target, object_size: int, kept: bool
) -> None:
    blocks.put("base", b"x" * SIZE)
    await blocks.clone("base", TEMPORARY, object_size=object_size)
    prepared = await target.prepare(LAYOUT, block_size(SIZE), None)
    assert prepared.unit == (object_size if kept else 0)
    assert bool(blocks.cluster.trashed) is not kept


async def test_a_clone_of_something_smaller_is_given_its_size(blocks: FakeBlocks, target: Target) -> None:
    blocks.put("base", b"x" * MIB)
    block = block_size(SIZE)
    grown = digests(b"x" * MIB + bytes(SIZE - MIB))
    base = Base(image=ImageId("base"), object_size=64 * KIB, grow_to=SIZE, held=grown)
    prepared = await target.prepare(LAYOUT, block, None, base)
    assert (prepared.have, prepared.unit) == (grown, 64 * KIB)
    assert await blocks.digests(TEMPORARY, block, snapshot=False) == grown


@given(
    st.lists(st.sampled_from((0, 1, 2)), min_size=1, max_size=24),
    st.lists(st.sampled_from((0, 1, 2)), min_size=1, max_size=48),
    st.sampled_from((0, 1, 100)),
    st.sampled_from((64 * KIB, 128 * KIB, MIB)),
)
async def test_what_a_grown_clone_lacks_makes_it_the_new_image(
    old: list[int], new: list[int], odd: int, object_size: int
) -> None:
    """Quarters of blocks, so that one ends inside a block in which the other goes on."""
    before, after = (b"".join(bytes([kind]) * (16 * KIB) for kind in kinds) for kinds in (old, [*old[:-1], *new]))
    before, after = before + b"e" * odd, after.ljust(len(before) + odd, b"\0")
    blocks = FakeBlocks(FakeCluster("dcn0", clock=HandClock()))
    blocks.put("base", before)
    target = Target(StoreId("dcn0"), blocks, IMAGE, trash_delay=timedelta(hours=1))
    want = digests(after)
    base = Base(image=ImageId("base"), object_size=object_size, grow_to=len(after), held=held(want, digests(before)))
    prepared = await target.prepare(replace(LAYOUT, size=len(after)), want.block, None, base)
    async with blocks.writing(TEMPORARY) as writing:
        for extent in widened(want.differing(prepared.have), unit=prepared.unit, size=len(after)):
            await writing.write(extent.offset, after[extent.offset : extent.end])
    await target.check(want)
    assert blocks.data(TEMPORARY) == after


@pytest.mark.parametrize("size", [SIZE - 1, MIB])
async def test_a_clone_whose_maker_died_before_it_had_its_size_is_given_it(
    blocks: FakeBlocks, target: Target, size: int
) -> None:
    blocks.put("base", b"x" * size)
    await blocks.clone("base", TEMPORARY, object_size=64 * KIB)
    prepared = await target.prepare(LAYOUT, block_size(SIZE), None)
    assert (prepared.have.size, prepared.unit) == (SIZE, 64 * KIB)
    assert await blocks.digests(TEMPORARY, block_size(SIZE), snapshot=False) == prepared.have
    assert not blocks.cluster.trashed


@pytest.mark.parametrize(("size", "layered"), [(SIZE - 1, False), (SIZE + 1, False), (SIZE + 1, True)])
async def test_what_has_another_size_makes_room(blocks: FakeBlocks, target: Target, size: int, layered: bool) -> None:
    if layered:
        blocks.put("base", b"x" * size)
        await blocks.clone("base", TEMPORARY, object_size=64 * KIB)
    else:
        blocks.put(TEMPORARY, b"x" * size, snapshot=False)
    prepared = await target.prepare(LAYOUT, block_size(SIZE), None)
    assert prepared.have == of_zeros(SIZE, block_size(SIZE))
    assert [entry.image.name for entry in blocks.cluster.trashed] == [TEMPORARY]


async def test_a_snapshot_that_nobody_came_to_protect_is_protected_before_the_copy_is_taken_for_complete(
    blocks: FakeBlocks, target: Target
) -> None:
    blocks.put(TEMPORARY, b"data")
    blocks.cluster.find(TEMPORARY).protected = False
    want = await blocks.digests(TEMPORARY, block_size(4), snapshot=True)
    assert await target.sealed(want)
    assert blocks.cluster.find(TEMPORARY).protected


@pytest.mark.parametrize("whole", [True, False])
async def test_a_snapshot_that_came_late_is_no_reason_to_throw_the_copy_away(
    blocks: FakeBlocks, target: Target, whole: bool
) -> None:
    """The call that took it had no answer in time, and the look that came next was too early."""
    blocks.put(TEMPORARY, b"x" * SIZE)
    blocks.cluster.find(TEMPORARY).protected = False
    block = block_size(SIZE)
    known = digests((b"x" if whole else b"y") * SIZE)
    prepared = await target.prepare(LAYOUT, block, known)
    assert prepared.have == (known if whole else of_zeros(SIZE, block))
    assert bool(blocks.cluster.trashed) is not whole
    if whole:
        await target.check(known)
        assert blocks.cluster.find(TEMPORARY).protected
