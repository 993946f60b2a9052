"""Server-sent events: resumed where somebody left off, told to many at the cost of one, and never waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from edgesync.domain.job import Event, EventKind, HistoryFilter
from edgesync.errors import TransientError, UnreachableError
from edgesync.expose import broadcast, streaming
from edgesync.expose.broadcast import Broadcast, Listener
from edgesync.expose.picture import Health, Showcase
from edgesync.expose.refusals import refusals
from edgesync.expose.streaming import Streaming
from tests.builders import NOW, image, situation
from tests.unit.expose.pictures import picture_of

Client = TestClient[web.Request, web.Application]


class Events:
    """The part of a journal that has events."""

    def __init__(self, number: int = 0) -> None:
        self.kept: list[Event] = []
        self.looks = 0
        self.trouble = False
        self.add(number)

    def add(self, number: int = 1) -> None:
        for _ in range(number):
            seq = len(self.kept) + 1
            self.kept.append(Event(at=NOW, kind=EventKind.COPY_DONE, message=f"no. {seq}", seq=seq))

    async def history(self, wanted: HistoryFilter) -> Sequence[Event]:
        self.looks += 1
        if self.trouble:
            raise UnreachableError("the database is away")
        if wanted.after is None:
            return self.kept[::-1][: wanted.limit]
        return self.kept[wanted.after :][: wanted.limit]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "EVERY", 0.01)


def showcase() -> Showcase:
    return Showcase(health=Health(started_at=NOW))


@asynccontextmanager
async def served(journal: Events, shows: Showcase | None = None) -> AsyncIterator[Client]:
    unused: Any = journal
    stream = Streaming(journal=unused, showcase=shows or showcase())
    app = web.Application(middlewares=[refusals])
    app.add_routes([endpoint.route for endpoint in stream.endpoints()])
    app.cleanup_ctx.append(stream.running)
    async with TestClient(TestServer(app)) as client:
        yield client


async def told(answer: ClientResponse, number: int) -> list[int]:
    """The positions of so many events, each of them whole."""
    found: list[int] = []
    while len(found) < number:
        async with asyncio.timeout(5):
            line = (await answer.content.readline()).decode()
        if line.startswith("id: "):
            data = (await answer.content.readline()).decode()
            event = json.loads(data.removeprefix("data: "))
            assert event["seq"] == int(line[4:])
            assert event["kind"] == "copy-done"
            found.append(event["seq"])
    return found


async def test_what_happens_is_told_as_it_happens() -> None:
    journal = Events(3)
    async with served(journal) as client, client.get("/v1/events") as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert await answer.content.readline() == b"retry: 2000\n"
        journal.add(2)
        assert await told(answer, 2) == [4, 5]


@pytest.mark.parametrize("by", ["header", "query"])
async def test_whoever_comes_back_gets_what_it_missed_once_and_in_order(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "ROWS", 4)
    journal = Events(10)
    more: dict[str, Any] = {"headers": {"Last-Event-ID": "3"}} if by == "header" else {"params": {"after": "3"}}
    async with served(journal) as client, client.get("/v1/events", **more) as answer:
        assert await told(answer, 7) == [4, 5, 6, 7, 8, 9, 10]
        journal.add(6)
        assert await told(answer, 6) == [11, 12, 13, 14, 15, 16]


@pytest.mark.parametrize("position", ["x", "-1", str(2**63)])
async def test_a_position_that_is_none_is_a_bad_request(position: str) -> None:
    async with served(Events()) as client, client.get("/v1/events", headers={"Last-Event-ID": position}) as answer:
        assert answer.status == 400


async def test_a_new_picture_is_told_without_a_position() -> None:
    shows = showcase()
    async with served(Events(), shows) as client, client.get("/v1/events") as answer:
        await answer.content.readuntil(b"\n\n")
        shows.picture = picture_of(situation(image()))
        async with asyncio.timeout(5):
            assert await answer.content.readuntil(b"\n\n") == f"event: picture\ndata: {NOW.isoformat()}\n\n".encode()


async def test_many_listeners_cost_no_more_looks_than_one_and_none_cost_none() -> None:
    journal = Events()
    unused: Any = journal
    stream = Broadcast(unused, showcase())
    looking = asyncio.create_task(stream.run())
    await asyncio.sleep(0.05)
    assert journal.looks == 0
    async with stream.listening() as one, stream.listening() as other:
        journal.add()
        assert await one.queue.get() == await other.queue.get() == journal.kept[0]
        journal.trouble = True
        await asyncio.sleep(0.03)
        journal.trouble = False
        journal.add()
        assert await one.queue.get() == journal.kept[1]
    looks = journal.looks
    await asyncio.sleep(0.05)
    assert journal.looks <= looks + 1
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


def test_who_does_not_keep_up_is_dropped_and_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "QUEUE", 3)
    listener = Listener()
    for event in Events(4).kept:
        listener.tell(event)
    assert listener.queue.get_nowait() is None
    assert listener.queue.empty()


async def test_a_client_that_reads_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PATIENCE", 0.1)
    monkeypatch.setattr(broadcast, "LISTENERS", 1)
    journal = Events()
    async with served(journal) as client, client.get("/v1/events"):
        journal.add(200)
        journal.kept = [replace(event, message="x" * 100_000) for event in journal.kept]
        async with asyncio.timeout(10):
            while True:
                # Only one may listen: the next is let in when it is gone.
                async with client.get("/v1/events") as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.05)


async def test_there_is_a_limit_to_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "LISTENERS", 1)
    async with served(Events()) as client, client.get("/v1/events"), client.get("/v1/events") as answer:
        assert answer.status == 503
        assert "1 listen already" in (await answer.json(content_type=None))["detail"]
    unused: Any = Events()
    stream = Broadcast(unused, showcase())
    async with stream.listening():
        with pytest.raises(TransientError):
            async with stream.listening():
                pass
    async with stream.listening():
        pass


async def test_a_silent_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.02)
    async with served(Events()) as client, client.get("/v1/events") as answer:
        await answer.content.readuntil(b"\n\n")
        assert await answer.content.readuntil(b"\n\n") == b":\n\n"


async def test_a_stream_ends_after_some_time_and_says_where_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LASTING", 0.05)
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.02)
    async with served(Events(7)) as client, client.get("/v1/events") as answer:
        async with asyncio.timeout(10):
            assert (await answer.content.read()).endswith(b"\n\nid: 7\n\n")


async def test_streams_end_when_the_daemon_stops() -> None:
    journal = Events()
    async with served(journal) as client:
        answer = await client.get("/v1/events")
        await answer.content.readuntil(b"\n\n")
        closing = asyncio.create_task(client.server.close())
        async with asyncio.timeout(5):
            while await answer.content.readany():
                pass
            await closing
