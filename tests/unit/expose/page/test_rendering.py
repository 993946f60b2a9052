"""What the page says of a cloud, state by state; nothing in it is taken for markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser

import pytest

from edgesync.domain.copy import CopyState, Failure
from edgesync.domain.image import ImageId
from edgesync.domain.job import EventKind
from edgesync.domain.pause import Pause
from edgesync.domain.site import BreakerState
from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags
from edgesync.expose.page.filters import Filters
from edgesync.expose.page.overview import overview
from edgesync.expose.page.rendering import assets, share, span, stamp
from edgesync.expose.page.trouble import FIRST, FOLDED
from edgesync.expose.picture import ConfigHealth, Picture
from tests.builders import NOW, failure, image, pause, policy, situation, topology
from tests.unit.expose.page.sights import (
    HOSTILE,
    WHERE,
    application,
    client_of,
    event,
    notes,
    showcase,
    sick,
    text,
    well,
)
from tests.unit.expose.pictures import picture_of, site

MARKUP = re.compile(r"<[^>]+>")


def plain(html: str) -> str:
    """What a reader gets to hear, in one line."""
    return " ".join(unescape(MARKUP.sub(" ", html)).split())


def rows(html: str, table: str) -> dict[str, list[str]]:
    """The cells of a table's body, by the first."""
    body = html.split(f'id="{table}"', 1)[1].split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    found = [[plain(cell) for cell in re.split(r"</t[dh]>", row)[:-1]] for row in body.split("</tr>")[:-1]]
    return {row[0]: row[1:] for row in found}


class Nesting(HTMLParser):
    """Complains of tags that are not closed, or closed twice."""

    EMPTY = frozenset({"meta", "link", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.scripts += tag == "script"
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs), attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_markup(html: str) -> None:
    reader = Nesting()
    reader.feed(html)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids)), "ids come once"
    assert reader.scripts <= 1


@pytest.mark.parametrize(("state", "where"), WHERE.items())
async def test_each_state_is_in_the_matrix_as_sign_and_word(state: CopyState, where: tuple[str, str]) -> None:
    async with client_of(application(showcase(sick()))) as client:
        html = await text(client, "/", all="true")
    name, store = where
    cells = rows(html, "matrix")[name]
    place = ["central", "dcn0", "dcn1", "dcn2", "dcn10"].index(store)
    assert cells[1 + place].split()[0] == state
    assert re.search(rf'<td class="c {state}( sound)?"[^>]* data-sign="{re.escape(state.sign)}">', html)


@pytest.mark.parametrize("path", ["/", "/?all=true", "/images/id-windows-2022", "/images/id-centos-10", "/stores/dcn0"])
async def test_the_markup_is_sound(path: str) -> None:
    async with client_of(application(showcase(sick()))) as client:
        check_markup(await text(client, path))


async def test_what_is_wrong_comes_first_with_its_age_and_its_remedy() -> None:
    async with client_of(application(showcase(sick()))) as client:
        html = await text(client, "/")
    told = plain(html.split("<main", 1)[1])
    assert "✗ 7 things are wrong , the first since 2026-03-01 11:45:00Z" in told
    assert told.index("dcn1 is down") < told.index("1 copy is broken at dcn0") < told.index("store dcn10 is paused")
    assert "no monitor answers within 5 s for 15 min" in told
    assert "What to do: look at the site's network and Ceph (ceph -s)" in told
    assert "<title>(7) edgesync</title>" in html
    assert told.index("things are wrong") < told.index("Images") < told.index("Moving") < told.index("Sites")


async def test_a_failed_copy_is_among_what_is_wrong_and_leads_to_its_like() -> None:
    async with client_of(application(showcase(sick()))) as client:
        html = await text(client, "/")
        assert '<a href="/?state=failed&amp;store=dcn0">centos-10 failed at dcn0: it broke</a>' in html
        shown = rows(await text(client, "/", state="failed", store="dcn0"), "matrix")
    assert {name: cells[1:] for name, cells in shown.items()} == {"centos-10": ["failed"]}


def test_copies_that_failed_for_the_same_reason_are_one_line() -> None:
    many = [image(f"{number:03}") for number in range(30)]
    case = situation(*many, policies=[policy()], failures=[failure(one, "dcn0") for one in many])
    trouble = overview(showcase(picture_of(case)), Lags(), Filters()).trouble
    (line,) = trouble.lines
    assert (line.problem.what, line.problem.remedy) == ("30 copies failed at dcn0: it broke", "mend it")
    assert line.problem.since == NOW - timedelta(seconds=30)


def test_of_much_trouble_the_first_is_shown_the_next_folded_the_rest_counted() -> None:
    edges = [f"dcn{number}" for number in range(FIRST + FOLDED + 5)]
    one = image()
    failures = [replace(failure(one, store), error=f"error {store}") for store in edges]
    case = situation(one, policies=[policy()], failures=failures, stores=topology(*edges))
    trouble = overview(showcase(picture_of(case)), Lags(), Filters()).trouble
    assert (len(trouble.lines), len(trouble.folded), trouble.left) == (FIRST, FOLDED, 5)
    assert trouble.headline == f"{len(edges)} things are wrong"


async def test_a_healthy_cloud_says_so() -> None:
    async with client_of(application(showcase(well()))) as client:
        html = await text(client, "/")
    assert "All is well: every wanted copy is there" in plain(html)
    assert "<title>edgesync</title>" in html
    assert 'class="problems"' not in html
    assert "Nothing is being copied." in plain(html)


@pytest.mark.parametrize(
    ("pauses", "said"),
    [
        ([pause()], "All is well, and everything is paused: every wanted copy is there"),
        ([pause(store="dcn0")], "All is well, and 1 pause is in force: every wanted copy is there"),
        (
            [pause(store="dcn0"), pause(store="dcn1")],
            "All is well, and 2 pauses are in force: every wanted copy is there",
        ),
    ],
)
async def test_what_is_paused_is_not_simply_well(pauses: list[Pause], said: str) -> None:
    case = situation(image(stores=("central", "dcn0", "dcn1")), policies=[policy()])
    async with client_of(application(showcase(picture_of(case, pauses=pauses)))) as client:
        html = await text(client, "/")
    (headline,) = re.findall(r'<span id="headline".*?</h1>', html, re.DOTALL)
    assert said in plain(headline)
    assert "✓" not in headline
    assert "good" not in headline


async def test_how_long_glance_has_been_away_is_counted_on_though_nobody_sees_more() -> None:
    away = {"trouble": "Glance is away", "remedy": "look at it", "tried_at": NOW + timedelta(seconds=38)}
    dead = site("dcn1", state=BreakerState.OPEN, since=NOW - timedelta(seconds=2), cause="no mon answers")
    case = situation(image(stores=("central", "dcn0", "dcn1")), policies=[policy()])
    async with client_of(application(showcase(picture_of(case, sites=[dead]), **away))) as client:
        html = plain(await text(client, "/"))
        site_html = plain(await text(client, "/stores/dcn1"))
    assert "Glance is away for 38 s" in html
    assert "for 40 s" in site_html


def test_copies_to_come_are_nothing_wrong() -> None:
    picture = picture_of(situation(image(stores=("central", "dcn0")), policies=[policy()]))
    trouble = overview(showcase(picture), Lags(), Filters()).trouble
    assert (trouble.wrong, trouble.headline) == (0, "Nothing is wrong; 1 copy is still to come")


async def test_before_the_first_look_the_page_says_so_and_why() -> None:
    troubled = showcase(None, trouble="Glance does not answer", remedy="look at glance-api")
    async with client_of(application(troubled)) as client:
        told = plain(await text(client, "/"))
        assert "1 thing is wrong" in told
        assert "Glance does not answer What to do: look at glance-api" in told
    async with client_of(application(showcase(None))) as client:
        html = await text(client, "/")
        assert "edgesync has not finished its first look at Glance" in plain(html)
        check_markup(html)


async def test_a_refused_configuration_is_told() -> None:
    shown = showcase(well(), config=ConfigHealth(loaded_at=NOW, error="edgesync.yaml:3:1: hub: unknown key"))
    async with client_of(application(shown)) as client:
        assert "the new configuration was refused; what was read at" in plain(await text(client, "/"))


async def test_what_moves_has_a_bar_a_rate_and_the_time_to_go() -> None:
    async with client_of(application(showcase(sick()))) as client:
        html = await text(client, "/")
    moving = html.split('id="moving"', 1)[1].split("</section>", 1)[0]
    assert '<progress max="100" value="37" aria-label="debian-12 to dcn0"></progress>' in moving
    told = plain(moving)
    assert "37 % of 8.0 GiB, 40.0 MiB/s, 2:08 to go" in told
    assert told.index("windows-2022") < told.index("debian-12"), "what does not get on comes first"
    assert "stalled dcn1 does not answer (store-down); it goes on when dcn1 is back" in told
    assert "2 copies: window outside its window" in told


async def test_each_site_tells_health_fill_queue_window_and_pauses() -> None:
    async with client_of(application(showcase(sick()))) as client:
        sites = rows(await text(client, "/"), "sites")
    assert sites["central hub"][:2] == ["✓ up", "41 % of 1000.0 GiB"]
    assert sites["dcn1"][0].startswith("✗ down for 15 min: no monitor answers within 5 s; tried again at")
    assert sites["dcn2"][1:4] == ["87 % of 1000.0 GiB", "0 of 2", "3"]
    assert sites["dcn2"][6] == "closed until 2026-03-01 22:00:00Z"
    assert sites["dcn10"][0] == "? not watched"
    assert sites["dcn10"][7] == "by alice, 0 s"


@pytest.mark.parametrize(("hours", "wrong"), [(3, 0), (5, 1)])
async def test_a_site_tells_its_lag_and_one_beyond_the_objective_is_wrong(hours: int, wrong: int) -> None:
    late = replace(policy(), lag_objective=timedelta(hours=4))
    picture = picture_of(situation(image(stores=("central", "dcn0")), policies=[late]))
    lags = Lags()
    lags.update(picture)
    world = replace(picture.world, at=NOW + timedelta(hours=hours))
    later = replace(picture, situation=replace(picture.situation, world=world))
    trouble = overview(showcase(later), lags, Filters()).trouble
    assert (trouble.wrong, trouble.since) == (wrong, NOW if wrong else None)
    app = application(showcase(later), lags=lags)
    async with client_of(app) as client:
        html = await text(client, "/")
        assert rows(html, "sites")["dcn1"][4] == f"{hours} h golden, allows 4 h"
        assert rows(html, "sites")["dcn0"][4] == "none"
        told = "copies that policy golden wants at dcn1 have been missing for too long: it allows 4 h"
        assert (told in plain(html)) is bool(wrong)
        assert f"{hours} h golden, allows 4 h" in plain(await text(client, "/stores/dcn1"))


async def test_an_images_page_tells_copies_plan_data_attempts_and_history() -> None:
    async with client_of(application(showcase(sick()))) as client:
        failed = await text(client, "/images/id-centos-10")
        moving = await text(client, "/images/id-debian-12")
        sound = await text(client, "/images/id-rhel-9.4")
    copies = rows(failed, "copies")
    assert copies["dcn0"][:2] == ["✗ failed", "it broke; attempt 4 at 2026-03-01 12:10:00Z → mend it"]
    assert copies["central"][3] == "rbd://fsid-of-central/images/id-centos-10/snap"
    assert copies["dcn0"][3] == "-"
    assert "wait dcn0: backoff: the last attempt failed, until 2026-03-01 12:10:00Z" in plain(failed)
    (attempt,) = rows(failed, "attempts").items()
    assert attempt[1][:3] == ["1:35", "copy copy-image", "dcn0: failed (it broke)"]
    assert "copy-failed dcn0 the copy of centos-10 to dcn0 failed: it broke" in plain(failed)
    assert "running dcn0: copy for job job-1; 8.0 GiB" in plain(moving)
    assert "Nothing is to be done for this image." in plain(sound)


async def test_a_sites_page_tells_findings_and_what_happens_next() -> None:
    async with client_of(application(showcase(sick()))) as client:
        html = await text(client, "/stores/dcn0")
        fine = await text(client, "/stores/central")
    findings = rows(html, "findings")
    assert findings["id-sles-15"][2] == (
        "it is left alone, since a client has it open: look at id-sles-15 in dcn0's pool with `rbd info`, and "
        "remove it if nobody needs it"
    )
    assert "1 copy is broken at dcn0" in plain(html)
    assert "Nothing is wrong here." in plain(fine)


@pytest.mark.parametrize("path", ["/", "/images/id-hostile", "/stores/dcn2"])
async def test_a_hostile_name_is_text_and_nothing_else(path: str) -> None:
    async with client_of(application(showcase(sick()))) as client:
        html = await text(client, path)
    assert HOSTILE in unescape(html)
    assert "<script>alert" not in html
    check_markup(html)


async def test_hostile_texts_of_others_are_text_too() -> None:
    one = image(stores=("central",), status=HOSTILE, properties={HOSTILE: HOSTILE})
    case = situation(one, policies=[policy()], failures=[replace(failure(one, "dcn0"), error=HOSTILE, remedy=HOSTILE)])
    told = replace(notes(), events=(event(EventKind.COPY_FAILED, HOSTILE, one.id, "dcn0"),))
    async with client_of(application(showcase(picture_of(case)), journal=told)) as client:
        for path in ("/", f"/images/{one.id}", "/stores/dcn0"):
            html = await text(client, path, name="" if path == "/" else HOSTILE)
            assert "<script>alert" not in html
            check_markup(html)
        html = await text(client, "/", name=HOSTILE, store=HOSTILE, policy=HOSTILE)
        assert "<script>alert" not in html
        check_markup(html)


async def test_what_is_not_there_is_said() -> None:
    async with client_of(application(showcase(sick()))) as client:
        assert "no image nothing" in await text(client, "/images/nothing", 404)
        assert "no store nothing" in await text(client, "/stores/nothing", 404)
        await text(client, "/static/nothing", 404)
        await text(client, "/static/..%2frouting.py", 404)
        await text(client, "/", 400, state="odd")
        await text(client, "/", 400, page="0")


async def test_nothing_may_be_loaded_from_elsewhere() -> None:
    async with client_of(application(showcase(sick()))) as client:
        async with client.get("/") as answer:
            html = await answer.text()
        policy_of = answer.headers["Content-Security-Policy"]
        assert policy_of.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy_of
        for name in assets():
            async with client.get(f"/static/{name}") as file:
                assert file.status == 200
    assert not re.search(r"(src|href)=\"(?!/|\?|#)", html)
    assert not any(b"http" in content.replace(b"http://www.w3.org/2000/svg", b"") for content in assets().values())


async def test_a_page_that_is_the_same_is_not_sent_again() -> None:
    shown = showcase(sick())
    async with client_of(application(shown)) as client:
        async with client.get("/") as answer:
            tag = answer.headers["ETag"]
            assert f'data-tag="{tag.replace(chr(34), "&#34;")}"' in await answer.text()
        async with client.get("/", headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        shown.picture = well()
        async with client.get("/", headers={"If-None-Match": tag}) as answer:
            assert answer.status == 200


def test_shares_and_times_for_people() -> None:
    assert [share(0, 10), share(999, 1000), share(10, 10), share(None, 10), share(5, None)] == [0, 99, 100, 0, 0]
    ages = [timedelta(seconds=59), timedelta(minutes=59), timedelta(hours=47), timedelta(days=9)]
    assert [span(NOW - age, NOW) for age in ages] == ["59 s", "59 min", "47 h", "9 days"]
    assert stamp(None) == "-"


def test_every_state_has_a_colour() -> None:
    css = assets()["page.css"].decode()
    plain_states = {CopyState.ABSENT, CopyState.UNWANTED}
    assert all(f".{state}" in css for state in CopyState if state not in plain_states)


def test_failures_of_images_that_are_gone_are_no_trouble() -> None:
    gone = Failure(
        image=ImageId("gone"), store=StoreId("dcn0"), attempts=1, error="e", remedy="", failed_at=NOW, next_try=NOW
    )
    picture: Picture = picture_of(situation(image(stores=("central", "dcn0", "dcn1")), failures=[gone]))
    assert overview(showcase(picture), Lags(), Filters()).trouble.wrong == 0
