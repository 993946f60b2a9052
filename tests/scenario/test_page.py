"""The status page of a living daemon: it shows a copy being made, and takes orders."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from edgesync.domain.copy import CopyState
from edgesync.domain.job import EventKind
from edgesync.domain.store import StoreId
from tests.fakes.credentials import OPERATOR_TOKEN
from tests.scenario.stage import Stage

Client = TestClient[web.Request, web.Application]
# Real seconds.
SOON = 10.0


@asynccontextmanager
async def visited(stage: Stage) -> AsyncIterator[Client]:
    """A browser in front of a living daemon, once that has had its first look."""
    async with (
        stage.life() as daemon,
        TestClient(TestServer(daemon.api.application()), cookie_jar=CookieJar(unsafe=True)) as client,
    ):
        await stage.until(lambda: daemon.showcase.health.ticked_at is not None, "first tick")
        yield client


async def page(client: Client, path: str = "/") -> str:
    async with client.get(path) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_the_page_follows_a_copy_from_waiting_to_present(stage: Stage) -> None:
    image = stage.add_golden("rhel", mebibytes=512, stores=("central", "dcn1"))
    async with visited(stage) as client, client.get("/live") as events:
        async with asyncio.timeout(SOON):
            await events.content.readuntil(b"event: change\ndata: 1\n\n")
        await stage.until(lambda: stage.copy(image, "dcn0").state is CopyState.COPYING, "copying")
        moving = await page(client)
        assert '<td class="c copying" data-sign="→">copying' in moving
        assert 'aria-label="rhel to dcn0"' in moving
        async with asyncio.timeout(SOON):
            await events.content.readuntil(b"event: change\ndata: 1\n\n")
        await stage.until_at(image, "dcn0")
        await stage.until(lambda: stage.copy(image, "dcn0").state is CopyState.PRESENT, "shown as present")
        done = await page(client)
        assert "All is well: every wanted copy is there" in done
        assert 'class="c copying"' not in done
        history = await page(client, f"/images/{image}")
        assert "copy-done" in history
        assert "dcn0: copied" in history


async def test_a_dead_site_leads_the_page_until_it_is_back(sites: Stage) -> None:
    sites.add_golden("rhel", stores=("central", "dcn0", "dcn1"))
    async with visited(sites) as client:
        assert "All is well" in await page(client)
        sites.cut("dcn0")
        await sites.until(lambda: not sites.picture.admits(StoreId("dcn0")), "seen as down")
        sick = await page(client)
        assert "1 thing is wrong" in sick
        assert 'href="/stores/dcn0">dcn0 is down since' in sick
        sites.heal("dcn0")
        await sites.until(lambda: sites.picture.admits(StoreId("dcn0")), "seen as up")
        assert "All is well" in await page(client)


async def test_orders_by_forms_are_carried_out_and_in_the_history_with_who_gave_them(stage: Stage) -> None:
    image = stage.fake.add_image(name="rhel", tags=[])
    async with visited(stage) as client:
        await client.post("/sign-in", data={"token": OPERATOR_TOKEN})
        form = re.findall(r'name="form" value="([^"]+)"', await page(client))[0]
        back = f"/images/{image}"

        async def order(name: str, **fields: str) -> str:
            async with client.post(f"/orders/{name}", data={"form": form, "back": back, **fields}) as answer:
                assert (answer.status, answer.url.path) == (200, back)
                return await answer.text()

        assert "store dcn0 is paused" in await order("pause", store="dcn0", reason="new switches")
        assert "is taken: copy rhel at dcn0" in await order("copy", image=image, stores="dcn0")
        await stage.until(lambda: stage.copy(image, "dcn0").state is CopyState.WAITING, "waiting for the pause")
        assert "paused" in await page(client, back)
        (job,) = await stage.jobs()
        assert f"job {job.id} is cancelled" in await order("cancel", job=job.id)
        assert "store dcn0 goes on" in await order("resume", store="dcn0")
        assert "is taken" in await order("copy", image=image, stores="dcn0", urgent="on")
        await stage.until_at(image, "dcn0")
        assert "nowhere" in await order("copy", image=image, stores="nowhere")
        told = await stage.events(EventKind.PAUSED, EventKind.RESUMED, EventKind.JOB_CREATED, EventKind.JOB_CANCELLED)
        assert len(told) == 5
        assert all("olga" in event.message for event in told)
