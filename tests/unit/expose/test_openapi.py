"""The API is what its description says, whatever is sent to it; and nothing is changed without a credential."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import CHECKS, load_all_checks

from edgesync.expose.api import Api
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Showcase
from tests.builders import NOW, image, policy, situation
from tests.fakes.credentials import OPERATOR_TOKEN, VIEWER_TOKEN, known_access, shown
from tests.unit.daemon.paper import Counter, counter
from tests.unit.expose.pictures import picture_of
from tests.unit.expose.test_orders import application

# schemathesis and what it stands on have warnings of their own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
EXAMPLES = 10


def api(*, reading_is_open: bool = True) -> Api:
    unused: Any = None
    showcase = Showcase(health=Health(started_at=NOW))
    access = known_access(reading_is_open=reading_is_open)
    return Api(showcase=showcase, journal=unused, counter=unused, metrics=Metrics(showcase), access=access)


DESCRIPTION = json.loads(json.dumps(api().description()))
schema = schemathesis.openapi.from_dict(DESCRIPTION)
# An event stream does not end.
finite = schema.exclude(path="/v1/events")
load_all_checks()
CHECKED = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Served:
    """The API on a socket, with a loop in a thread of its own: what sends requests blocks."""

    url: str
    at: Counter
    # Keeps its connection from request to request, and looks for no proxy before each.
    session: requests.Session


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    at = counter(picture_of(situation(image(), image("b"), policies=[policy()])), policies=lambda: (policy(),))
    at.showcase.health = Health(started_at=NOW, ticked_at=NOW)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def in_loop(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def started() -> TestServer:
        server = TestServer(application(at))
        await server.start_server()
        return server

    server = in_loop(started())
    with requests.Session() as session:
        session.trust_env = False
        session.headers.clear()
        yield Served(url=str(server.make_url("/")).rstrip("/"), at=at, session=session)
    in_loop(server.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_the_description_is_openapi() -> None:
    OpenAPIV31SpecValidator(DESCRIPTION).validate()


# The status page's addresses answer browsers, not programs.
FOR_PEOPLE = {
    ("GET", "/"),
    ("GET", "/images/{image}"),
    ("GET", "/images/{image}/layers/{store}"),
    ("GET", "/stores/{store}"),
    ("GET", "/jobs"),
    ("GET", "/live"),
    ("GET", "/static/{name}"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/sign-out"),
    *(("POST", f"/orders/{name}") for name in ("copy", "verify", "cancel", "pause", "resume")),
}


async def test_it_is_served_and_every_route_is_in_it() -> None:
    async with TestClient(TestServer(api().application())) as client:
        async with client.get("/openapi.json") as answer:
            assert await answer.json() == DESCRIPTION
        described = {(method.upper(), path) for path, methods in DESCRIPTION["paths"].items() for method in methods}
        routes = client.server.app.router.routes()  # type: ignore[attr-defined]  # of the application that is tested
        known = {(route.method, str(route.resource and route.resource.canonical)) for route in routes}
        assert {entry for entry in known if entry[0] != "HEAD"} - described == {("GET", "/openapi.json"), *FOR_PEOPLE}
        assert described <= known


def test_what_changes_something_is_described_as_needing_a_credential() -> None:
    for reading_is_open in (True, False):
        paths = api(reading_is_open=reading_is_open).description()["paths"]
        for path, methods in paths.items():
            for method, operation in methods.items():
                free = {} in operation["security"]
                probe = path in {"/livez", "/readyz", "/healthz"}
                assert free == (method == "get" and (reading_is_open or probe)), (method, path)


def send(case: Any, served: Served, token: str | None) -> Any:
    """Whatever the case says, with this credential or none, as JSON where it says nothing of that."""
    case.headers = {
        name: value
        for name, value in (case.headers or {}).items()
        if name.lower() not in {"authorization", "x-auth-token", "content-type"}
    }
    return case.call(base_url=served.url, session=served.session, headers=shown(token) if token else {})


@finite.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
def test_whatever_an_operator_sends_the_answer_is_as_described(case: Any, served: Served) -> None:
    case.validate_response(send(case, served, OPERATOR_TOKEN), checks=CHECKED)


@finite.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
def test_without_an_operators_credential_nothing_changes(case: Any, served: Served) -> None:
    journal = served.at.journal
    before = dict(journal.kept), list(journal.pauses), list(journal.events)
    for token, refused in ((None, 401), ("nobody's", 401), (VIEWER_TOKEN, 403)):
        answer = send(case, served, token)
        case.validate_response(answer, checks=CHECKED)
        if case.method.upper() not in {"GET", "HEAD"}:
            assert answer.status_code in {refused, 429, 404, 405, 415}, answer.text
    assert (journal.kept, journal.pauses, journal.events) == before
