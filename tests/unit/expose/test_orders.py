"""Orders over HTTP: their forms, their answers, and files of any size passed on as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edgesync.clients.daemon_api import DaemonApi
from edgesync.clients.daemon_way import Way
from edgesync.domain.image import ImageId
from edgesync.errors import ConflictError, NotFoundError, RequestError, TransientError
from edgesync.expose import ordering
from edgesync.expose.api import MAX_BODY, Api
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Picture
from tests.builders import image, policy, situation
from tests.fakes.credentials import LOCAL_TOKEN, known_access, shown
from tests.unit.daemon.paper import Counter, counter
from tests.unit.expose.pictures import pause, picture_of

Client = TestClient[web.Request, web.Application]
GOLDEN = policy()
LOCALLY = Way(token=LOCAL_TOKEN)


def application(at: Counter, *, reading_is_open: bool = True) -> web.Application:
    journal: Any = at.journal
    metrics = Metrics(at.showcase)
    api = Api(
        showcase=at.showcase,
        journal=journal,
        counter=at.intake,
        metrics=metrics,
        access=known_access(reading_is_open=reading_is_open),
    )
    return api.application()


@asynccontextmanager
async def served(picture: Picture | None = None) -> AsyncIterator[tuple[Client, Counter]]:
    seen = picture or picture_of(situation(image(), image("b"), policies=[GOLDEN]))
    at = counter(seen, policies=lambda: (GOLDEN,))
    async with TestClient(TestServer(application(at)), headers=shown()) as client:
        yield client, at


async def ask(client: Client, method: str, path: str, expected: int, **more: Any) -> Any:
    async with client.request(method, path, **more) as answer:
        body = await answer.json(content_type=None)
        assert answer.status == expected, body
        return body


async def test_a_dry_run_is_answered_with_the_job_that_would_be() -> None:
    async with served() as (client, at):
        body = {"image": "img", "all_stores": True, "dry_run": True}
        job = await ask(client, "POST", "/v1/jobs", 200, json=body)
        assert [(row["store"], row["bytes_total"]) for row in job["stores"]] == [("dcn0", 1 << 30), ("dcn1", 1 << 30)]
        assert job["stores"][0]["waiting"] == ""
        assert at.journal.kept == {}


async def test_a_policy_is_answered_with_all_of_its_jobs() -> None:
    async with served() as (client, at):
        answer = await ask(client, "POST", "/v1/jobs", 202, json={"policy": "golden"})
        assert [job["image_name"] for job in answer["jobs"]] == ["b", "img"]
        assert (answer["refused"], answer["left"]) == ([], 0)
        assert len(at.journal.kept) == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("POST", "/v1/jobs", {"image": "x", "policy": "y"}, "either"),
        ("POST", "/v1/jobs", {"policy": "y", "all_stores": True}, "a policy says itself"),
        ("POST", "/v1/jobs", {"image": "x", "all_stores": True, "engine": "rsync"}, "engine"),
        ("POST", "/v1/imports", {"name": "x"}, "uri"),
        ("POST", "/v1/imports", {"name": "x", "uri": "http://a/b", "file": True}, "either"),
        ("POST", "/v1/imports", {"name": "x", "file": True, "stores": ["a"], "all_stores": True}, "either"),
        ("POST", "/v1/imports", {"name": "x", "file": True, "min_disk": -1}, "min_disk"),
        ("POST", "/v1/imports", {"name": "x", "file": True, "visibility": "odd"}, "visibility"),
        ("POST", "/v1/imports", {"name": "x", "file": True, "disk_format": "a b"}, "disk_format"),
        ("POST", "/v1/pauses", {}, "all"),
        ("POST", "/v1/pauses", {"store": "dcn0", "all": True}, "all"),
        ("DELETE", "/v1/pauses", None, "all"),
        ("DELETE", "/v1/pauses?surprise=1", None, "surprise"),
        ("DELETE", "/v1/images/img/copies/dcn0?pause=perhaps", None, "pause"),
    ],
)
async def test_wrong_forms_are_bad_requests(method: str, path: str, body: object, detail: str) -> None:
    async with served() as (client, at):
        problem = await ask(client, method, path, 400, **({"json": body} if body is not None else {}))
        assert detail in problem["detail"]
        assert (at.journal.kept, at.journal.pauses) == ({}, [])


async def test_pauses_are_made_listed_and_lifted() -> None:
    async with served() as (client, _):
        made = await ask(
            client, "POST", "/v1/pauses", 201, json={"image": "img", "reason": "odd", "requested_by": "al"}
        )
        assert (made["scope"], made["image_name"], made["by"]) == ("image id-img", "img", "al")
        assert (await ask(client, "GET", "/v1/pauses", 200))["pauses"] == [made]
        assert await ask(client, "DELETE", "/v1/pauses?image=img&requested_by=al", 200) == made
        problem = await ask(client, "DELETE", "/v1/pauses?image=img", 404)
        assert problem["remedy"] == "what is paused: nothing"


async def test_a_copy_is_deleted_by_the_name_of_its_image_whatever_is_in_it() -> None:
    odd = image("a/b ?", stores=("central", "dcn0"), tags=())
    async with served(picture_of(situation(odd))) as (client, at):
        job = await ask(client, "DELETE", "/v1/images/a%2Fb%20%3F/copies/dcn0?requested_by=al", 202)
        assert (job["work"], job["image"], job["requested_by"]) == ("remove", odd.id, "al")
        assert at.job.id == job["id"]


async def test_one_image_is_shown_by_id_or_unique_name() -> None:
    twins = [image("twin"), image("other")]
    async with served(picture_of(situation(*twins), pauses=[pause()])) as (client, _):
        assert (await ask(client, "GET", "/v1/images/id-twin", 200))["name"] == "twin"
        assert (await ask(client, "GET", "/v1/images/other", 200))["id"] == "id-other"
        assert (await ask(client, "GET", "/v1/images/nothing", 404))["remedy"]
        health = await ask(client, "GET", "/v1/health", 200)
        assert health["problems"][0]["remedy"] == "edgesync resume --all"
        assert health["config"] == {"loaded_at": None, "error": "", "remedy": ""}


async def test_an_answer_to_cancel_says_what_became_of_each_store() -> None:
    async with served() as (client, at):
        await ask(client, "POST", "/v1/jobs", 202, json={"image": "img", "all_stores": True})
        path = f"/v1/jobs/{at.job.id}/cancel"
        job = await ask(client, "POST", path, 200, json={})
        assert ({row["result"] for row in job["stores"]}, job["state"]) == ({"cancelled"}, "cancelled")
        assert (await ask(client, "POST", path, 409, json={}))["detail"].endswith("has ended already: cancelled")


async def test_a_page_elsewhere_can_order_none_of_it() -> None:
    evil = {"Origin": "http://evil.example"}
    async with served() as (client, _):
        for method, path in (
            ("DELETE", "/v1/images/img/copies/dcn0"),
            ("DELETE", "/v1/pauses?all=true"),
            ("PUT", "/v1/jobs/x/data"),
            ("POST", "/v1/pauses"),
        ):
            await ask(client, method, path, 403, headers=evil)
        await ask(client, "POST", "/v1/pauses", 415, data=b'{"all": true}', headers={"Content-Type": "text/plain"})


async def new_file_job(client: Client) -> str:
    body = {"name": "rhel", "file": True, "disk_format": "raw"}
    return str((await ask(client, "POST", "/v1/imports", 202, json=body))["id"])


async def test_a_file_much_larger_than_any_other_body_is_passed_on_in_pieces() -> None:
    piece, number = b"x" * MAX_BODY, 100

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(number):
            yield piece

    async with served() as (client, at):
        job = await new_file_job(client)
        async with DaemonApi(str(client.make_url("/")), LOCALLY) as daemon:
            answer = await daemon.send(f"/v1/jobs/{job}/data", pieces())
        assert answer["id"] == job
        (got,) = at.staging.got.values()
        assert len(got) == number * MAX_BODY
        assert at.staging.pieces > 10
        assert at.job.image == ImageId(answer["image"])


async def test_a_file_that_is_refused_is_told_why_though_it_is_still_being_sent() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * MAX_BODY

    async with served() as (client, _), DaemonApi(str(client.make_url("/")), LOCALLY) as daemon:
        with pytest.raises(NotFoundError, match="no job"):
            await daemon.send("/v1/jobs/nothing/data", endless())


async def test_an_upload_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "SILENCE", 0.2)

    async def silent() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with served() as (client, _):
        job = await new_file_job(client)
        async with DaemonApi(str(client.make_url("/")), LOCALLY) as daemon:
            with pytest.raises(TransientError, match=r"no data has come for 0\.2 seconds"):
                await daemon.send(f"/v1/jobs/{job}/data", silent())


async def test_refusals_keep_their_kind_on_the_way_to_the_command() -> None:
    async with served() as (client, _), DaemonApi(str(client.make_url("/")), LOCALLY) as daemon:
        with pytest.raises(NotFoundError):
            await daemon.delete("/v1/pauses", {"all": "true"})
        with pytest.raises(RequestError):
            await daemon.post("/v1/imports", {"name": "x", "uri": "ftp://a/b"})
        job = await daemon.post("/v1/jobs", {"image": "img", "all_stores": True})
        await daemon.post(f"/v1/jobs/{job['id']}/cancel", {})
        with pytest.raises(ConflictError):
            await daemon.post(f"/v1/jobs/{job['id']}/cancel", {})
