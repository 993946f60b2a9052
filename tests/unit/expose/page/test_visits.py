"""Signing in, what is refused to whom, and orders by forms."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from edgesync.domain.image import ImageId
from edgesync.domain.pause import Pause
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError
from edgesync.expose.access import Access
from edgesync.expose.page import sessions
from edgesync.expose.page.sessions import Session, Sessions
from edgesync.expose.page.visits import local
from edgesync.expose.requests import CopyRequest, PauseRequest, Scope, Taken, VerificationRequest
from tests.builders import NOW, image, job
from tests.fakes.credentials import CALLERS, LOCAL_TOKEN, OPERATOR_TOKEN, VIEWER_TOKEN, Known, known_access
from tests.unit.expose.page.sights import HOSTILE, Client, application, client_of, showcase, sick, text

FORM = re.compile(r'name="form" value="([^"]+)"')


@dataclass
class Till:
    """Notes the orders that it takes."""

    taken: list[Any] = field(default_factory=list)
    refuses: bool = False

    def _take(self, order: Any) -> Taken:
        if self.refuses:
            raise ConflictError("somebody else is at it", remedy=f"wait {HOSTILE}")
        self.taken.append(order)
        return Taken(jobs=(job(image("rhel-9.4"), "dcn0"),), notes=("central is added",))

    async def copy(self, request: CopyRequest) -> Taken:
        return self._take(request)

    async def verify(self, request: VerificationRequest) -> Taken:
        return self._take(request)

    async def cancel(self, job: str, by: str) -> Taken:
        return self._take((job, by))

    async def pause(self, request: PauseRequest) -> Pause:
        self._take(request)
        return Pause(image=_id(request.image), store=_store(request.store), by=request.who, since=NOW)

    async def resume(self, scope: Scope) -> Pause:
        self._take(scope)
        return Pause(image=_id(scope.image), store=_store(scope.store), by=scope.who, since=NOW)


def _id(image: str | None) -> ImageId | None:
    return ImageId(image) if image else None


def _store(store: str | None) -> StoreId | None:
    return StoreId(store) if store else None


async def sign_in(client: Client, token: str = OPERATOR_TOKEN, back: str = "/", status: int = 303) -> str:
    """What is answered; a form's token, if it went well."""
    async with client.post("/sign-in", data={"token": token, "back": back}, allow_redirects=False) as answer:
        body = await answer.text()
        assert answer.status == status, body
        return answer.headers["Location"] if status == 303 else body


async def form_of(client: Client) -> str:
    found = FORM.search(await text(client, "/"))
    assert found is not None
    return found[1]


async def order(client: Client, name: str, status: int = 303, **fields: str) -> str:
    """Send a form; the page that it leads to."""
    fields = {"form": await form_of(client), "back": "/stores/dcn0"} | fields
    async with client.post(f"/orders/{name}", data=fields, allow_redirects=False) as answer:
        assert answer.status == status, await answer.text()
        if status != 303:
            return await answer.text()
        return await text(client, answer.headers["Location"])


async def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get() -> None:
    async with client_of(application(showcase(sick()))) as client:
        async with client.post("/sign-in", data={"token": OPERATOR_TOKEN}, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = answer.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert OPERATOR_TOKEN not in cookie
        page = await text(client, "/")
        assert "olga" in page
        assert OPERATOR_TOKEN not in page


async def test_a_wrong_token_opens_nothing() -> None:
    async with client_of(application(showcase(sick()))) as client:
        page = await sign_in(client, "guess" * 8, status=401)
        assert "a token of api.tokens" in page
        assert "sign in" in await text(client, "/")
        await sign_in(client, "", status=401)
        await sign_in(client, "ä" * 40, status=401)


@pytest.mark.parametrize("body", [b"token=\xff\xfe", b"a=1&" * 40, b"%ff", b""])
@pytest.mark.parametrize("charset", ["", "; charset=bogus"])
async def test_what_is_no_form_is_refused_in_words(body: bytes, charset: str) -> None:
    async with client_of(application(showcase(sick()))) as client:
        headers = {"Content-Type": f"application/x-www-form-urlencoded{charset}"}
        async with client.post("/sign-in", data=body, headers=headers) as answer:
            assert answer.status in {401, 422}
            assert answer.content_type == "text/html"


async def test_guesses_are_slowed_down() -> None:
    async with client_of(application(showcase(sick()))) as client:
        answers = []
        for _ in range(25):
            async with client.post("/sign-in", data={"token": "guess" * 8}) as answer:
                answers.append(answer.status)
        assert (answers[0], answers[-1]) == (401, 429)


async def test_who_is_not_signed_in_gets_no_form_and_orders_nothing() -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till)) as client:
        for path in ("/images/id-centos-10", "/stores/dcn0", "/jobs"):
            assert "/orders/" not in await text(client, path)
        async with client.post("/orders/pause", data={"all": "true"}, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/sign-in?back=%2F")
    assert till.taken == []


async def test_a_viewer_sees_who_it_is_and_orders_nothing() -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till)) as client:
        await sign_in(client, VIEWER_TOKEN)
        page = await text(client, "/images/id-centos-10")
        assert "vera" in page
        assert "/orders/" not in page
        assert "vera may look, and change nothing" in await order(client, "pause", 403, all="true")
        form = await form_of(client)
        async with client.post("/sign-out", data={"form": form}) as answer:
            assert "sign in" in await answer.text()
    assert till.taken == []


async def test_signed_out_is_signed_out() -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till)) as client:
        await sign_in(client)
        form = await form_of(client)
        (kept,) = client.session.cookie_jar
        async with client.post("/sign-out", data={"form": form}) as answer:
            assert "olga" not in await answer.text()
        headers = {"Cookie": f"edgesync={kept.value}"}
        async with client.post("/orders/pause", data={"form": form, "all": "1"}, headers=headers) as answer:
            assert "Sign in" in await answer.text()
    assert till.taken == []


async def test_a_credential_that_is_taken_back_counts_no_more() -> None:
    known = Known()
    till = Till()
    async with client_of(application(showcase(sick()), till, access=Access(files=[known]))) as client:
        await sign_in(client)
        form = await form_of(client)
        known.callers.clear()
        async with client.post("/orders/pause", data={"form": form, "all": "1"}, allow_redirects=False) as answer:
            assert answer.headers["Location"].startswith("/sign-in")
        assert "sign in" in await text(client, "/")
    assert till.taken == []


async def test_where_reading_is_closed_the_page_leads_to_the_sign_in_and_back() -> None:
    async with client_of(application(showcase(sick()), access=known_access(reading_is_open=False))) as client:
        async with client.get("/images/id-cirros?x=1&y=2", allow_redirects=False) as answer:
            assert answer.status == 303
            page = await text(client, answer.headers["Location"])
        assert 'name="back" value="/images/id-cirros?x=1&amp;y=2"' in page
        async with client.get("/live") as answer:
            assert answer.status == 401
        assert (await client.get("/static/page.css")).status == 200
        assert await sign_in(client, VIEWER_TOKEN, back="/images/id-cirros") == "/images/id-cirros"
        assert "cirros" in await text(client, "/images/id-cirros")


@pytest.mark.parametrize("address", ["//evil.example/", "/\\evil.example", "https://evil.example", "", "/a\nb", "x"])
async def test_nobody_is_led_elsewhere(address: str) -> None:
    assert local(address) == "/"
    assert local("/images/a?b=c#d") == "/images/a?b=c#d"


async def test_the_api_takes_no_cookie() -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till, access=known_access(reading_is_open=False))) as client:
        await sign_in(client)
        assert (await client.get("/v1/images")).status == 401
        assert (await client.post("/v1/pauses", json={"all": True})).status == 401
    assert till.taken == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ],
)
async def test_what_a_foreign_page_could_make_a_browser_send_is_refused(headers: dict[str, str], status: int) -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till)) as client:
        await sign_in(client)
        body = f"form={await form_of(client)}&all=true"
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
        async with client.post("/orders/pause", data=body, headers=headers, allow_redirects=False) as answer:
            assert answer.status == status
        async with client.post("/sign-in", data="token=x", headers=headers, allow_redirects=False) as answer:
            assert answer.status == status
    assert till.taken == []


@pytest.mark.parametrize("form", ["", "wrong", "ä"])
async def test_a_form_that_is_not_ones_own_is_refused(form: str) -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till)) as client:
        await sign_in(client)
        assert "not one of yours" in await order(client, "pause", 403, all="true", form=form)
    assert till.taken == []


async def test_the_form_of_another_person_is_refused() -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till)) as client:
        await sign_in(client)
        form = await form_of(client)
        client.session.cookie_jar.clear()
        await sign_in(client, LOCAL_TOKEN)
        assert "not one of yours" in await order(client, "pause", 403, all="true", form=form)
    assert till.taken == []


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        (
            "copy",
            {"image": "id-cirros", "stores": "dcn0, dcn1", "urgent": "on"},
            CopyRequest(image="id-cirros", stores=("dcn0", "dcn1"), urgent=True, requested_by="olga"),
        ),
        ("copy", {"image": "id-cirros"}, CopyRequest(image="id-cirros", all_stores=True, requested_by="olga")),
        (
            "verify",
            {"image": "id-cirros", "stores": "", "deep": "on", "repair": "on"},
            VerificationRequest(image="id-cirros", deep=True, repair=True, requested_by="olga"),
        ),
        ("cancel", {"job": "job1"}, ("job1", "olga")),
        ("pause", {"store": "dcn0", "reason": "x"}, PauseRequest(store="dcn0", reason="x", requested_by="olga")),
        ("resume", {"image": "id-cirros"}, Scope(image="id-cirros", requested_by="olga")),
        ("resume", {"all": "true"}, Scope(all=True, requested_by="olga")),
    ],
)
async def test_a_form_orders_what_it_says_in_the_name_of_who_is_signed_in(
    name: str, fields: dict[str, str], expected: object
) -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till)) as client:
        await sign_in(client)
        page = await order(client, name, 303, **fields)
        assert 'class="notice"' in page
        assert 'class="notice"' not in await text(client, "/stores/dcn0"), "it is said once"
    assert till.taken == [expected]


async def test_what_becomes_of_an_order_is_told() -> None:
    till = Till()
    async with client_of(application(showcase(sick()), till)) as client:
        await sign_in(client)
        page = await order(client, "copy", image="id-cirros")
        assert "job job-1 is taken: copy rhel-9.4 at dcn0; central is added" in page
        till.refuses = True
        page = await order(client, "copy", image="id-cirros")
        assert 'class="notice bad" role="alert">somebody else is at it' in page
        assert "<script>alert" not in page
        page = await order(client, "copy")
        assert "give either" in page
        assert "there is no job" in await order(client, "cancel", job="../x")


async def test_the_script_that_asks_again_does_not_take_what_is_said_from_the_person() -> None:
    async with client_of(application(showcase(sick()), Till())) as client:
        await sign_in(client)
        fields = {"form": await form_of(client), "back": "/jobs", "all": "true"}
        await client.post("/orders/pause", data=fields, allow_redirects=False)
        async with client.get("/jobs", headers={"If-None-Match": '"older"'}) as answer:
            assert 'class="notice"' not in await answer.text()
        assert "everything is paused" in await text(client, "/jobs")


async def test_operators_get_forms_for_what_can_be_done() -> None:
    async with client_of(application(showcase(sick()))) as client:
        await sign_in(client)
        failed = await text(client, "/images/id-centos-10")
        assert "try again now" in failed
        assert 'action="/orders/pause"' in failed
        assert 'action="/orders/resume"' in await text(client, "/images/id-cirros")
        assert 'action="/orders/cancel"' in await text(client, "/images/id-debian-12")
        assert 'action="/orders/resume"' in await text(client, "/stores/dcn10")
        jobs = await text(client, "/jobs")
        assert jobs.count('action="/orders/cancel"') == 2
        assert "Pause everything" in jobs


async def test_refusals_are_pages_for_people_and_documents_for_programs() -> None:
    async with client_of(application(showcase(sick()))) as client:
        async with client.get("/images/nothing") as answer:
            assert (answer.status, answer.content_type) == (404, "text/html")
            assert "edgesync history tells" in await answer.text()
        async with client.get("/v1/images/nothing") as answer:
            assert (answer.status, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("request_line", ["OPTIONS *", "CONNECT a:1", "GET http://127.0.0.1"])
async def test_what_names_no_path_is_no_failure(request_line: str) -> None:
    async with client_of(application(showcase(sick()))) as client:
        assert client.port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(f"{request_line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        said = await asyncio.wait_for(reader.readline(), 30)
        assert int(said.split()[1]) < 500, said
        writer.close()


def test_sessions_end_by_themselves_and_are_bounded() -> None:
    now = 0.0
    kept = Sessions(lambda: now)
    caller = CALLERS[OPERATOR_TOKEN]
    first = kept.begin("t", caller)
    assert kept.find(first) is not None
    assert kept.find("other") is None
    now = sessions.LASTING + 1
    assert kept.find(first) is None
    names = [kept.begin("t", replace(caller, name=f"person-{number}")) for number in range(sessions.MOST + 1)]
    assert kept.find(names[0]) is None
    assert all(kept.find(name) for name in names[1:])
    assert "secret" not in repr(Session(token="secret", caller=caller, until=0))


def test_whoever_signs_in_again_and_again_signs_out_nobody_else() -> None:
    now = 0.0
    kept = Sessions(lambda: now)
    caller = CALLERS[OPERATOR_TOKEN]
    other = kept.begin("t", replace(caller, name="other"))
    own = [kept.begin("t", caller) for _ in range(sessions.MOST_OF_ONE + 1)]
    assert [kept.find(name) is not None for name in own] == [False] + [True] * sessions.MOST_OF_ONE
    assert kept.find(other) is not None
    now = sessions.LASTING + 1
    kept.begin("t", caller)
    assert len(kept._open) == 1, "what has ended is not kept until others push it out"
