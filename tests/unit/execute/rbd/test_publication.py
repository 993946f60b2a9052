"""From a sealed image to a copy that Glance knows, whatever Glance, the site and rivals do meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from edgesync.domain.image import Image, TaskId, temporary_name
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnreachableError,
)
from edgesync.execute.rbd.publication import GlanceAwayError, publish
from edgesync.execute.rbd.target import Target
from edgesync.execute.workbench import NotWaitedForError
from tests.builders import CENTRAL, image
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.unit.execute.doubles import DCN0, Rig, rig


@dataclass(kw_only=True)
class Site:
    """A site with a sealed image, and the Glance that shall know of it."""

    on: Rig = field(default_factory=rig)
    image: Image = field(default_factory=image)
    halted: bool = False

    def __post_init__(self) -> None:
        self.on.glance.put(self.image)
        self.cluster = FakeCluster("dcn0", clock=self.on.clock)
        self.blocks = FakeBlocks(self.cluster)
        self.blocks.put(self.temporary, b"data")
        self.target = Target(DCN0, self.blocks, self.image.id, trash_delay=timedelta(hours=1))

    @property
    def temporary(self) -> str:
        return temporary_name(self.image.id)

    @property
    def added(self) -> int:
        return sum(call[0] == "add_location" for call in self.on.glance.calls)

    async def publish(self) -> str:
        return await publish(self.on.bench, self.target, halted=lambda: self.halted)

    def sealed_still(self) -> bool:
        """It has our name, and no other."""
        return set(self.cluster.images) == {self.temporary} and self.cluster.images[self.temporary].snapshot


@pytest.fixture
def site() -> Site:
    return Site()


async def test_it_gets_its_name_and_then_its_location(site: Site) -> None:
    assert await site.publish() == ""
    assert set(site.cluster.images) == {site.image.id}
    assert DCN0 in site.on.glance.images[site.image.id].stores
    ((_, _, url, store),) = site.on.glance.calls
    assert (url, store) == (await site.target.location(), DCN0)


async def test_a_location_that_is_there_though_it_was_refused_is_ours(site: Site) -> None:
    async def taken(method: str, _: str) -> None:
        if method == "location":
            site.on.glance.arrive(site.image.id, DCN0)

    site.blocks.before = taken
    site.on.glance.refusals["add_location"].append(PermanentError("it already exists"))
    assert await site.publish() == ""
    assert set(site.cluster.images) == {site.image.id}


async def test_a_location_that_glance_forgets_is_added_again(site: Site) -> None:
    site.on.glance.forgets = 2
    assert await site.publish() == ""
    assert site.added == 3


async def test_one_that_it_forgets_always_is_a_failure_that_leaves_the_name_free(site: Site) -> None:
    site.on.glance.forgets = 100
    with pytest.raises(TransientError, match="does not show it"):
        await site.publish()
    assert site.added == 3
    assert site.sealed_still()


async def test_what_glance_refuses_for_good_leaves_the_name_free(site: Site) -> None:
    site.on.glance.refusals["add_location"].append(PermanentError("locations are invisible"))
    with pytest.raises(PermanentError, match="invisible"):
        await site.publish()
    assert site.added == 1
    assert site.sealed_still()


async def test_a_server_error_is_tried_again(site: Site) -> None:
    site.on.glance.refusals["add_location"].append(TransientError("HTTP 500"))
    assert await site.publish() == ""
    assert site.added == 2


async def test_a_request_that_may_still_arrive_keeps_the_name(site: Site) -> None:
    site.on.glance.refusals["add_location"] += [UnreachableError("silence")] * 3
    with pytest.raises(GlanceAwayError):
        await site.publish()
    assert set(site.cluster.images) == {site.image.id}


@pytest.mark.parametrize(
    "later",
    [PermanentError("locations are invisible"), TransientError("HTTP 503"), UnreachableError("refused", sent=False)],
    ids=["refused", "busy", "down"],
)
async def test_no_later_answer_ends_the_doubt_about_one_that_had_none(site: Site, later: EdgesyncError) -> None:
    """The first may arrive after any look: what it names has to stay where it is."""
    site.on.glance.refusals["add_location"] += [UnreachableError("silence"), later, later]
    with pytest.raises(GlanceAwayError, match="silence"):
        await site.publish()
    assert set(site.cluster.images) == {site.image.id}


async def test_nor_does_an_image_that_is_withdrawn_meanwhile(site: Site) -> None:
    async def withdrawn(method: str, _: str) -> None:
        if method == "location":
            site.on.glance.change(site.image.id, status="deactivated")

    site.blocks.before = withdrawn
    site.on.glance.refusals["add_location"] += [UnreachableError("silence")] + [PermanentError("not active")] * 2
    with pytest.raises(GlanceAwayError, match="silence"):
        await site.publish()
    assert set(site.cluster.images) == {site.image.id}


async def test_a_location_that_is_shown_ends_the_doubt(site: Site) -> None:
    site.on.glance.refusals["add_location"] += [UnreachableError("silence")] * 2
    assert await site.publish() == ""
    assert set(site.cluster.images) == {site.image.id}


async def test_a_glance_that_was_never_reached_leaves_no_doubt_but_is_waited_for(site: Site) -> None:
    site.on.glance.refusals["add_location"] += [UnreachableError("refused", sent=False)] * 3
    with pytest.raises(GlanceAwayError):
        await site.publish()


@pytest.mark.parametrize("method", ["image", "tasks"])
async def test_a_silent_glance_is_told_from_a_silent_site(site: Site, method: str) -> None:
    site.on.glance.change(site.image.id, lock=TaskId("theirs"))
    site.on.glance.refusals[method].append(UnreachableError("silence"))
    with pytest.raises(GlanceAwayError):
        await site.publish()
    assert site.sealed_still()


async def test_an_image_that_somebody_imports_is_left_alone(site: Site) -> None:
    site.on.glance.change(site.image.id, lock=TaskId("theirs"))
    site.on.glance.task("theirs")
    with pytest.raises(ConflictError, match="holds the image"):
        await site.publish()
    assert site.added == 0
    assert site.sealed_still()


def imports_meanwhile(site: Site) -> None:
    """Somebody's import begins while ours gets its name."""

    async def begins(method: str, _: str) -> None:
        if method == "rename" and ours_is_there(site):
            site.on.glance.change(site.image.id, lock=TaskId("theirs"))
            site.on.glance.task("theirs")

    site.blocks.before = begins


async def test_an_import_that_began_meanwhile_is_waited_for(site: Site) -> None:
    imports_meanwhile(site)
    site.on.clock.after(600, lambda: site.on.glance.change(site.image.id, lock=None, stores=frozenset({CENTRAL})))
    assert await site.publish() == ""
    assert site.added == 2
    assert DCN0 in site.on.glance.images[site.image.id].stores


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not yet"])
async def test_nobody_who_is_halted_waits_for_it_and_the_copy_keeps_its_name(site: Site, listed: bool) -> None:
    if listed:
        site.on.glance.arrive(site.image.id, DCN0)
    imports_meanwhile(site)
    site.halted = True
    with pytest.raises(NotWaitedForError):
        await site.publish()
    assert site.added == (not listed)
    assert set(site.cluster.images) == {site.image.id}
    assert DCN0 in site.on.glance.images[site.image.id].stores


async def test_one_that_is_not_active_is_left_alone(site: Site) -> None:
    site.on.glance.change(site.image.id, status="deactivated")
    with pytest.raises(ConflictError, match="became deactivated"):
        await site.publish()
    assert site.sealed_still()


async def test_a_copy_of_somebody_elses_makes_ours_needless(site: Site) -> None:
    site.blocks.put(site.image.id, b"data")
    site.on.glance.arrive(site.image.id, DCN0)
    assert await site.publish() == "somebody else's copy came first"
    assert set(site.cluster.images) == {site.image.id}
    assert [entry.image.name for entry in site.cluster.trashed] == [site.temporary]


async def test_a_location_without_data_gets_ours(site: Site) -> None:
    """A request of ours arrived late, or a rival wrote back the locations that it had seen when it began."""
    site.on.glance.arrive(site.image.id, DCN0)
    assert await site.publish() == ""
    assert set(site.cluster.images) == {site.image.id}
    assert site.added == 0
    assert not site.cluster.trashed


async def test_one_that_is_taken_back_in_this_moment_is_added_again(site: Site) -> None:
    async def taken_back(method: str, _: str) -> None:
        if method == "rename":
            site.on.glance.change(site.image.id, stores=frozenset({CENTRAL}))

    site.on.glance.arrive(site.image.id, DCN0)
    site.blocks.before = taken_back
    assert await site.publish() == ""
    assert set(site.cluster.images) == {site.image.id}
    assert site.added == 1
    assert DCN0 in site.on.glance.images[site.image.id].stores


async def test_for_half_a_copy_that_is_listed_ours_is_not_given_up(site: Site) -> None:
    site.cluster.put_partial(site.image.id)
    site.on.glance.arrive(site.image.id, DCN0)
    with pytest.raises(ConflictError):
        await site.publish()
    assert set(site.cluster.images) == {site.image.id, site.temporary}
    assert site.cluster.images[site.temporary].snapshot


async def test_what_has_its_name_already_is_ours_when_glance_lists_it(site: Site) -> None:
    await site.target.name()
    site.on.glance.arrive(site.image.id, DCN0)
    assert await site.publish() == ""
    assert site.added == 0


async def test_what_has_its_name_already_is_registered_under_it(site: Site) -> None:
    await site.target.name()

    async def renamed(method: str, _: str) -> None:
        assert method != "rename"

    site.blocks.before = renamed
    assert await site.publish() == ""
    assert site.added == 1


async def test_a_rival_that_has_the_name_already_goes_first(site: Site) -> None:
    site.cluster.put_partial(site.image.id, watchers=1)
    with pytest.raises(ConflictError):
        await site.publish()
    assert set(site.cluster.images) == {site.image.id, site.temporary}
    assert site.cluster.images[site.image.id].watchers


async def test_a_rename_whose_answer_is_lost_is_taken_back(site: Site) -> None:
    async def lost(method: str, _: str) -> None:
        site.cluster.answers_lost = method == "rename" and ours_is_there(site)

    site.blocks.before = lost
    with pytest.raises(UnreachableError):
        await site.publish()
    assert site.sealed_still()


def ours_is_there(site: Site) -> bool:
    return site.temporary in site.cluster.images


async def test_of_an_image_that_goes_in_this_moment_no_name_stays(site: Site) -> None:
    async def gone(method: str, _: str) -> None:
        if method == "location":
            del site.on.glance.images[site.image.id]

    site.blocks.before = gone
    site.on.glance.refusals["add_location"].append(NotFoundError("gone"))
    with pytest.raises(NotFoundError):
        await site.publish()
    assert site.sealed_still()


async def test_a_finished_image_that_somebody_took_away_is_not_an_image_that_is_gone(site: Site) -> None:
    site.cluster.remove(site.temporary)
    with pytest.raises(TransientError, match="taken away"):
        await site.publish()
