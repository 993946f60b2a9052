"""Open pages hear that something has changed: soon, and never more than they can take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import ClientResponse
from markupsafe import Markup

from edgesync.domain.copy import Progress
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.expose.page import live
from edgesync.expose.page.prints import MOST, Print, Prints
from tests.builders import NOW, attempt, image, situation
from tests.unit.expose.page.sights import application, client_of, showcase, sick, text, well
from tests.unit.expose.pictures import picture_of

CHANGE = b"event: change\ndata: 1\n\n"
# Seconds for what comes at once; and in which nothing comes.
SOON, QUIET = 10.0, 0.2


@pytest.fixture(autouse=True)
def pace() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(live, "PACE", 0.01)
        yield


async def heard(answer: ClientResponse) -> bytes:
    """The next message; how soon to come again is said at the beginning, and no message."""
    async with asyncio.timeout(SOON):
        while (message := await answer.content.readuntil(b"\n\n")) == live.RETRY:
            pass
        return message


async def silent(answer: ClientResponse) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(QUIET):
            await answer.content.readuntil(b"\n\n")


async def test_a_new_picture_is_told_once_and_in_between_nothing() -> None:
    shown = showcase(sick())
    async with client_of(application(shown)) as client, client.get("/live") as answer:
        assert answer.content_type == "text/event-stream"
        assert await heard(answer) == CHANGE
        await silent(answer)
        shown.picture = well()
        assert await heard(answer) == CHANGE
        await silent(answer)
        shown.health = replace(shown.health, trouble="Glance does not answer")
        assert await heard(answer) == CHANGE
        # For how long: that is counted on with each try.
        shown.health = replace(shown.health, tried_at=NOW + timedelta(seconds=30))
        assert await heard(answer) == CHANGE


async def test_progress_is_told_although_the_picture_is_the_same() -> None:
    one = image()
    progress = Progress(image=one.id, store=StoreId("dcn0"), bytes_done=1, bytes_total=9, rate=1, since=NOW)
    picture = picture_of(situation(one, attempts=[attempt(one, "dcn0")]), progress)
    async with client_of(application(showcase(picture))) as client, client.get("/live") as answer:
        await heard(answer)
        moving = picture.progress
        assert isinstance(moving, dict)
        moving[one.id, StoreId("dcn0")] = replace(progress, bytes_done=2)
        assert await heard(answer) == CHANGE


async def test_a_quiet_stream_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SILENCE", 0.05)
    async with client_of(application(showcase(well()))) as client, client.get("/live") as answer:
        await heard(answer)
        assert await heard(answer) == b": still here\n\n"


async def test_a_stream_ends_after_some_time_so_that_the_credential_is_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "LASTING", 0.05)
    async with client_of(application(showcase(well()))) as client, client.get("/live") as answer:
        async with asyncio.timeout(SOON):
            assert (await answer.content.read()).startswith(live.RETRY + CHANGE)


async def test_only_so_many_pages_are_kept_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_PAGES", 2)
    async with client_of(application(showcase(well()))) as client:
        async with client.get("/live") as first, client.get("/live") as second:
            await heard(first)
            await heard(second)
            async with client.get("/live") as third:
                assert third.status == 503
        async with asyncio.timeout(SOON):
            # Those that were closed make room.
            while True:
                async with client.get("/live") as again:
                    if again.status == 200:
                        break
                await asyncio.sleep(0.01)


async def test_open_streams_end_when_the_daemon_stops() -> None:
    async with client_of(application(showcase(well()))) as client:
        answer = await client.get("/live")
        await heard(answer)
        async with asyncio.timeout(SOON):
            await client.server.close()
            assert await answer.content.read() == b""


def test_what_was_made_a_moment_ago_is_not_made_again_unless_something_has_changed() -> None:
    prints = Prints()
    made: list[str] = []

    def make(name: str, version: object) -> str:
        def anew() -> Print:
            made.append(name)
            return Print(title=f"{name} {len(made)}", content=Markup())

        return prints.of(name, version, anew).title

    assert [make("a", 1), make("a", 1), make("b", 1)] == ["a 1", "a 1", "b 2"]
    assert [make("a", 2), make("a", 1)] == ["a 3", "a 4"]
    for number in range(MOST + 1):
        make(str(number), 3)
    newest = f"{MOST} {len(made)}"
    assert (make(str(MOST), 3), make("0", 3)) == (newest, f"0 {len(made)}")


async def test_a_page_that_is_asked_for_at_once_shows_the_progress_that_was_told() -> None:
    picture = sick()
    moving = picture.progress
    assert isinstance(moving, dict)
    key = (ImageId("id-debian-12"), StoreId("dcn0"))
    async with client_of(application(showcase(picture))) as client:
        for gibibytes, percent in ((4, 50), (6, 75)):
            moving[key] = replace(moving[key], bytes_done=gibibytes << 30)
            assert f'<progress max="100" value="{percent}"' in await text(client, "/")
