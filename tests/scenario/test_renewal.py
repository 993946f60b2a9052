"""A damaged copy is replaced only while it is still that copy, and what a repair leaves is no part of any copy."""

from __future__ import annotations

from pathlib import Path

from edgesync.domain.blocks import MIB
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import replacement_name, temporary_name
from edgesync.domain.job import CopyResult, EventKind
from edgesync.domain.site import Defect
from edgesync.errors import ConflictError
from tests.scenario.blocks import at, good, noise, nothing_but, passes, sent
from tests.scenario.comparing import compared, finding, flattening, outcome, spread, verify
from tests.scenario.stage import Stage


async def test_a_copy_whose_image_is_deleted_in_the_middle_of_it_leaves_nothing(tmp_path: Path) -> None:
    async with compared(tmp_path) as stage, stage.life():
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).corrupt(MIB)
        at(stage, "dcn0", "seal", lambda: stage.fake.delete_image(image))
        async with flattening(stage.blocks["dcn0"]):
            await verify(stage, image, repair=True)
            await stage.until(lambda: not stage.pool("dcn0").has(image), "deleted")
            await stage.until_recorded()
        nothing_but(stage, "dcn0")
        (told,) = await stage.events(EventKind.IMAGE_GONE)
        assert "repair of a damaged copy" in told.message


async def test_a_copy_that_is_taken_off_the_list_in_the_middle_of_it_is_not_put_back(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).corrupt(MIB)
        damaged = stage.pool("dcn0").image(image).id
        at(stage, "dcn0", "seal", lambda: stage.fake.forget_location(image, "dcn0"))
        async with flattening(stage.blocks["dcn0"]):
            found = await outcome(stage, image, repair=True)
        assert found["dcn0"] == (CopyResult.FAILED, "Glance lists no copy there any more")
        assert replacement_name(image) not in stage.pool("dcn0").images
        assert not [name for name, other in stage.pool("dcn0").images.items() if other.id == damaged and name != image]


async def test_what_a_repair_left_of_a_withdrawn_image_is_swept(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        stage.blocks["dcn0"].contents(image).corrupt(MIB)
        at(stage, "dcn0", "seal", lambda: stage.fake.deactivate(image))
        async with flattening(stage.blocks["dcn0"]):
            (_, reason) = (await outcome(stage, image, repair=True))["dcn0"]
        assert "the image became deactivated in the middle of it" in reason
        assert stage.pool("dcn0").has(replacement_name(image))
        await stage.until(lambda: not stage.pool("dcn0").has(replacement_name(image)), "swept")
        nothing_but(stage, "dcn0", image)


async def test_a_repair_from_a_damaged_hub_is_told_there_and_nothing_comes_from_it(tmp_path: Path) -> None:
    async with compared(tmp_path, audit={"repair": "report"}) as stage, stage.life():
        image = await spread(stage)
        await outcome(stage, image)
        stage.blocks["dcn0"].contents(image).corrupt(MIB)
        stage.blocks["central"].contents(image).corrupt(2 * MIB)
        async with flattening(stage.blocks["dcn0"]):
            # Alone: nobody has looked at the hub's since.
            found = await outcome(stage, image, repair=True, stores=("dcn0",))
        assert found["dcn0"][0] is CopyResult.FAILED
        assert "damaged, too" in found["dcn0"][1]
        await stage.until(lambda: finding(stage, image, "central") is Defect.DAMAGED, "a finding at the hub")
        told = await stage.events(EventKind.COPY_BROKEN)
        assert {event.store for event in told} == {"dcn0", "central"}
        stage.fake.forget_location(image, "dcn1")
        stage.fake.remove_orphan("dcn1", image)
        await stage.until(lambda: stage.waits(image, "dcn1", WaitReason.NOT_AT_HUB), "nothing comes from there")


async def test_a_copy_begins_anew_beside_what_a_repair_has_left(lines: Stage) -> None:
    data = noise(24 * MIB)
    image = lines.add_raw(data=data, tags=())
    lines.blocks["dcn0"].put(replacement_name(image), data, snapshot=False)
    lines.pool("dcn0").image(replacement_name(image)).watchers = 1
    async with lines.life():
        await lines.ended(await lines.ask(image, "dcn0"))
        assert sent(lines, "dcn0", image) == 24 * MIB
        lines.pool("dcn0").image(replacement_name(image)).watchers = 0
        await lines.until(lambda: not lines.pool("dcn0").has(replacement_name(image)), "swept")
        good(lines, image, "dcn0")


async def test_a_leftover_that_can_not_be_put_away_is_a_failure_with_a_rest(lines: Stage) -> None:
    image = lines.add_raw(data=noise(8 * MIB))
    lines.blocks["dcn0"].put(temporary_name(image), noise(8 * MIB, seed=2))

    async def held(method: str, name: str) -> None:
        if method == "trash" and name == temporary_name(image):
            raise ConflictError("somebody has it open")

    lines.blocks["dcn0"].before = held
    async with lines.life():
        await lines.until_at(image, "dcn1")
        await passes(lines, 600)
        failed = [event for event in await lines.events(EventKind.COPY_FAILED) if event.store == "dcn0"]
        assert all("somebody has it open" in event.message for event in failed)
        assert 1 <= len(failed) <= 5, "each after twice the rest"
        assert await lines.events(EventKind.COPY_INTERRUPTED) == []
