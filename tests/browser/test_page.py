"""The status page in real Chromium: how it looks, how it keeps up, and how it does without scripts, mouse or eyes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestServer
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from edgesync.domain.copy import CopyState
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.expose.access import Access
from edgesync.expose.page import live
from tests.browser.conftest import SCREENSHOTS, Open, Serve, Visit
from tests.builders import image, policy, situation, topology
from tests.fakes.credentials import OPERATOR_TOKEN, Known
from tests.unit.expose.page.sights import HOSTILE, WHERE, application, showcase, sick, well
from tests.unit.expose.page.test_visits import Till
from tests.unit.expose.pictures import picture_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGES = {
    "front": "/?all=true",
    "image": "/images/id-windows-2022",
    "failed-image": "/images/id-centos-10",
    "site": "/stores/dcn0",
    "jobs": "/jobs",
    "sign-in": "/sign-in",
    "refusal": "/images/nothing",
}


async def sign_in(visit: Visit, at: str) -> None:
    await visit.page.goto(f"{at}/sign-in")
    await visit.page.get_by_label("Token").fill(OPERATOR_TOKEN)
    await visit.page.get_by_role("button", name="Sign in").click()
    await expect(visit.page.locator(".visitor")).to_contain_text("olga")


async def check_axe(visit: Visit) -> None:
    """No rule of WCAG 2 A and AA, or of good practice, is broken."""
    found = await Axe().run(visit.page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "path"), PAGES.items())
async def test_every_page_is_fit_for_everybody(serve: Serve, window: Open, name: str, path: str, scheme: str) -> None:
    at = await serve(showcase(sick()))
    visit = await window(color_scheme=scheme)
    await visit.page.goto(at + path)
    await check_axe(visit)
    await visit.keep(f"{name}-{scheme}")
    assert visit.hosts == {"127.0.0.1"}
    # Chromium tells of every answer that is no success.
    visit.complaints = [said for said in visit.complaints if name != "refusal" or "404" not in said]


@pytest.mark.parametrize("path", ["/images/id-centos-10", "/stores/dcn10", "/jobs"])
async def test_an_operators_pages_are_fit_for_everybody(serve: Serve, window: Open, path: str) -> None:
    at = await serve(showcase(sick()))
    visit = await window(color_scheme="light")
    await sign_in(visit, at)
    await visit.page.goto(at + path)
    await check_axe(visit)
    await visit.keep(f"operator{path.replace('/', '-')}")


async def test_the_readme_shows_the_page_as_it_is(serve: Serve, window: Open) -> None:
    """For docs/status-page.png: what this keeps, cut to the first screen."""
    at = await serve(showcase(sick(hostile=False)))
    visit = await window(viewport={"width": 1160, "height": 900})
    await visit.page.goto(f"{at}/?all=true")
    await expect(visit.page.locator("#connection")).to_have_text("live")
    await visit.page.screenshot(path=SCREENSHOTS / "readme.png")


async def test_on_a_phone_nothing_is_wider_than_the_screen(serve: Serve, window: Open) -> None:
    at = await serve(showcase(sick()))
    visit = await window(viewport={"width": 390, "height": 800})
    for name, path in PAGES.items():
        if name == "refusal":
            continue
        await visit.page.goto(at + path)
        wide = await visit.page.evaluate("document.documentElement.scrollWidth")
        await visit.keep(f"phone-{name}")
        assert wide <= 390, path


async def test_each_state_has_its_sign_and_a_look_of_its_own(serve: Serve, window: Open) -> None:
    at = await serve(showcase(sick()))
    visit = await window()
    await visit.page.goto(f"{at}/?all=true")
    looks = {}
    for state, (name, store) in WHERE.items():
        place = ["central", "dcn0", "dcn1", "dcn2", "dcn10"].index(store)
        cell = visit.page.locator(f'[id="row-id-{name}"] td.c').nth(place)
        await expect(cell).to_contain_text(state)
        look = await cell.evaluate(
            "cell => [getComputedStyle(cell, '::before').content, getComputedStyle(cell).color,"
            " getComputedStyle(cell).backgroundColor]"
        )
        assert state.sign in look[0]
        looks[state] = tuple(look[1:])
    assert len(set(looks.values())) >= 6
    assert looks[CopyState.PRESENT] != looks[CopyState.FAILED]


async def test_many_sites_are_signs_with_the_words_for_those_who_listen(serve: Serve, window: Open) -> None:
    edges = [f"dcn{number}" for number in range(99)]
    images = [image(f"rhel-{number:03}", stores=("central", *edges[: number % 99])) for number in range(60)]
    shown = showcase(picture_of(situation(*images, policies=[policy()], stores=topology(*edges))))
    visit = await window()
    await visit.page.goto(await serve(shown))
    cells = visit.page.locator("#matrix td.c")
    await expect(cells).to_have_count(50 * 100)
    box = await cells.nth(7).bounding_box()
    assert box is not None
    assert box["width"] < 30
    tree = await visit.page.locator('[id="row-id-rhel-003"]').aria_snapshot()
    assert 'cell "present"' in tree
    assert 'cell "waiting"' in tree
    await check_axe(visit)
    await visit.keep("many-sites")
    await visit.page.get_by_role("link", name="next →").click()
    await expect(cells).to_have_count(10 * 100)


async def test_the_page_follows_what_happens_and_leaves_the_person_alone(serve: Serve, window: Open) -> None:
    shown = showcase(sick())
    at = await serve(shown)
    visit = await window(viewport={"width": 900, "height": 500})
    page = visit.page
    await page.goto(at)
    await expect(page.locator("#connection")).to_have_text("live")
    await page.get_by_label("Image", exact=True).fill("half a na")
    await page.evaluate("window.scrollTo(0, 300); window.kept = document.getElementById('matrix')")
    await expect(page.locator("#headline")).to_contain_text("7 things are wrong")
    shown.picture = well()
    await expect(page.locator("#headline")).to_contain_text("All is well")
    await expect(page).to_have_title("edgesync")
    await expect(page.locator("#moving")).to_contain_text("Nothing is being copied.")
    await expect(page.get_by_label("Image", exact=True)).to_have_value("half a na")
    await expect(page.get_by_label("Image", exact=True)).to_be_focused()
    assert await page.evaluate("document.getElementById('matrix') === window.kept"), "it is not thrown away"
    shown.picture = sick()
    await expect(page.locator("#headline")).to_contain_text("7 things are wrong")


async def test_a_bar_moves_without_anything_else_changing(serve: Serve, window: Open) -> None:
    picture = sick()
    at = await serve(showcase(picture))
    visit = await window()
    await visit.page.goto(at)
    bar = visit.page.get_by_role("progressbar", name="debian-12 to dcn0")
    await expect(bar).to_have_attribute("value", "37")
    moving = picture.progress
    assert isinstance(moving, dict)
    key = (ImageId("id-debian-12"), StoreId("dcn0"))
    await visit.page.evaluate("window.bar = document.querySelector('progress')")
    for gibibytes, percent in ((4, 50), (6, 75), (8, 100)):
        moving[key] = replace(moving[key], bytes_done=gibibytes << 30)
        await expect(bar).to_have_attribute("value", str(percent))
    assert await visit.page.evaluate("window.bar.isConnected")


async def test_what_is_folded_out_stays_so(serve: Serve, window: Open) -> None:
    shown = showcase(sick())
    at = await serve(shown)
    visit = await window()
    await visit.page.goto(at)
    more = visit.page.locator("#more-trouble")
    await more.locator("summary").click()
    shown.health = replace(shown.health, trouble="Glance does not answer")
    await expect(visit.page.locator("#headline")).to_contain_text("8 things are wrong")
    await expect(more).to_have_attribute("open", "")


async def test_a_lost_connection_is_told_and_found_again(window: Open) -> None:
    server = TestServer(application(showcase(well())))
    await server.start_server()
    port = server.port
    visit = await window()
    await visit.page.goto(str(server.make_url("/")))
    state = visit.page.locator("#connection")
    await expect(state).to_have_text("live")
    await server.close()
    await expect(state).to_have_text("not connected: this is how it was")
    again = TestServer(application(showcase(sick())), port=port)
    await again.start_server()
    await expect(state).to_have_text("live", timeout=15_000)
    await expect(visit.page.locator("#headline")).to_contain_text("7 things are wrong")
    await visit.context.close()
    await again.close()
    # Chromium tells of what it could not reach.
    visit.complaints = [said for said in visit.complaints if "net::ERR_" not in said]


async def test_a_page_whose_credential_counts_no_more_leads_to_the_sign_in(
    serve: Serve, window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LASTING", 1.0)
    known = Known()
    at = await serve(showcase(well()), access=Access(files=[known], reading_is_open=False))
    visit = await window()
    await sign_in(visit, at)
    del known.callers[OPERATOR_TOKEN]
    await expect(visit.page.get_by_label("Token")).to_be_visible(timeout=30_000)
    # Chromium tells of every answer that is no success.
    visit.complaints = [said for said in visit.complaints if "401" not in said]


async def test_without_scripts_there_is_everything_but_the_movement(serve: Serve, window: Open) -> None:
    till = Till()
    at = await serve(showcase(sick()), counter=till)
    visit = await window(java_script_enabled=False)
    page = visit.page
    await page.goto(at)
    await expect(page.locator("#connection")).to_contain_text("reload to see what has changed")
    await page.get_by_label("State").select_option("wrong")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("#matrix tbody tr")).to_have_count(4)
    assert "state=wrong" in page.url
    await sign_in(visit, at)
    await page.goto(f"{at}/images/id-centos-10")
    await page.get_by_role("button", name="try again now").click()
    await expect(page.get_by_role("status").filter(has_text="is taken")).to_be_visible()
    assert till.taken[0].stores == ("dcn0",)


async def test_the_keyboard_reaches_everything(serve: Serve, window: Open) -> None:
    at = await serve(showcase(sick()))
    visit = await window()
    page = visit.page
    await page.goto(at)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    reached = set()
    for _ in range(70):
        await page.keyboard.press("Tab")
        reached.add(
            await page.evaluate("(e => e.id || e.name || e.getAttribute('href') || e.tagName)(document.activeElement)")
        )
    assert {"/stores/dcn1", "name", "state", "store", "policy", "all", "matrix-frame"} <= reached
    assert {"/images/id-rhel-9.4", "/?state=failed", "sites-frame"} <= reached


async def test_a_hostile_name_runs_nothing(serve: Serve, window: Open) -> None:
    at = await serve(showcase(sick()))
    visit = await window()
    for path in ("/?all=true", "/images/id-hostile", f"/?name={quote(HOSTILE)}"):
        await visit.page.goto(at + path)
        await expect(visit.page.locator("main")).to_contain_text("<script>alert(1)</script>")
        # Only ours.
        assert await visit.page.evaluate("document.scripts.length") == 1


async def test_an_operator_pauses_a_site_and_reads_what_became_of_it(serve: Serve, window: Open) -> None:
    till = Till()
    at = await serve(showcase(sick()), counter=till)
    visit = await window()
    page = visit.page
    await sign_in(visit, at)
    await page.goto(f"{at}/stores/dcn0")
    await page.get_by_label("for what reason").fill("new switches")
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.locator(".notice")).to_contain_text("store dcn0 is paused")
    (order,) = till.taken
    assert (order.store, order.reason, order.requested_by) == ("dcn0", "new switches", "olga")
    till.refuses = True
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("somebody else is at it")
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="sign out").click()
    await expect(page.get_by_role("link", name="sign in")).to_be_visible()


async def test_a_page_elsewhere_orders_nothing_with_ones_cookie(
    serve: Serve, window: Open, elsewhere: Callable[[str], Awaitable[str]]
) -> None:
    till = Till()
    at = await serve(showcase(sick()), counter=till)
    visit = await window()
    await sign_in(visit, at)
    html = (
        "<!doctype html><title>x</title><link rel=icon href=data:,>"
        f"<form method=post action={at}/orders/pause><input name=all value=true><button>win a prize</button></form>"
    )
    # Cookies know no ports: to the browser this is the same site, though another origin.
    await visit.page.goto(await elsewhere(html))
    await visit.page.get_by_role("button").click()
    await expect(visit.page.locator("main")).to_contain_text("changes are not taken from")
    assert till.taken == []
    assert any("403" in said for said in visit.complaints)
    visit.complaints.clear()
