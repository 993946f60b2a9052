"""Requests that nobody in their right mind sends: a problem each, and nothing else happens."""

from __future__ import annotations

import pytest

from edgesync.errors import NotFoundError
from tests.scenario.stage import Stage
from tests.scenario.test_api import get, served

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\xff\xfe{}", JSON),
        (b"[" * 20_000, JSON),
        (b"{}", {"Content-Type": "application/json; charset=nonsense"}),
        (b'{"image": "x", "all_stores": true, "requested_by": "a\\u0000b"}', JSON),
        (b'{"image": "\\ud800", "all_stores": true}', JSON),
    ],
    ids=["not-utf-8", "deep", "charset", "control-character", "surrogate"],
)
async def test_odd_bodies_are_bad_requests(stage: Stage, body: bytes, headers: dict[str, str]) -> None:
    async with served(stage) as client:
        async with client.post("/v1/jobs", data=body, headers=headers) as answer:
            assert answer.status == 400, await answer.text()
            assert answer.content_type == "application/problem+json"
        assert (await get(client, "/v1/jobs"))["jobs"] == []


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:00-12:00"])
async def test_a_time_that_utc_does_not_have_is_refused(stage: Stage, since: str) -> None:
    async with served(stage) as client:
        problem = await get(client, "/v1/history", 422, since=since)
        assert "out of range" in problem["detail"]


@pytest.mark.parametrize("after", ["/tasks", "?", "/../../stores", "#"])
async def test_what_is_no_id_never_becomes_part_of_a_path(stage: Stage, after: str) -> None:
    image = stage.add_golden()
    async with stage.life():
        with pytest.raises(NotFoundError, match="there is no image"):
            await stage.ask(image + after, "dcn0")


async def test_a_name_with_a_slash_is_found(stage: Stage) -> None:
    image = stage.fake.add_image(name="rhel/9?x=1", tags=[])
    async with stage.life():
        assert (await stage.ask("rhel/9?x=1", "dcn0")).image == image
