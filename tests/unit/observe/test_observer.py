"""What a pass makes of answers that come late, broken, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from edgesync.daemon.clock import SystemClock
from edgesync.domain.image import Image, ImageId, ImportTask, TaskId, TaskStatus
from edgesync.domain.ports import Glance
from edgesync.domain.store import Store, StoreId
from edgesync.errors import EdgesyncError, NotFoundError, PermanentError, TransientError
from edgesync.observe.observer import Observer
from tests.builders import image

ALWAYS = timedelta(0)
NEVER_AGAIN = timedelta(days=1000)


class Shelf:
    """As much of Glance as an observer asks for."""

    def __init__(self, *images: Image) -> None:
        self.listed = list(images)
        self.names = ["central", "dcn0"]
        self.trouble: dict[ImageId, EdgesyncError] = {}
        self.asked_since: datetime | None = None
        self.shown: list[ImageId] = []
        self.tasks_of: dict[ImageId, list[ImportTask]] = {}
        self.asked_after: list[ImageId] = []
        self.task_trouble: dict[ImageId, EdgesyncError] = {}

    async def check(self) -> str:
        return "v2.18"

    async def stores(self) -> tuple[Store, ...]:
        return tuple(Store(id=StoreId(name)) for name in self.names)

    async def images(self, *, updated_since: datetime | None = None) -> AsyncIterator[Sequence[Image]]:
        self.asked_since = updated_since
        yield self.listed

    async def image(self, wanted: ImageId) -> Image:
        self.shown.append(wanted)
        if wanted in self.trouble:
            raise self.trouble[wanted]
        return next(entry for entry in self.listed if entry.id == wanted)

    async def tasks(self, wanted: ImageId) -> Sequence[ImportTask]:
        self.asked_after.append(wanted)
        if wanted in self.task_trouble:
            raise self.task_trouble[wanted]
        return self.tasks_of.get(wanted, [])


def observer(shelf: Shelf, full_every: timedelta = ALWAYS) -> Observer:
    return Observer(cast("Glance", shelf), SystemClock(), hub=StoreId("central"), full_every=full_every)


async def test_trouble_with_one_image_of_many_is_told_as_what_it_is() -> None:
    shelf = Shelf(image("moving", lock="theirs"))
    shelf.trouble[image("moving").id] = TransientError("no answer")
    with pytest.raises(TransientError, match="no answer"):
        await observer(shelf).look()


async def test_a_store_that_appears_in_a_pass_that_breaks_off_is_told_by_the_next() -> None:
    shelf = Shelf(image("moving", lock="theirs"))
    looking = observer(shelf)
    await looking.look()
    shelf.names.append("dcn1")
    shelf.trouble[image("moving").id] = TransientError("no answer")
    with pytest.raises(TransientError):
        await looking.look()
    shelf.trouble.clear()
    sighting = await looking.look()
    assert sighting.appeared == {"dcn1"}
    assert sighting.world.changed is None, "every image may want the new store"
    assert (await looking.look()).appeared == frozenset()


async def test_a_damaged_record_does_not_hide_the_others() -> None:
    damaged, other = image("damaged"), image("other")
    shelf = Shelf(damaged, other)
    looking = observer(shelf)
    await looking.look()
    shelf.listed = [image("other", stores=("central", "dcn0"))]
    shelf.trouble[damaged.id] = PermanentError("its record is malformed")
    seen = (await looking.look()).world.images
    assert seen[other.id].stores == {"central", "dcn0"}
    assert seen[damaged.id] == damaged, "the last that was known of it"


async def test_a_time_in_the_future_does_not_hide_later_changes() -> None:
    now = datetime.now(UTC)
    shelf = Shelf(replace(image("ahead"), updated_at=now + timedelta(days=300)))
    looking = observer(shelf, NEVER_AGAIN)
    await looking.look()
    await looking.look()
    assert shelf.asked_since is not None
    assert shelf.asked_since < now + timedelta(minutes=1)


async def test_many_moving_images_are_shown_in_turn() -> None:
    images = [image(f"{number:03}", lock="theirs") for number in range(250)]
    shelf = Shelf(*images)
    looking = observer(shelf, NEVER_AGAIN)
    for _ in range(3):
        await looking.look()
    assert set(shelf.shown) == {entry.id for entry in images}


def task(name: str, updated_at: datetime) -> ImportTask:
    return ImportTask(
        id=TaskId(name),
        status=TaskStatus.PROCESSING,
        message="",
        stores=(),
        created_at=updated_at,
        updated_at=updated_at,
    )


async def test_the_task_behind_a_lock_is_told_and_asked_after_only_now_and_then() -> None:
    moving = image("moving", lock="theirs")
    shelf = Shelf(moving)
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    shelf.tasks_of[moving.id] = [task("older", began), task("theirs", began)]
    looking = observer(shelf)
    await looking.look()
    world = (await looking.look()).world
    assert world.locks[moving.id].id == "theirs"
    assert world.locks[moving.id].expires_at == began + timedelta(minutes=60)
    assert shelf.asked_after == [moving.id]


async def test_a_lock_that_ends_is_forgotten_and_a_new_one_is_asked_after_at_once() -> None:
    shelf = Shelf(image("moving", lock="first"))
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    shelf.tasks_of[image("moving").id] = [task("first", began), task("second", began)]
    looking = observer(shelf)
    await looking.look()
    shelf.listed = [image("moving", lock="second")]
    assert (await looking.look()).world.locks[image("moving").id].id == "second"
    shelf.listed = [image("moving")]
    assert (await looking.look()).world.locks == {}


async def test_where_tasks_are_not_told_a_lock_counts_from_when_it_was_seen() -> None:
    moving = image("moving", lock="theirs")
    looking = observer(Shelf(moving))
    before = datetime.now(UTC)
    expires = (await looking.look()).world.locks[moving.id].expires_at
    assert expires >= before + timedelta(minutes=120)
    assert (await looking.look()).world.locks[moving.id].expires_at == expires


async def test_tasks_that_can_not_be_listed_blind_nobody() -> None:
    moving = image("moving", lock="theirs")
    shelf = Shelf(moving)
    shelf.task_trouble[moving.id] = TransientError("no answer")
    seen = (await observer(shelf).look()).world
    assert seen.images[moving.id].moving
    assert seen.locks == {}


async def test_images_that_are_gone_are_told_once() -> None:
    shelf = Shelf(image("a"), image("b"), image("c"))
    eyes = observer(shelf)
    assert (await eyes.look()).gone == frozenset()
    a, b, _ = (entry.id for entry in shelf.listed)
    del shelf.listed[0]
    shelf.trouble[a] = NotFoundError("it is gone")
    # An engine found another one gone, and one that was never seen: deleted while no daemon ran.
    eyes.lost(b)
    eyes.lost(ImageId("of a former life"))
    shelf.listed = shelf.listed[1:]
    shelf.trouble[ImageId("never was")] = NotFoundError("there is none")
    assert await eyes.show(ImageId("never was")) is None
    assert (await eyes.look()).gone == {a, b, "of a former life"}
    assert (await eyes.look()).gone == frozenset()


async def test_what_went_in_a_pass_that_breaks_off_is_told_by_the_next() -> None:
    shelf = Shelf(image("a"), image("b"))
    eyes = observer(shelf)
    await eyes.look()
    a, b = (entry.id for entry in shelf.listed)
    shelf.listed = []
    shelf.trouble = {a: NotFoundError("it is gone"), b: TransientError("not now")}
    with pytest.raises(TransientError):
        await eyes.look()
    shelf.trouble[b] = NotFoundError("it is gone, too")
    assert (await eyes.look()).gone == {a, b}
