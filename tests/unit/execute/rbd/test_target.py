"""One site's copy in the making: what is found of it, and what can be gone on with."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edgesync.domain.blocks import KIB, MIB, Layout, block_size
from edgesync.domain.image import ImageId, temporary_name
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.target import Target
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import HandClock

IMAGE = ImageId("id-img")
TEMPORARY = temporary_name(IMAGE)
SIZE = 16 * MIB


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
    layout = Layout(size=SIZE, object_size=8 * MIB, features=61)
    prepared = await target.prepare(layout, block_size(SIZE))
    assert prepared.unit == (object_size if kept else 0)
    assert bool(blocks.cluster.trashed) is not kept


async def test_a_snapshot_that_nobody_came_to_protect_is_protected_before_the_copy_is_taken_for_complete(
    blocks: FakeBlocks, target: Target
) -> None:
    blocks.put(TEMPORARY, b"data")
    blocks.cluster.find(TEMPORARY).protected = False
    want = await blocks.digests(TEMPORARY, block_size(4), snapshot=True)
    assert await target.sealed(want)
    assert blocks.cluster.find(TEMPORARY).protected
