"""The swap of a damaged copy for a good one: asked for right before, and undone by nobody's crash."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edgesync.errors import ConflictError, NotFoundError, UnreachableError
from tests.unit.execute.rbd.damaged import DATA, IMAGE, NAME, OBJECT, WANT, Scene


@dataclass(kw_only=True)
class Glance:
    """What it says when it is asked whether the copy may be replaced."""

    why: str = ""
    gone: bool = False

    async def obstacle(self) -> str:
        if self.gone:
            raise NotFoundError("Glance lists no copy there any more")
        return self.why


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.manage()
    return made


def names(scene: Scene) -> set[str]:
    return set(scene.site.cluster.images)


async def test_the_good_one_takes_the_name_and_the_damaged_one_goes_into_the_trash(scene: Scene) -> None:
    damaged = scene.site.cluster.images[IMAGE].id
    renewed = await scene.renewal(Glance().obstacle).run(WANT)
    assert (renewed.sent, renewed.kept) == (OBJECT, "")
    scene.good(IMAGE)
    assert names(scene) == {IMAGE}
    assert [entry.image.id for entry in scene.site.cluster.trashed] == [damaged]


async def test_glance_is_asked_right_before_the_swap_and_what_was_made_is_kept(scene: Scene) -> None:
    damaged = scene.site.cluster.images[IMAGE].id
    glance = Glance(why="somebody else's import holds the image")
    with pytest.raises(ConflictError, match="somebody else's import"):
        await scene.renewal(glance.obstacle).run(WANT)
    assert scene.site.cluster.images[IMAGE].id == damaged
    scene.good(NAME)
    glance.why = ""
    renewed = await scene.renewal(glance.obstacle).run(WANT)
    assert renewed.sent == 0
    assert scene.sent == OBJECT
    scene.good(IMAGE)


async def test_of_a_copy_that_glance_has_no_more_nothing_of_ours_stays(scene: Scene) -> None:
    damaged = scene.site.cluster.images[IMAGE].id
    renewal = scene.renewal(Glance(gone=True).obstacle)
    with pytest.raises(NotFoundError):
        await renewal.run(WANT)
    assert scene.site.cluster.images[IMAGE].id == damaged, "whoever took it off the list may need it"
    await renewal.withdraw()
    assert names(scene) == {IMAGE}


async def test_not_even_what_was_moved_aside_before_a_crash(scene: Scene) -> None:
    async def cut(method: str, name: str) -> None:
        if (method, name) == ("rename", NAME):
            raise UnreachableError("cut")

    scene.site.before = cut
    with pytest.raises(UnreachableError):
        await scene.renewal(Glance().obstacle).run(WANT)
    renewal = scene.renewal(Glance(gone=True).obstacle)
    with pytest.raises(NotFoundError):
        await renewal.run(WANT)
    await renewal.withdraw()
    assert names(scene) == set()


async def test_a_copy_that_somebody_has_replaced_meanwhile_is_left_alone(scene: Scene) -> None:
    async def replace(method: str, _: str) -> None:
        if method == "seal":
            scene.site.before = nothing
            scene.site.cluster.bin(IMAGE)
            scene.site.put(IMAGE, DATA, object_size=OBJECT)

    scene.site.before = replace
    with pytest.raises(ConflictError, match="has replaced the RBD image of the copy at dcn0"):
        await scene.renewal(Glance().obstacle).run(WANT)
    assert names(scene) == {IMAGE, NAME}
    assert (await scene.renewal(Glance().obstacle).run(WANT)).sent == 0, "it is good"


async def test_a_copy_without_its_name_gets_it_back_whatever_holds_the_image(scene: Scene) -> None:
    async def cut(method: str, name: str) -> None:
        if (method, name) == ("rename", NAME):
            raise UnreachableError("cut")

    scene.site.before = cut
    with pytest.raises(UnreachableError):
        await scene.renewal(Glance().obstacle).run(WANT)
    assert IMAGE not in names(scene)
    scene.site.before = nothing
    renewed = await scene.renewal(Glance(why="somebody else's import holds the image").obstacle).run(WANT)
    assert renewed.sent == 0
    scene.good(IMAGE)
    assert names(scene) == {IMAGE}


async def test_disks_that_were_cloned_in_the_middle_of_it_are_named_and_live_on(scene: Scene) -> None:
    async def clone(method: str, _: str) -> None:
        if method == "seal":
            scene.site.before = nothing
            await scene.site.disk(IMAGE, "vms", "late", object_size=OBJECT)

    scene.site.before = clone
    renewed = await scene.renewal(Glance().obstacle).run(WANT)
    assert renewed.clones == ("vms/late",)
    scene.good(IMAGE)
    assert names(scene) == {IMAGE, renewed.kept}


async def nothing(_method: str, _image: str) -> None:
    pass


@pytest.mark.parametrize("listed", [False, True])
async def test_a_rename_that_was_broken_off_is_made_good(scene: Scene, listed: bool) -> None:
    """Of the damaged one aside, and of the good one into its place."""
    damaged = scene.site.cluster.images[IMAGE].id
    scene.site.leave_half_renamed(IMAGE, f"{IMAGE}.damaged.{damaged}", listed=listed)
    if listed:
        # Nothing is left to be layered on: it was ready before that.
        scene.site.put(NAME, DATA)
    renewed = await scene.renewal(Glance().obstacle).run(WANT)
    assert renewed.kept == ""
    scene.good(IMAGE)
    assert names(scene) == {IMAGE}


@pytest.mark.parametrize("listed", [False, True])
async def test_so_is_one_of_the_good_one_into_its_place(scene: Scene, listed: bool) -> None:
    damaged = scene.site.cluster.images[IMAGE].id
    await scene.site.rename(IMAGE, f"{IMAGE}.damaged.{damaged}")
    scene.site.put(NAME, DATA)
    scene.site.leave_half_renamed(NAME, IMAGE, listed=listed)
    await scene.renewal(Glance().obstacle).run(WANT)
    scene.good(IMAGE)
    assert names(scene) == {IMAGE}
    assert [entry.image.id for entry in scene.site.cluster.trashed] == [damaged]
