"""Who may do what, and from where: credentials, roles, foreign pages, limits, headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edgesync.domain.access import Caller, Role
from edgesync.domain.job import EventKind
from edgesync.errors import UnreachableError
from edgesync.expose import access, limits
from edgesync.expose.access import Access
from edgesync.expose.api import Api
from edgesync.expose.limits import Buckets
from edgesync.expose.metrics import Metrics
from tests.builders import image, policy, situation
from tests.fakes.credentials import LOCAL_TOKEN, OPERATOR_TOKEN, VIEWER_TOKEN, Known, known_access, shown
from tests.unit.daemon.paper import Counter, counter
from tests.unit.expose.pictures import picture_of

Client = TestClient[web.Request, web.Application]
# One of each: they get as far as the credential, and no further.
CHANGES = [
    ("POST", "/v1/jobs"),
    ("POST", "/v1/jobs/x/cancel"),
    ("POST", "/v1/verifications"),
    ("POST", "/v1/imports"),
    ("PUT", "/v1/jobs/x/data"),
    ("DELETE", "/v1/images/img/copies/dcn0"),
    ("POST", "/v1/images/img/copies/dcn0/clones"),
    ("POST", "/v1/images/img/copies/dcn0/flatten"),
    ("POST", "/v1/pauses"),
    ("DELETE", "/v1/pauses?all=true"),
]
READING = ["/v1/images", "/v1/stores", "/v1/jobs/x", "/v1/pauses", "/v1/health", "/metrics"]


@asynccontextmanager
async def served(let_in: Access | None = None, *, max_rate: float = 1000) -> AsyncIterator[tuple[Client, Counter]]:
    at = counter(picture_of(situation(image(), policies=[policy()])))
    journal: Any = at.journal
    api = Api(
        showcase=at.showcase,
        journal=journal,
        counter=at.intake,
        metrics=Metrics(at.showcase),
        access=let_in or known_access(),
        max_rate=max_rate,
    )
    async with TestClient(TestServer(api.application())) as client:
        yield client, at


async def status(client: Client, method: str, path: str, token: str | None = None, **more: Any) -> int:
    headers = {**(shown(token) if token is not None else {}), **more.pop("headers", {})}
    more = more or ({"json": {}} if method == "POST" else {})
    async with client.request(method, path, headers=headers, **more) as answer:
        if answer.status >= 400 and method != "HEAD":
            assert answer.content_type == "application/problem+json"
            problem = await answer.json(content_type=None)
            assert (problem["status"], bool(problem["detail"]), bool(problem["remedy"])) == (answer.status, True, True)
        return answer.status


async def test_nothing_is_changed_without_an_operators_credential() -> None:
    async with served() as (client, at):
        for method, path in CHANGES:
            assert await status(client, method, path) == 401
            assert await status(client, method, path, "wrong") == 401
            assert await status(client, method, path, VIEWER_TOKEN) == 403
        assert (at.journal.kept, at.journal.pauses, at.journal.events) == ({}, [], [])


async def test_an_operators_credential_gets_through_to_each_of_them() -> None:
    async with served() as (client, _):
        for method, path in CHANGES:
            assert await status(client, method, path, OPERATOR_TOKEN) not in {401, 403}, path


async def test_a_refusal_says_how_to_show_a_credential() -> None:
    async with served() as (client, _), client.post("/v1/pauses", json={"all": True}) as answer:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "Authorization: Bearer" in (await answer.json(content_type=None))["remedy"]


@pytest.mark.parametrize("path", READING)
async def test_reading_needs_a_credential_only_where_it_is_closed(path: str) -> None:
    async with served() as (client, _):
        assert await status(client, "GET", path) != 401
        # One that is none is told so, all the same.
        assert await status(client, "GET", path, "wrong") == 401
    async with served(known_access(reading_is_open=False)) as (client, _):
        assert await status(client, "GET", path) == 401
        assert await status(client, "HEAD", path) == 401
        assert await status(client, "GET", path, VIEWER_TOKEN) != 401


async def test_probes_need_none() -> None:
    async with served(known_access(reading_is_open=False)) as (client, _):
        for path in ("/livez", "/readyz", "/healthz"):
            assert await status(client, "GET", path) in {200, 503}


async def test_what_the_trouble_is_only_those_are_told_who_may_look() -> None:
    for reading_is_open, token, words in (
        (True, None, "glance-1.example is away"),
        (False, None, "not ready"),
        (False, VIEWER_TOKEN, "glance-1.example is away"),
    ):
        async with served(known_access(reading_is_open=reading_is_open)) as (client, at):
            at.showcase.health = replace(at.showcase.health, trouble="glance-1.example is away")
            async with client.get("/readyz", headers=shown(token) if token else {}) as answer:
                assert (answer.status, (await answer.json(content_type=None))["detail"]) == (503, words)


@pytest.mark.parametrize("header", ["Authorization", "X-Auth-Token"])
async def test_a_token_may_come_as_openstack_sends_it(header: str) -> None:
    value = f"bearer {OPERATOR_TOKEN}" if header == "Authorization" else OPERATOR_TOKEN
    async with served() as (client, _):
        assert await status(client, "POST", "/v1/pauses", json={"all": True}, headers={header: value}) == 201


@pytest.mark.parametrize("value", ["Bearer ", "Basic " + OPERATOR_TOKEN, "Bearer a b", "Bearer " + "x" * 8000])
async def test_odd_headers_are_no_credential(value: str) -> None:
    async with served() as (client, _):
        found = await status(client, "POST", "/v1/pauses", json={"all": True}, headers={"Authorization": value})
        assert found == 401


@pytest.mark.parametrize(
    ("token", "said", "expected"),
    [
        (OPERATOR_TOKEN, None, "olga"),
        (OPERATOR_TOKEN, "alice", "olga (alice)"),
        (LOCAL_TOKEN, "alice", "alice"),
        (LOCAL_TOKEN, None, "local"),
    ],
)
async def test_history_tells_whose_credential_it_was(token: str, said: str | None, expected: str) -> None:
    more = {"requested_by": said} if said else {}
    async with served() as (client, at):
        await status(client, "POST", "/v1/jobs", token, json={"image": "img", "all_stores": True, **more})
        await status(client, "POST", f"/v1/jobs/{at.job.id}/cancel", token, json=more)
        await status(client, "POST", "/v1/pauses", token, json={"store": "dcn0", **more})
        await status(client, "DELETE", "/v1/pauses", token, params={"store": "dcn0", **more})
        told = {event.kind: event.message for event in at.journal.events}
        assert at.job.requested_by == expected
        assert told[EventKind.JOB_CANCELLED] == f"cancelled by {expected}"
        assert told[EventKind.PAUSED].startswith(f"{expected} paused")
        assert told[EventKind.RESUMED].startswith(f"{expected} resumed")


async def test_history_tells_who_sent_the_data_of_an_import() -> None:
    async with served() as (client, at):
        body = {"name": "rhel", "file": True, "disk_format": "raw"}
        assert await status(client, "POST", "/v1/imports", LOCAL_TOKEN, json=body) == 202
        assert await status(client, "PUT", f"/v1/jobs/{at.job.id}/data", OPERATOR_TOKEN, data=b"x") == 200
        (sent,) = [event.message for event in at.journal.events if event.kind is EventKind.UPLOAD_STARTED]
        assert sent == "olga sends the data of rhel"


class Keystone(Known):
    """Knows kim's token, and may be away."""

    away = False
    remembers = False

    def remembered(self, token: str) -> Caller | None:
        return self.callers.get(token) if self.remembers else None

    async def caller(self, token: str) -> Caller | None:
        found = await super().caller(token)
        if self.away:
            raise UnreachableError("Keystone does not answer", remedy="look at it", sent=False)
        return found


async def test_keystone_is_asked_of_what_is_in_no_file() -> None:
    keystone = Keystone({"kim": Caller(name="kim@Default", role=Role.OPERATOR)})
    async with served(Access(files=[Known()], keystone=keystone)) as (client, at):
        assert await status(client, "POST", "/v1/pauses", LOCAL_TOKEN, json={"all": True}) == 201
        assert keystone.asked == []
        assert await status(client, "POST", "/v1/pauses", "kim", json={"all": True}) == 201
        assert at.journal.pauses[0].by == "kim@Default"
        keystone.away = True
        assert await status(client, "POST", "/v1/pauses", "kim", json={"all": True}) == 503
        assert await status(client, "POST", "/v1/pauses", LOCAL_TOKEN, json={"all": True}) == 201


async def test_whoever_guesses_is_slowed_down_and_nobody_with_a_token_of_a_file_is() -> None:
    keystone = Keystone({})
    async with served(Access(files=[Known()], keystone=keystone)) as (client, _):
        found = [await status(client, "GET", "/v1/stores", f"guess{number}") for number in range(40)]
        assert found[:20] == [401] * 20
        assert 429 in found[20:]
        assert len(keystone.asked) < 30
        assert await status(client, "POST", "/v1/pauses", LOCAL_TOKEN, json={"all": True}) == 201


async def test_whoever_guesses_locks_out_no_user_of_keystone_who_is_known_already() -> None:
    keystone = Keystone({"kim": Caller(name="kim@Default", role=Role.OPERATOR)})
    async with served(Access(files=[Known()], keystone=keystone)) as (client, _):
        while await status(client, "GET", "/v1/stores", "guess") != 429:
            pass
        keystone.remembers = True
        for _ in range(3):
            assert await status(client, "GET", "/v1/stores", "kim") == 200


async def test_questions_to_a_keystone_that_is_away_are_bounded_too() -> None:
    keystone = Keystone({})
    keystone.away = True
    async with served(Access(files=[Known()], keystone=keystone)) as (client, _):
        found = [await status(client, "GET", "/v1/stores", f"guess{number}") for number in range(40)]
        assert found[:20] == [503] * 20
        assert 429 in found[20:]


async def test_other_hosts_must_show_a_certificate_where_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(Access(files=[Known()], certified=True)) as (client, _):
        assert await status(client, "GET", "/v1/stores") == 200
        monkeypatch.setattr(access, "is_loopback", lambda _: False)
        assert await status(client, "GET", "/v1/stores", OPERATOR_TOKEN) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
    ],
)
async def test_a_browser_orders_nothing_for_another_page_even_with_a_credential(headers: dict[str, str]) -> None:
    async with served() as (client, at):
        more = {"data": b'{"all": true}', "headers": {"Content-Type": "application/json", **headers}}
        assert await status(client, "POST", "/v1/pauses", OPERATOR_TOKEN, **more) in {403, 415}
        assert at.journal.pauses == []


async def test_an_origin_of_another_scheme_is_another_page() -> None:
    async with served() as (client, _):
        for scheme, expected in (("https", 403), ("http", 201)):
            origin = {"Origin": f"{scheme}://127.0.0.1:{client.port}", "Sec-Fetch-Site": "same-origin"}
            body = {"json": {"all": True}, "headers": origin}
            assert await status(client, "POST", "/v1/pauses", OPERATOR_TOKEN, **body) == expected


@pytest.mark.parametrize("path", ["/v1/stores", "/v1/nothing", "/livez", "/metrics"])
async def test_every_answer_has_headers_that_keep_browsers_in_check(path: str) -> None:
    async with served() as (client, _), client.get(path) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "edgesync"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Set-Cookie" not in answer.headers


async def test_too_many_requests_are_refused_and_told_when_to_come_again() -> None:
    async with served(max_rate=5) as (client, _):
        found = [await status(client, "GET", "/v1/stores") for _ in range(20)]
        assert found[:10] == [200] * 10
        assert 429 in found
        while True:
            async with client.get("/v1/stores") as answer:
                if answer.status == 429:
                    assert int(answer.headers["Retry-After"]) == 1
                    return


async def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ARRIVAL", 0.1)

    async def dribble() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with served() as (client, _):
        json = {"data": dribble(), "headers": {"Content-Type": "application/json"}}
        assert await status(client, "POST", "/v1/pauses", OPERATOR_TOKEN, **json) == 408


def test_buckets_fill_again_each_by_itself_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESSES", 2)
    now = [0.0]
    buckets = Buckets(rate=2, burst=2, monotonic=lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0.5]
    assert buckets.take("b") == 0
    now[0] = 0.5
    assert buckets.holds("a")
    assert [buckets.take("a") for _ in range(2)] == [0, 0.5]
    for address in "cde":
        buckets.take(address)
    assert len(buckets._left) == 2
