"""What is found of a copy before anything is sent, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from edgesync.domain.image import Image, TaskId, TaskStatus, temporary_name
from edgesync.domain.job import Attempt
from edgesync.errors import NotFoundError, UnreachableError
from edgesync.execute.rbd.leftovers import Leftovers
from edgesync.execute.rbd.target import Target
from tests.builders import CENTRAL, NOW, attempt, image
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import DCN0, Rig, rig


@dataclass(kw_only=True)
class Site:
    """A site, the hub, and what Glance shows of an image."""

    on: Rig = field(default_factory=rig)
    image: Image = field(default_factory=image)
    halted: bool = False

    def __post_init__(self) -> None:
        self.on.glance.put(self.image)
        self.cluster = FakeCluster("dcn0", clock=self.on.clock)
        self.blocks = FakeBlocks(self.cluster)
        self.hub = FakeBlocks(FakeCluster("central", clock=self.on.clock, fsid="central-fsid"))
        self.target = Target(DCN0, self.blocks, self.image.id, trash_delay=timedelta(hours=1))
        self.attempt: Attempt = replace(attempt(self.image, "dcn0"), started_at=NOW)

    @property
    def leftovers(self) -> Leftovers:
        """When the image was last seen as Glance shows it now."""
        shown = self.on.glance.images[self.image.id]
        return Leftovers(self.on.bench, {CENTRAL: self.hub, DCN0: self.blocks}, self.attempt, shown)

    async def complete(self) -> bool:
        return await self.leftovers.complete(self.target, halted=lambda: self.halted)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_of_nothing_nothing_is_found_by_two_calls(site: Site) -> None:
    calls: list[str] = []

    async def before(method: str, _: str) -> None:
        calls.append(method)

    site.blocks.before = before
    assert not await site.complete()
    assert calls == ["tidy", "reading"]
    assert not site.target.named


async def test_what_glance_lists_is_complete(site: Site) -> None:
    site.on.glance.arrive(site.image.id, DCN0)
    assert await site.complete()


async def test_so_it_is_where_the_site_does_not_answer(site: Site) -> None:
    site.on.glance.arrive(site.image.id, DCN0)
    site.cluster.down()
    assert await site.complete()


async def test_a_location_without_data_is_not_as_long_as_ours_has_our_name(site: Site) -> None:
    site.on.glance.arrive(site.image.id, DCN0)
    site.blocks.put(temporary_name(site.image.id), b"data")
    assert not await site.complete()
    site.blocks.put(site.image.id, b"data")
    assert await site.complete()


async def test_what_only_lacks_its_registration_keeps_its_name(site: Site) -> None:
    site.blocks.put(site.image.id, b"data")
    assert not await site.complete()
    assert site.target.named
    assert set(site.cluster.images) == {site.image.id}


async def test_half_a_copy_is_left_alone(site: Site) -> None:
    site.cluster.put_partial(site.image.id)
    assert not await site.complete()
    assert not site.target.named


async def test_glance_is_looked_at_last_of_all(site: Site) -> None:
    """Somebody's import lists its copy while the site is asked."""
    site.blocks.put(site.image.id, b"data")

    async def listed(method: str, _: str) -> None:
        if method == "location":
            site.on.glance.arrive(site.image.id, DCN0)

    site.blocks.before = listed
    assert await site.complete()
    assert not site.target.named


def locked(site: Site) -> None:
    site.on.glance.change(site.image.id, lock=TaskId("theirs"))
    site.on.glance.task("theirs")


def ends(site: Site, *stores: str) -> None:
    """The import writes back what it knows: these edges, and no others."""
    site.on.glance.change(site.image.id, lock=None, stores=frozenset({CENTRAL, *stores}))


@pytest.mark.parametrize("lists", [True, False])
async def test_what_an_import_is_about_to_list_is_left_to_it(site: Site, lists: bool) -> None:
    site.blocks.put(site.image.id, b"data")

    async def begins(method: str, _: str) -> None:
        if method == "location":
            locked(site)

    site.blocks.before = begins
    site.on.clock.after(600, lambda: ends(site, *([DCN0] if lists else [])))
    assert await site.complete() is lists
    assert site.target.named is not lists


@pytest.mark.parametrize(("forgets", "data"), [(False, True), (True, True), (True, False)])
async def test_what_an_import_may_forget_is_not_counted_before_its_end(site: Site, forgets: bool, data: bool) -> None:
    site.on.glance.arrive(site.image.id, DCN0)
    if data:
        site.blocks.put(site.image.id, b"data")
    locked(site)
    site.on.clock.after(600, lambda: ends(site, *([] if forgets else [DCN0])))
    assert await site.complete() is not forgets
    assert site.target.named is (forgets and data)


@pytest.mark.parametrize("listed", [True, False])
async def test_nobody_who_is_halted_waits_for_an_import(site: Site, listed: bool) -> None:
    site.blocks.put(site.image.id, b"data")
    if listed:
        site.on.glance.arrive(site.image.id, DCN0)
    locked(site)
    site.halted = True
    site.on.clock.after(1, lambda: ends(site))
    assert await site.complete() is listed
    assert not site.target.named
    assert site.on.glance.images[site.image.id].lock


async def test_the_copy_of_another_store_in_the_same_pool_is_left_alone(site: Site) -> None:
    site.hub = site.blocks
    site.blocks.put(site.image.id, b"data")
    assert not await site.complete()
    assert not site.target.named


async def test_so_it_is_where_the_other_store_cannot_tell(site: Site) -> None:
    site.blocks.put(site.image.id, b"data")
    site.hub.cluster.down()
    assert not await site.complete()
    assert not site.target.named


async def test_an_image_that_is_gone_is_told(site: Site) -> None:
    site.blocks.put(site.image.id, b"data")
    leftovers = site.leftovers
    del site.on.glance.images[site.image.id]
    with pytest.raises(NotFoundError):
        await leftovers.complete(site.target, halted=lambda: False)


async def test_a_copy_that_nobody_else_was_after_is_ours(site: Site) -> None:
    site.on.glance.task("theirs", stores=(DCN0,), status=TaskStatus.FAILURE, updated_at=NOW - timedelta(hours=1))
    site.on.glance.task("elsewhere", stores=("dcn1",), updated_at=NOW + timedelta(minutes=1))
    assert await site.leftovers.ours(DCN0)


async def test_one_that_an_import_has_named_since_may_be_its(site: Site) -> None:
    site.on.glance.task("theirs", stores=(DCN0,), updated_at=NOW + timedelta(minutes=1))
    assert not await site.leftovers.ours(DCN0)


async def test_nothing_is_ours_where_nobody_can_tell(site: Site) -> None:
    site.on.glance.refusals["tasks"].append(UnreachableError("silence"))
    assert not await site.leftovers.ours(DCN0)
