"""The status page in real Chromium, in front of the real daemon, while real copies are made and a real site dies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from deploy.lab import faults
from deploy.lab.faults import How
from tests.browser.conftest import CHROMIUM, SCREENSHOTS
from tests.lab.daemon import COPY, EDGES, MIB, DaemonProcess

# Milliseconds for what the daemon has to notice first.
NOTICED = COPY * 1000


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser window that has nothing to complain of in the end."""
    complaints: list[str] = []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 1280, "height": 900})
        window.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        window.on("pageerror", lambda error: complaints.append(str(error)))
        yield window
        browser.close()
    assert complaints == []


def opened(page: Page, daemon: DaemonProcess) -> None:
    """The front page, marked so that a reload would show."""
    page.goto(daemon.url)
    expect(page.locator("#connection")).to_have_text("live")
    page.evaluate("window.opened = true")


def test_the_page_follows_a_real_copy_without_being_reloaded(daemon: DaemonProcess, page: Page) -> None:
    image = daemon.put(256 * MIB, golden=False)
    daemon.start()
    daemon.copies(image)
    opened(page, daemon)
    expect(page.locator("#moving")).to_contain_text("Nothing is being copied.")
    daemon.mark(image, golden=True)
    row = page.locator(f'[id="row-{image}"]')
    expect(row.locator("td.copying").first).to_be_visible(timeout=NOTICED)
    bar = page.locator("#moving progress").first
    expect(bar).to_be_visible(timeout=NOTICED)
    expect(bar).not_to_have_attribute("value", "0", timeout=NOTICED)
    page.screenshot(path=SCREENSHOTS / "lab-copying.png", full_page=True)
    expect(row.locator("td.present")).to_have_count(3, timeout=NOTICED)
    expect(page.locator("#headline")).to_contain_text("All is well", timeout=NOTICED)
    assert page.evaluate("window.opened")
    page.goto(f"{daemon.url}/images/{image}")
    for site in EDGES:
        expect(page.locator("#attempts")).to_contain_text(f"{site}: copied")
        expect(page.locator(f"#copy-{site} code")).to_contain_text(f"/images/{image}/snap")


def test_a_dead_site_leads_the_page_until_it_is_healed(daemon: DaemonProcess, page: Page) -> None:
    daemon.start()
    opened(page, daemon)
    expect(page.locator("#headline")).to_contain_text("All is well")
    faults.break_site(daemon.lab, "dcn0", How.KILL_OSD)
    expect(page.locator("#trouble li").first).to_contain_text("dcn0 is down since", timeout=NOTICED)
    expect(page.locator("#headline")).to_contain_text("1 thing is wrong")
    page.screenshot(path=SCREENSHOTS / "lab-dead-site.png", full_page=True)
    faults.heal_site(daemon.lab, "dcn0")
    expect(page.locator("#headline")).to_contain_text("All is well", timeout=NOTICED)
    assert page.evaluate("window.opened")
