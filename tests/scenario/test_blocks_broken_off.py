"""Copies by the rbd engine that break off: by a crash, or because somebody has them cancelled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from edgesync.domain.blocks import MIB
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import CopyResult, EventKind, JobState
from edgesync.domain.ports import Glance
from edgesync.execute.progress import ProgressBoard
from edgesync.expose.requests import PauseRequest, Scope
from tests.scenario.blocks import EDGES, TEMPORARY, at, good, noise, nothing_but, once, passes, sent, slow
from tests.scenario.stage import Outside, Stage

SIZE = 16 * MIB


# What an earlier attempt has left.


async def test_what_an_earlier_attempt_has_finished_is_not_sent_again(lines: Stage) -> None:
    data = noise(SIZE)
    image = lines.add_raw(data=data)
    lines.blocks["dcn0"].put(f"{image}{TEMPORARY}", data[: 6 * MIB] + bytes(SIZE - 6 * MIB), snapshot=False)
    async with lines.life():
        await lines.until_at(image, *EDGES)
    good(lines, image, *EDGES)
    assert [sent(lines, store, image) for store in EDGES] == [SIZE - 6 * MIB, SIZE]


@pytest.mark.parametrize("size", [SIZE, SIZE + 1, MIB], ids=str)
@pytest.mark.parametrize("snapshot", [False, True], ids=["open", "sealed"])
async def test_garbage_under_our_name_is_no_obstacle(lines: Stage, size: int, snapshot: bool) -> None:
    image = lines.add_raw()
    lines.blocks["dcn0"].put(f"{image}{TEMPORARY}", noise(size), snapshot=snapshot)
    async with lines.life():
        await lines.until_at(image, *EDGES)
    assert lines.imports(image) == []
    good(lines, image, *EDGES)


async def test_half_an_image_under_our_name_is_no_obstacle(lines: Stage) -> None:
    image = lines.add_raw()
    lines.blocks["dcn0"].leave_half_made(f"{image}{TEMPORARY}")
    async with lines.life():
        await lines.until_at(image, *EDGES)
    good(lines, image, *EDGES)
    assert not lines.pool("dcn0").remains


@pytest.mark.parametrize("forth", [False, True], ids=["back", "forth"])
@pytest.mark.parametrize("listed", [False, True], ids=["early", "late"])
async def test_a_rename_that_was_broken_off_is_no_obstacle(lines: Stage, forth: bool, listed: bool) -> None:
    """To the image's name, or back from it, before or after the list had it."""
    data = noise(SIZE)
    image = lines.add_raw(data=data)
    names = (f"{image}{TEMPORARY}", image) if forth else (image, f"{image}{TEMPORARY}")
    lines.blocks["dcn0"].put(names[0], data)
    lines.blocks["dcn0"].leave_half_renamed(*names, listed=listed)
    async with lines.life():
        await lines.until_at(image, *EDGES)
    good(lines, image, *EDGES)


async def test_a_dead_writers_lock_is_waited_for(lines: Stage) -> None:
    image = lines.add_raw()
    lines.blocks["dcn0"].put(f"{image}{TEMPORARY}", noise(SIZE), snapshot=False)
    lines.blocks["dcn0"].leave_locked(f"{image}{TEMPORARY}")
    async with lines.life():
        await lines.until_at(image, *EDGES)
    assert lines.imports(image) == []
    good(lines, image, *EDGES)
    assert lines.clock.now() - lines.running.showcase.health.started_at < timedelta(minutes=5)


async def test_a_site_without_room_gets_its_copy_when_there_is_some(lines: Stage) -> None:
    image = lines.add_raw()
    at(lines, "dcn1", "write", lines.pool("dcn1").fill, number=4)
    async with lines.life():
        await lines.until_at(image, "dcn0")
        await passes(lines, 60)
        lines.pool("dcn1").other = 0
        await lines.until_at(image, *EDGES)
    good(lines, image, *EDGES)
    assert once(lines, "dcn1", image)


# What is left over.


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "present"])
async def test_an_unfinished_copy_that_nobody_needs_goes_into_the_trash(lines: Stage, gone: bool) -> None:
    image = lines.add_raw()
    left = f"{image}{TEMPORARY}"
    async with lines.life():
        await lines.until_at(image, *EDGES)
        lines.blocks["dcn1"].put(left, noise(SIZE), snapshot=False)
        if gone:
            lines.fake.delete_image(image)
        await lines.until(lambda: not lines.pool("dcn1").has(left), "swept")
        await lines.until_recorded()
        (told,) = await lines.events(EventKind.ORPHAN_TRASHED)
        assert told.store == "dcn1"
        assert "unfinished copy" in told.message
        (swept,) = lines.pool("dcn1").trashed
        assert swept.image.name == left
        assert swept.delay >= timedelta(hours=1)
        await passes(lines, 600)
        assert len(await lines.events(EventKind.ORPHAN_TRASHED)) == 1
    if not gone:
        good(lines, image, *EDGES)


async def test_an_unfinished_copy_that_is_wanted_waits_for_its_site(lines: Stage) -> None:
    image = lines.add_raw()
    left = f"{image}{TEMPORARY}"
    at(lines, "dcn1", "write", lambda: lines.cut("dcn1"), number=4)
    async with lines.life():
        await lines.until_at(image, "dcn0")
        await lines.running.intake.pause(PauseRequest(image=image, store="dcn1"))
        lines.heal("dcn1")
        await passes(lines, 7200)
        assert lines.pool("dcn1").has(left)
        lines.fake.change_image(image, tags=[])
        (job,) = await lines.jobs()
        await lines.running.intake.cancel(job.id, "test")
        await lines.running.intake.resume(Scope(image=image, store="dcn1"))
        await lines.until(lambda: not lines.pool("dcn1").has(left), "swept")
    good(lines, image, "dcn0")


async def test_somebody_elses_image_of_such_a_name_stays_while_it_is_open(lines: Stage) -> None:
    image = lines.add_raw()
    left = f"{image}{TEMPORARY}"
    async with lines.life():
        await lines.until_at(image, *EDGES)
        lines.blocks["dcn1"].put(left, noise(SIZE), snapshot=False)
        lines.pool("dcn1").images[left].watchers = 1
        await passes(lines, 3600)
        assert lines.pool("dcn1").has(left)
        assert await lines.events(EventKind.REPAIR_FAILED, EventKind.ORPHAN_TRASHED) == []


# Cancelling.


async def test_a_cancelled_copy_is_stopped_and_what_was_sent_of_it_goes(lines: Stage) -> None:
    image = lines.add_raw(tags=())
    async with lines.life():
        await lines.until(lambda: lines.running.showcase.picture is not None, "first look")
        slow(lines, "dcn1")
        job = await lines.ask(image, "dcn1")
        await lines.until(lambda: sent(lines, "dcn1", image) > 0, "under way")
        taken = await lines.running.intake.cancel(job.id, "bob")
        assert "copy to dcn1 is stopped" in taken.notes[0]
        ended = await lines.ended(job)
        assert ended.state is JobState.CANCELLED
        assert [entry.result for entry in ended.stores] == [CopyResult.CANCELLED]
        (event,) = await lines.events(EventKind.COPY_INTERRUPTED)
        assert event.message == "cancelled by bob"
        await lines.until(lambda: not lines.pool("dcn1").has(f"{image}{TEMPORARY}"), "swept")
        await passes(lines, 600)
    assert sent(lines, "dcn1", image) < SIZE
    good(lines, image)


async def test_a_copy_that_somebody_else_waits_for_goes_on(lines: Stage) -> None:
    image = lines.add_raw(tags=())
    async with lines.life():
        await lines.until(lambda: lines.running.showcase.picture is not None, "first look")
        slow(lines, "dcn1")
        job, other = await lines.ask(image, "dcn1"), await lines.ask(image, "dcn1")
        await lines.until(lambda: sent(lines, "dcn1", image) > 0, "under way")
        taken = await lines.running.intake.cancel(job.id, "bob")
        assert "somebody else waits" in taken.notes[0]
        assert (await lines.ended(other)).state is JobState.DONE
    assert once(lines, "dcn1", image)
    good(lines, image, "dcn1")


async def test_a_policy_goes_on_with_what_a_person_has_cancelled(lines: Stage) -> None:
    image = lines.add_raw(tags=())
    async with lines.life():
        await lines.until(lambda: lines.running.showcase.picture is not None, "first look")
        slow(lines, "dcn1")
        job = await lines.ask(image, "dcn1")
        await lines.until(lambda: sent(lines, "dcn1", image) > 0, "under way")
        lines.fake.change_image(image, tags=["golden"])
        await lines.running.intake.cancel(job.id, "bob")
        await lines.until_at(image, *EDGES)
    assert once(lines, "dcn1", image)
    good(lines, image, *EDGES)


async def test_an_image_that_is_deleted_is_not_sent_to_its_end(lines: Stage) -> None:
    image = lines.add_raw()
    async with lines.life():
        slow(lines, "dcn1", seconds=60)
        await lines.until(lambda: sent(lines, "dcn1", image) > 0, "under way")
        lines.fake.delete_image(image)
        await lines.until_recorded()
    assert sent(lines, "dcn1", image) < SIZE
    nothing_but(lines, "dcn0")
    nothing_but(lines, "dcn1")


class Gate(Outside):
    """Glance shows no image by itself before it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    def glance(self, glance: Glance) -> Glance:
        return cast("Glance", _Gated(glance, self.open))


class _Gated:
    def __init__(self, behind: Glance, gate: asyncio.Event) -> None:
        self._behind = behind
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    async def image(self, image: ImageId) -> Image:
        await self._gate.wait()
        return await self._behind.image(image)


async def test_a_copy_is_stopped_although_it_is_only_looked_at_yet(lines: Stage) -> None:
    image = lines.add_raw(tags=())
    lines.outside = gate = Gate()
    async with lines.life():
        await lines.until(lambda: lines.running.showcase.picture is not None, "first look")
        gate.open.set()
        job = await lines.ask(image, "dcn1")
        gate.open.clear()
        await lines.until(lambda: image in lines.running.runner.images, "begun")
        taken = await lines.running.intake.cancel(job.id, "bob")
        assert "copy to dcn1 is stopped" in taken.notes[0]
        gate.open.set()
        ended = await lines.ended(job)
        assert [entry.result for entry in ended.stores] == [CopyResult.CANCELLED]
        await passes(lines, 60)
    assert sent(lines, "dcn1", image) == 0
    good(lines, image)


async def test_what_breaks_off_beside_a_copy_is_told(lines: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistake(*_: object, **__: object) -> None:
        raise RuntimeError("a bug in what is only shown")

    monkeypatch.setattr(ProgressBoard, "moved", mistake)
    image = lines.add_raw()
    at(lines, "dcn1", "write", lambda: lines.clock.sleep(10))
    with capture_logs() as told:
        async with lines.life():
            await lines.until_at(image, *EDGES)
    assert [entry["task"] for entry in told if entry["event"] == "broke off"] == ["telling"]
    good(lines, image, *EDGES)
