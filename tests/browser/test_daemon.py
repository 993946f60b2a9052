"""The status page of a living daemon, on the fake Glance: Chromium looks on while time stands still."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from edgesync.domain.copy import CopyState
from edgesync.domain.store import StoreId
from tests.browser.conftest import Open
from tests.scenario.stage import set_stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_copy_and_a_dead_site_are_followed_without_a_reload(window: Open, tmp_path: Path) -> None:
    async with set_stage(tmp_path) as stage, stage.life() as daemon:
        server = TestServer(daemon.api.application())
        await server.start_server()
        visit = await window()
        page = visit.page
        await stage.until(lambda: daemon.showcase.health.ticked_at is not None, "first tick")
        with stage.clock.hold():
            await page.goto(str(server.make_url("/")))
            await expect(page.locator("#headline")).to_contain_text("All is well")
            await page.evaluate("window.opened = true")
        image = stage.add_golden("rhel", mebibytes=512, stores=("central", "dcn1"))
        await stage.until(lambda: image in stage.picture.world.images, "seen")
        await stage.until(lambda: stage.copy(image, "dcn0").state is CopyState.COPYING, "copying")
        row = page.locator(f'[id="row-{image}"]')
        with stage.clock.hold():
            await expect(row.locator("td.copying")).to_have_count(1)
            await expect(page.get_by_role("progressbar", name="rhel to dcn0")).to_be_visible()
            await expect(page.locator("#headline")).to_contain_text("Nothing is wrong; 1 copy is still to come")
        await stage.until_at(image, "dcn0")
        await stage.until(lambda: stage.copy(image, "dcn0").state is CopyState.PRESENT, "shown as present")
        with stage.clock.hold():
            await expect(row.locator("td.present")).to_have_count(3)
        stage.cut("dcn0")
        await stage.until(lambda: not stage.picture.admits(StoreId("dcn0")), "seen as down")
        with stage.clock.hold():
            await expect(page.locator("#trouble li").first).to_contain_text("dcn0 is down since")
        stage.heal("dcn0")
        await stage.until(lambda: stage.picture.admits(StoreId("dcn0")), "seen as up")
        with stage.clock.hold():
            await expect(page.locator("#headline")).to_contain_text("All is well")
            assert await page.evaluate("window.opened")
            await visit.context.close()
        await server.close()
        # The stream ends with the daemon.
        visit.complaints = [said for said in visit.complaints if "net::ERR_" not in said]
