"""Questions over HTTP: which images a list shows, everything of one image, the plan, pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edgesync.domain.blocks import Verification
from edgesync.domain.job import Event, EventKind
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags
from edgesync.expose.reading import Reading
from tests.builders import NOW, attempt, image, job, policy, situation
from tests.unit.daemon.paper import counter
from tests.unit.expose.pictures import finding, picture_of, site
from tests.unit.expose.test_orders import ask, served

BROKEN = image("rhel-9", stores=("central", "dcn0"))
WHOLE = image("rhel-8", stores=("central", "dcn0", "dcn1"))
OTHER = image("debian", tags=())


def picture() -> Any:
    case = situation(BROKEN, WHOLE, OTHER, policies=[policy()])
    return picture_of(case, sites=[site("dcn0", finding(BROKEN, "dcn0", Defect.NO_IMAGE))])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["rhel-8", "rhel-9"]),
        ("all=true", ["debian", "rhel-8", "rhel-9"]),
        ("all=true&name=rhel-*", ["rhel-8", "rhel-9"]),
        ("name=RHEL-*", []),
        ("policy=golden", ["rhel-8", "rhel-9"]),
        ("policy=nothing", []),
        ("state=broken", ["rhel-9"]),
        ("state=broken&store=dcn1", []),
        ("state=waiting&store=dcn1", ["rhel-9"]),
        ("state=present&store=dcn1", ["rhel-8"]),
        ("store=dcn1", ["rhel-8"]),
        ("all=true&state=absent", ["debian"]),
        ("image=debian", ["debian"]),
    ],
)
async def test_a_list_shows_what_is_asked_for(query: str, expected: list[str]) -> None:
    async with served(picture()) as (client, _):
        found = await ask(client, "GET", f"/v1/images?{query}", 200)
        assert [row["name"] for row in found["images"]] == expected


async def test_filters_and_pages_go_together() -> None:
    images = [
        image(f"i{number:03}", stores=("central", "dcn0") if number % 2 else ("central",)) for number in range(120)
    ]
    async with served(picture_of(situation(*images, policies=[policy()]))) as (client, _):
        names: list[str] = []
        marker = ""
        while True:
            page = await ask(client, "GET", f"/v1/images?store=dcn0&limit=25{marker}", 200)
            names += [row["name"] for row in page["images"]]
            if page["next_marker"] is None:
                break
            assert len(page["images"]) == 25
            marker = f"&marker={page['next_marker']}"
        assert names == [f"i{number:03}" for number in range(1, 120, 2)]


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [("state=odd", 400, "state"), ("store=nowhere", 422, "no store 'nowhere'"), ("limit=1001", 400, "limit")],
)
async def test_a_filter_that_can_mean_nothing_is_refused(query: str, status: int, detail: str) -> None:
    async with served(picture()) as (client, _):
        problem = await ask(client, "GET", f"/v1/images?{query}", status)
        assert detail in problem["detail"]
        assert problem["remedy"]


async def test_one_image_is_shown_with_everything_that_is_known_of_it() -> None:
    running = attempt(BROKEN, "dcn1")
    wish = job(BROKEN, "dcn1")
    case = situation(BROKEN, OTHER, policies=[policy()], jobs=[wish], attempts=[running])
    async with served(picture_of(case)) as (client, at):
        at.journal.attempts_open = (running,)
        await at.journal.add_verification(
            BROKEN.id, StoreId("dcn0"), Verification(at=NOW, sound=True, damage="", rbd_id="x")
        )
        told = Event(at=NOW, kind=EventKind.COPY_STARTED, message="begun", image=BROKEN.id, seq=1)
        await at.journal.add_events([told, Event(at=NOW, kind=EventKind.PAUSED, message="other", seq=2)])
        found = await ask(client, "GET", f"/v1/images/{BROKEN.id}", 200)
    assert found["copies"]["dcn1"]["state"] == "copying"
    assert (found["hash_algo"], found["hash_value"]) == (BROKEN.hash_algo, BROKEN.hash_value)
    assert [(row["store"], row["sound"]) for row in found["verifications"]] == [("dcn0", True)]
    assert [(row["action"], row["stores"]) for row in found["plan"]] == [("running", ["dcn1"])]
    assert [row["id"] for row in found["jobs"]] == [wish.id]
    assert [(row["id"], row["engine"], row["results"]) for row in found["attempts"]] == [(running.id, "copy-image", {})]
    assert [row["message"] for row in found["history"]] == ["begun"]


async def test_the_plan_says_what_and_why_in_pages() -> None:
    async with served(picture_of(situation(image(), image("b"), policies=[policy()]))) as (client, _):
        whole = await ask(client, "GET", "/v1/plan", 200)
        assert [row["name"] for row in whole["rows"]]
        assert all(row["why"] for row in whole["rows"])
        assert (whole["at"], whole["next_marker"]) == (NOW.isoformat().replace("+00:00", "Z"), None)
        first = await ask(client, "GET", "/v1/plan?limit=1", 200)
        rest = await ask(client, "GET", f"/v1/plan?marker={first['next_marker']}", 200)
        assert first["rows"] + rest["rows"] == whole["rows"]


async def test_a_method_that_a_path_does_not_take_is_told_which_it_takes() -> None:
    async with served() as (client, _), client.patch("/v1/pauses") as answer:
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(",")) == {"DELETE", "GET", "HEAD", "POST"}
        assert (await answer.json(content_type=None))["remedy"]


async def test_a_store_tells_how_long_it_has_been_waiting_and_what_its_policy_allows() -> None:
    golden = policy(lag_objective=timedelta(hours=1))
    case = situation(image(), policies=[golden])
    at = counter(picture_of(case))
    journal: Any = at.journal
    lags = Lags()
    lags.update(picture_of(case))
    at.showcase.picture = later = picture_of(replace(case, world=replace(case.world, at=NOW + timedelta(hours=3))))
    lags.update(later)
    reading = Reading(showcase=at.showcase, journal=journal, lags=lags)
    app = web.Application()
    app.add_routes([endpoint.route for endpoint in reading.endpoints()])
    async with TestClient(TestServer(app)) as client:
        found = await ask(client, "GET", "/v1/stores", 200)
    assert [(row["id"], [lag["policy"] for lag in row["lags"]]) for row in found["stores"]] == [
        ("central", []),
        ("dcn0", ["golden"]),
        ("dcn1", ["golden"]),
    ]
    (lag,) = found["stores"][1]["lags"]
    assert (lag["seconds"], lag["objective"], lag["late"]) == (3 * 3600, 3600, True)
