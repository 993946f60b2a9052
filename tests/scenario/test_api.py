"""The HTTP API as programs meet it: shapes, filters, refusals with remedies, probes, metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from edgesync.daemon import desk
from tests.fakes.credentials import shown
from tests.fakes.glance.faults import Fault, Hang, status
from tests.scenario.stage import Stage

Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def served(stage: Stage, *, seen: bool = True) -> AsyncIterator[Client]:
    """The API of a living daemon, once it has had its first look."""
    async with stage.life() as daemon, TestClient(TestServer(daemon.api.application()), headers=shown()) as client:
        if seen:
            await stage.until(lambda: daemon.showcase.health.ticked_at is not None, "first tick")
        yield client


async def get(client: Client, path: str, expected: int = 200, **params: str) -> Any:
    async with client.get(path, params=params) as answer:
        body = await answer.json(content_type=None)
        assert answer.status == expected, body
        return body


async def test_images_that_concern_edgesync_come_by_name_and_in_pages(stage: Stage) -> None:
    ids = [stage.add_golden(name, stores=("central", "dcn0", "dcn1")) for name in ("c", "a", "b")]
    stage.fake.add_image(name="other")
    async with served(stage) as client:
        first = await get(client, "/v1/images", limit="2")
        assert [row["name"] for row in first["images"]] == ["a", "b"]
        assert first["stores"] == ["central", "dcn0", "dcn1"]
        rest = await get(client, "/v1/images", limit="2", marker=first["next_marker"])
        assert [row["id"] for row in rest["images"]] == [ids[0]]
        assert rest["next_marker"] is None
        everything = await get(client, "/v1/images", all="true")
        assert [row["name"] for row in everything["images"]] == ["a", "b", "c", "other"]
        (one,) = (await get(client, "/v1/images", image="b"))["images"]
        assert one["copies"]["dcn1"]["state"] == "present"
        assert one["policies"] == ["golden"]


@pytest.mark.parametrize(
    ("path", "params", "expected", "detail"),
    [
        ("/v1/images", {"limit": "0"}, 400, "limit"),
        ("/v1/images", {"wrong": "1"}, 400, "wrong"),
        ("/v1/images", {"image": "nothing"}, 404, "no image 'nothing'"),
        ("/v1/images", {"marker": "nothing"}, 422, "marker"),
        ("/v1/history", {"since": "2026-01-01T00:00:00"}, 422, "time zone"),
        ("/v1/history", {"since": "yesterday"}, 400, "since"),
        ("/v1/history", {"before": str(2**63)}, 400, "before"),
        ("/v1/jobs", {"state": "odd"}, 400, "state"),
        ("/v1/jobs/nothing", {}, 404, "nothing"),
        ("/v1/jobs/%00", {}, 404, "no job"),
        ("/v1/history", {"image": "a\0b"}, 400, "image"),
        ("/v1/nothing", {}, 404, ""),
    ],
)
async def test_wrong_questions_get_a_problem(
    stage: Stage, path: str, params: dict[str, str], expected: int, detail: str
) -> None:
    async with served(stage) as client:
        problem = await get(client, path, expected, **params)
        assert problem["status"] == expected
        assert detail in problem["detail"]


async def test_a_job_is_accepted_shown_and_listed(stage: Stage) -> None:
    image = stage.fake.add_image(name="wanted", tags=[])
    async with served(stage) as client:
        body = {"image": "wanted", "stores": ["dcn1"], "requested_by": "alice"}
        async with client.post("/v1/jobs", json=body) as answer:
            assert answer.status == 202
            job = await answer.json()
        assert (job["image"], job["state"], job["requested_by"]) == (image, "queued", "alice")
        await stage.until_at(image, "dcn1")
        shown = await get(client, f"/v1/jobs/{job['id']}")
        assert (shown["state"], shown["stores"][0]["result"]) == ("done", "copied")
        assert len((await get(client, "/v1/jobs", image=image, state="done"))["jobs"]) == 1
        kinds = [event["kind"] for event in (await get(client, "/v1/history", image=image))["events"]]
        assert set(kinds) == {"job-ended", "copy-done", "copy-started", "job-created"}
        assert kinds[-1] == "job-created"


async def next_event(answer: ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            line = (await answer.content.readline()).decode()
            if line.startswith("data: {"):
                found: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return found


async def test_what_happens_is_told_as_it_happens_and_gone_on_with(stage: Stage) -> None:
    image = stage.fake.add_image(name="wanted", tags=[])
    async with served(stage) as client:
        async with client.get("/v1/events") as answer:
            async with client.post("/v1/jobs", json={"image": image, "stores": ["dcn1"]}) as taken:
                assert taken.status == 202
            told = [await next_event(answer)]
            while told[-1]["kind"] != "job-ended":
                told.append(await next_event(answer))
        assert {event["image"] for event in told} == {image}
        assert told == sorted(told, key=lambda event: event["seq"])
        history = (await get(client, "/v1/history", image=image))["events"]
        assert told == history[::-1]
        async with client.get("/v1/events", headers={"Last-Event-ID": str(told[0]["seq"])}) as again:
            assert [await next_event(again) for _ in told[1:]] == told[1:]


@pytest.mark.parametrize(
    ("body", "expected", "detail"),
    [
        ({}, 400, "image"),
        ({"image": "x"}, 400, "stores"),
        ({"image": "x", "stores": ["dcn0"], "all_stores": True}, 400, "either"),
        ({"image": "x", "stores": "dcn0"}, 400, "stores"),
        ({"image": "x", "all_stores": True, "surprise": 1}, 400, "surprise"),
        ({"image": "x", "all_stores": True}, 404, "no image 'x'"),
        ([], 400, ""),
    ],
)
async def test_wrong_requests_get_a_problem_and_change_nothing(
    stage: Stage, body: object, expected: int, detail: str
) -> None:
    async with served(stage) as client:
        async with client.post("/v1/jobs", json=body) as answer:
            problem = await answer.json(content_type=None)
        assert answer.status == expected
        assert answer.content_type == "application/problem+json"
        assert detail in problem["detail"]
        assert (await get(client, "/v1/jobs"))["jobs"] == []


async def test_a_foreign_page_can_not_order_copies(stage: Stage) -> None:
    body = '{"image": "x", "all_stores": true}'
    async with served(stage) as client:
        async with client.post("/v1/jobs", data=body, headers={"Content-Type": "text/plain"}) as answer:
            assert answer.status == 415
        headers = {"Content-Type": "application/json", "Origin": "http://evil.example"}
        async with client.post("/v1/jobs", data=body, headers=headers) as answer:
            assert answer.status == 403
        async with client.get("/v1/jobs", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        for broken in (b"{", b"\xff"):
            async with client.post("/v1/jobs", data=broken, headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 400
        big = {"image": "x" * 100_000, "all_stores": True}
        async with client.post("/v1/jobs", json=big) as answer:
            assert answer.status == 413


async def test_probes_tell_ready_from_alive(stage: Stage) -> None:
    stage.fake.faults.add(Fault(operation="images", kind=status(503), times=100))
    async with served(stage, seen=False) as client:
        await stage.until(lambda: bool(stage.running.showcase.health.trouble), "trouble")
        async with client.get("/livez") as answer:
            assert answer.status == 200
        problem = await get(client, "/readyz", 503)
        assert problem["remedy"]
        assert (await get(client, "/v1/images", 503))["detail"]
        stage.fake.faults.clear()
        await stage.until(lambda: stage.running.showcase.health.ticked_at is not None, "good tick")
        async with client.get("/readyz?verbose") as answer:
            assert answer.status == 200
            assert "glance ok" in await answer.text()


async def test_metrics_agree_with_the_matrix(stage: Stage) -> None:
    image = stage.add_golden()
    stage.fake.failing("dcn1")
    async with served(stage) as client:
        await stage.until_at(image, "dcn0")
        async with client.get("/metrics") as answer:
            text = await answer.text()
        lines = set(text.splitlines())
        assert 'edgesync_copies{state="present",store="dcn0"} 1.0' in lines
        assert 'edgesync_copies{state="failed",store="dcn1"} 1.0' in lines
        assert 'edgesync_copy_results_total{engine="copy-image",result="copied",store="dcn0"} 1.0' in lines
        assert 'edgesync_copy_results_total{engine="copy-image",result="failed",store="dcn1"}' in text
        assert 'edgesync_glance_request_duration_seconds_count{operation="copy_image",status="202"}' in text
        assert image not in text, "an image id is never a label"
        (row,) = (await get(client, "/v1/stores"))["stores"][1:2]
        assert (row["id"], row["copies"]) == ("dcn0", {"present": 1})


async def test_a_request_is_refused_in_time_when_glance_hangs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    image = stage.fake.add_image(tags=[])
    monkeypatch.setattr(desk, "PATIENCE", 0.2)
    async with served(stage) as client:
        stage.fake.faults.add(Fault(operation="image", kind=Hang(), times=100))
        async with client.post("/v1/jobs", json={"image": image, "all_stores": True}) as answer:
            problem = await answer.json(content_type=None)
        assert answer.status == 503
        assert "was not taken" in problem["detail"]
        stage.fake.faults.clear()
        assert (await get(client, "/v1/jobs"))["jobs"] == []


async def test_one_image_tells_whether_its_digests_are_known(lines: Stage) -> None:
    """As on its page. Before its first copy nobody has taken them."""
    image = lines.add_raw(tags=())
    async with served(lines) as client:
        assert (await get(client, f"/v1/images/{image}"))["digests_known"] is False
        async with client.get(f"/images/{image}") as page:
            assert "not taken yet" in await page.text()
        await lines.ended(await lines.ask(image, "dcn0"))
        assert (await get(client, f"/v1/images/{image}"))["digests_known"] is True
        async with client.get(f"/images/{image}") as page:
            assert "compared without moving data" in await page.text()
