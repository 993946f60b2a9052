"""Listing images while the world moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from edgesync.domain.image import Image
from edgesync.errors import PermanentError, TransientError
from tests.fakes.glance import FakeGlance, Fault, NotJson, status
from tests.unit.clients.conftest import Watched


async def pages_of(watched: Watched) -> list[Sequence[Image]]:
    return [page async for page in watched.glance.images()]


async def names_of(watched: Watched) -> list[str]:
    return sorted(image.name for page in await pages_of(watched) for image in page)


def fill(fake: FakeGlance, count: int) -> list[str]:
    """Images of rising age, so that image-0 is listed first."""
    now = fake.clock.now()
    return [fake.add_image(name=f"image-{index}", created_at=now - timedelta(seconds=index)) for index in range(count)]


async def test_no_image_is_an_empty_page(watched: Watched) -> None:
    assert await pages_of(watched) == [[], []]


async def test_the_servers_limit_is_followed(fake: FakeGlance, watched: Watched) -> None:
    fake.settings.page_limit = 3
    fill(fake, 7)
    assert [len(page) for page in await pages_of(watched)] == [3, 3, 1, 0]


async def test_an_exact_last_page_ends_the_list(fake: FakeGlance) -> None:
    watched = Watched(fake, page_size=2)
    fill(fake, 4)
    assert [len(page) for page in await pages_of(watched)] == [2, 2, 0, 0]
    await watched.glance.close()


async def test_overlapping_pages_bring_everything(fake: FakeGlance) -> None:
    watched = Watched(fake, page_size=4)
    fill(fake, 10)
    fake.sim.listing.overlap = 2
    assert set(await names_of(watched)) == {f"image-{index}" for index in range(10)}
    await watched.glance.close()


async def test_pages_in_a_circle_end(fake: FakeGlance) -> None:
    watched = Watched(fake, page_size=2)
    fill(fake, 10)
    fake.sim.listing.overlap = 5
    with pytest.raises(TransientError, match="circle"):
        await pages_of(watched)
    await watched.glance.close()


async def seen_while_deleting(fake: FakeGlance, size: int, gone: Sequence[str]) -> set[str]:
    """List in pages of that size; these are deleted after the first page."""
    watched = Watched(fake, page_size=size)
    seen: set[str] = set()
    waiting = list(gone)
    try:
        async for page in watched.glance.images():
            seen |= {image.id for image in page}
            while waiting:
                fake.delete_image(waiting.pop())
    finally:
        await watched.glance.close()
    return seen


@pytest.mark.parametrize(("size", "deleted"), [(2, 1), (5, 1), (5, 2), (5, 4)])
async def test_deletions_in_mid_list_lose_nobody(fake: FakeGlance, size: int, deleted: int) -> None:
    """The last entries of the first page go, the marker among them."""
    ids = fill(fake, 12)
    assert await seen_while_deleting(fake, size, ids[size - deleted : size]) == set(ids)


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_a_whole_page_deleted_is_worth_another_try(fake: FakeGlance, size: int) -> None:
    ids = fill(fake, 12)
    with pytest.raises(TransientError, match="being deleted"):
        await seen_while_deleting(fake, size, ids[:size])


async def test_images_that_come_in_mid_list_do_no_harm(fake: FakeGlance) -> None:
    watched = Watched(fake, page_size=2)
    ids = fill(fake, 6)
    seen = []
    async for page in watched.glance.images():
        seen += [image.id for image in page]
        fake.add_image(created_at=fake.clock.now() + timedelta(seconds=1))
    assert set(ids) <= set(seen)
    await watched.glance.close()


async def test_a_malformed_image_is_skipped_and_named(fake: FakeGlance, watched: Watched) -> None:
    fill(fake, 3)
    bad = fake.add_image(override={"size": "much", "tags": None})
    with capture_logs() as logs:
        assert await names_of(watched) == ["image-0", "image-1", "image-2"]
    assert [(log["log_level"], log["image"], log["why"]) for log in logs] == [
        ("warning", bad, "size: expected a number of bytes")
    ]
    with pytest.raises(PermanentError, match="malformed: size"):
        await watched.glance.image(bad)


async def test_a_page_that_fails_is_asked_for_again(fake: FakeGlance) -> None:
    watched = Watched(fake, page_size=2)
    fill(fake, 5)
    fake.faults.add(Fault(operation="images", kind=status(503), times=2))
    assert len(await names_of(watched)) == 5
    await watched.glance.close()


async def test_locations_pass_by(fake: FakeGlance, watched: Watched) -> None:
    fill(fake, 3)
    fake.sim.show_locations = True
    assert len(await names_of(watched)) == 3
    assert {tuple(image.properties) for page in await pages_of(watched) for image in page} == {()}


async def test_both_listings_are_asked_for_everything(fake: FakeGlance, watched: Watched) -> None:
    since = fake.clock.now().replace(microsecond=123)
    _ = [page async for page in watched.glance.images(updated_since=since)]
    assert [seen.query for seen in fake.requests] == [
        {"limit": "1000", "visibility": "all", "os_hidden": hidden, "updated_at": "gte:2026-01-01T00:00:00Z"}
        for hidden in ("false", "true")
    ]


async def test_a_forbidden_list_says_which_role() -> None:
    async with FakeGlance() as fake:
        watched = Watched(fake)
        fake.faults.add(Fault(operation="images", kind=status(403)))
        with pytest.raises(PermanentError) as refused:
            await pages_of(watched)
        assert "get_images" in refused.value.remedy
        await watched.glance.close()


@pytest.mark.parametrize("body", ["[]", "{}", '{"images": null}', "null"])
async def test_another_json_is_transient(fake: FakeGlance, watched: Watched, body: str) -> None:
    fake.faults.add(Fault(operation="images", kind=NotJson(body), times=9))
    with pytest.raises(TransientError, match="no list of images"):
        await pages_of(watched)
