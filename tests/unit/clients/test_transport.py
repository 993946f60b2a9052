"""What the client does about a bad network, a bad proxy and a bad day of Glance."""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Literal

import pytest

from edgesync.clients import transport
from edgesync.clients.glance import GlanceClient
from edgesync.clients.transport import service_root
from edgesync.domain.store import StoreId
from edgesync.errors import PermanentError, TransientError, UnreachableError
from tests.fakes.glance import (
    FakeGlance,
    Fault,
    FixedAuth,
    Hang,
    LoseAnswer,
    NotJson,
    Reset,
    Settings,
    TokenExpired,
    Truncate,
    VirtualClock,
    status,
)
from tests.fakes.glance.faults import Kind
from tests.unit.clients.conftest import Watched

DCN0 = StoreId("dcn0")


@pytest.mark.parametrize(
    "kind", [status(500), status(502), status(504, html=False), status(503), Reset(), LoseAnswer(), Truncate()], ids=str
)
async def test_a_read_is_repeated(fake: FakeGlance, watched: Watched, kind: Kind) -> None:
    image = fake.add_image(name="rhel")
    fake.faults.add(Fault(operation="image", kind=kind, times=3))
    assert (await watched.glance.image(image)).name == "rhel"
    # When the connection breaks, aiohttp repeats a read once by itself, at once.
    broken = isinstance(kind, (Reset, LoseAnswer))
    assert len(watched.waited) == (1 if broken else 3)
    assert all(0 <= pause <= 10 for pause in watched.waited)
    assert {operation for operation, _ in watched.seen} == {"image"}
    assert watched.seen[-1] == ("image", "200")
    assert fake.count("image") == 4


async def test_a_read_is_not_repeated_for_ever(fake: FakeGlance, watched: Watched) -> None:
    image = fake.add_image()
    fake.faults.add(Fault(operation="image", kind=status(500), times=100))
    with pytest.raises(TransientError, match="HTTP 500: The server could not comply") as failed:
        await watched.glance.image(image)
    assert not isinstance(failed.value, UnreachableError)
    assert fake.count("image") == 4


@pytest.mark.parametrize("kind", [NotJson(), NotJson(""), NotJson("{")], ids=str)
async def test_what_is_not_json_is_said_to_be_so(fake: FakeGlance, watched: Watched, kind: Kind) -> None:
    image = fake.add_image()
    fake.faults.add(Fault(operation="image", kind=kind))
    with pytest.raises(TransientError, match="is not JSON") as failed:
        await watched.glance.image(image)
    assert "proxy" in failed.value.remedy


async def test_truncated_answers_are_transient(fake: FakeGlance, watched: Watched) -> None:
    fake.add_image()
    fake.faults.add(Fault(operation="images", kind=Truncate(), times=100))
    with pytest.raises(TransientError, match="broke off"):
        _ = [page async for page in watched.glance.images()]


@pytest.mark.parametrize("form", ["7", "date"])
async def test_retry_after_is_honoured(fake: FakeGlance, watched: Watched, form: str) -> None:
    image = fake.add_image()
    after = form if form == "7" else format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True)
    fake.faults.add(Fault(operation="image", kind=status(503, retry_after=after)))
    await watched.glance.image(image)
    assert len(watched.waited) == 1
    assert 5 < watched.waited[0] <= 8


async def test_a_long_retry_after_is_left_to_the_caller(fake: FakeGlance, watched: Watched) -> None:
    image = fake.add_image()
    fake.faults.add(Fault(operation="image", kind=status(429, retry_after="3600"), times=9))
    with pytest.raises(TransientError) as failed:
        await watched.glance.image(image)
    assert failed.value.retry_after == 3600
    assert watched.waited == []
    assert fake.count("image") == 1


@pytest.mark.parametrize("after", ["soon", "-5", "1e999", ""])
async def test_a_senseless_retry_after_is_ignored(fake: FakeGlance, watched: Watched, after: str) -> None:
    image = fake.add_image()
    fake.faults.add(Fault(operation="image", kind=status(503, retry_after=after)))
    await watched.glance.image(image)
    assert watched.waited[0] <= 10


async def test_a_hanging_server_costs_two_deadlines_at_most(fake: FakeGlance) -> None:
    watched = Watched(fake, deadline=0.1)
    fake.faults.add(Fault(operation="image", kind=Hang(), times=9))
    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"did not answer within 0\.1 seconds") as failed:
        await watched.glance.image(fake.add_image())
    assert failed.value.sent
    assert time.monotonic() - started < 2
    assert set(watched.seen) == {("image", "timeout")}
    assert fake.count("image") <= 3
    await watched.glance.close()


async def test_nobody_there_is_said_with_the_address(fake: FakeGlance, watched: Watched) -> None:
    await fake.stop()
    with pytest.raises(UnreachableError, match=fake.url) as failed:
        await watched.glance.stores()
    assert not failed.value.sent
    assert watched.seen == [("stores", "unreachable")] * 4


async def test_a_restarted_server_is_found_again(fake: FakeGlance, watched: Watched) -> None:
    """The idle connection that is kept turns out to be closed."""
    image = fake.add_image()
    await watched.glance.image(image)
    await fake.stop()
    await fake.start()
    await watched.glance.image(image)
    await watched.glance.copy_image(image, [DCN0], allow_failure=True)


async def test_an_address_that_does_not_resolve_was_not_asked() -> None:
    async with GlanceClient(FixedAuth("http://nowhere.invalid:9292"), attempts=1) as glance:
        with pytest.raises(UnreachableError) as failed:
            await glance.stores()
    assert not failed.value.sent


@pytest.mark.parametrize("endpoint", ["nonsense", "http://[::1", ""])
async def test_a_senseless_address_is_permanent(endpoint: str) -> None:
    async with GlanceClient(FixedAuth(endpoint)) as glance:
        with pytest.raises(PermanentError, match="not a usable address"):
            await glance.stores()


@pytest.mark.parametrize(
    ("kind", "sent"),
    [(Reset(), True), (LoseAnswer(), True), (status(500), True), (status(502), True), (status(504), True)],
    ids=str,
)
async def test_an_import_in_doubt_is_never_repeated(fake: FakeGlance, watched: Watched, kind: Kind, sent: bool) -> None:
    image = fake.add_image()
    fake.faults.add(Fault(operation="copy_image", kind=kind))
    with pytest.raises(UnreachableError) as failed:
        await watched.glance.copy_image(image, [DCN0], allow_failure=True)
    assert failed.value.sent is sent
    assert fake.count("copy_image") == 1
    assert len(fake.accepted) == isinstance(kind, LoseAnswer)
    assert watched.waited == []


async def test_a_busy_server_did_not_take_the_import(fake: FakeGlance, watched: Watched) -> None:
    image = fake.add_image()
    fake.faults.add(Fault(operation="copy_image", kind=status(503, retry_after="9")))
    with pytest.raises(TransientError) as failed:
        await watched.glance.copy_image(image, [DCN0], allow_failure=True)
    assert not isinstance(failed.value, UnreachableError)
    assert failed.value.retry_after == 9
    assert fake.count("copy_image") == 1


async def test_an_import_that_never_left_is_repeated(fake: FakeGlance, watched: Watched) -> None:
    image = fake.add_image()
    await fake.stop()
    with pytest.raises(UnreachableError) as failed:
        await watched.glance.copy_image(image, [DCN0], allow_failure=True)
    assert not failed.value.sent
    assert watched.seen == [("copy_image", "unreachable")] * 4
    assert fake.accepted == []


@pytest.mark.parametrize("kind", [Reset(), LoseAnswer(), status(500)], ids=str)
async def test_other_changes_in_doubt_are_not_repeated(fake: FakeGlance, watched: Watched, kind: Kind) -> None:
    image = fake.add_image(stores=["central", "dcn0"])
    fake.sim.show_locations = True
    fake.faults.add(Fault(operation="*", kind=kind, times=2))
    with pytest.raises(UnreachableError):
        await watched.glance.delete_from_store(image, DCN0)
    with pytest.raises(UnreachableError):
        await watched.glance.add_location(image, "rbd://x", StoreId("dcn1"))
    assert len(fake.requests) == 2


async def test_a_refused_token_is_renewed_once() -> None:
    async with FakeGlance(settings=Settings(tokens=frozenset({"new"}))) as fake:
        watched = Watched(fake, "old", "new")
        image = fake.add_image()
        assert (await watched.glance.image(image)).id == image
        assert watched.seen == [("image", "401"), ("image", "200")]
        assert watched.auth.logins == 2
        await watched.glance.close()


async def test_a_token_that_expires_in_mid_import_repeats_it_once(fake: FakeGlance, watched: Watched) -> None:
    image = fake.add_image()
    fake.faults.add(Fault(operation="copy_image", kind=TokenExpired()))
    await watched.glance.copy_image(image, [DCN0], allow_failure=True)
    assert len(fake.accepted) == 1


async def test_a_fresh_token_refused_is_permanent(fake: FakeGlance, watched: Watched) -> None:
    fake.faults.add(Fault(operation="stores", kind=TokenExpired(), times=9))
    with pytest.raises(PermanentError, match="refused a fresh token") as failed:
        await watched.glance.stores()
    assert "keystone_authtoken" in failed.value.remedy
    assert fake.count("stores") == 2


async def test_many_requests_with_a_dead_token_share_one_login() -> None:
    async with FakeGlance(settings=Settings(tokens=frozenset({"new"}))) as fake:
        watched = Watched(fake, "old", "new")
        image = fake.add_image()
        await asyncio.gather(*(watched.glance.image(image) for _ in range(20)))
        assert watched.auth.logins == 2
        await watched.glance.close()


async def test_two_first_requests_share_a_session(fake: FakeGlance) -> None:
    class SlowAuth(FixedAuth):
        async def tls(self) -> Literal[False]:
            await asyncio.sleep(0.01)
            return False

    async with GlanceClient(SlowAuth(fake.url)) as glance:
        await asyncio.gather(*(glance.stores() for _ in range(5)))
    # A second session would be reported as never closed when it is collected.
    gc.collect()


async def test_secrets_stay_out_of_errors(fake: FakeGlance) -> None:
    watched = Watched(fake, "s3cret-token")
    fake.faults.add(Fault(operation="stores", kind=TokenExpired(), times=9))
    with pytest.raises(PermanentError) as failed:
        await watched.glance.stores()
    cause: BaseException | None = failed.value
    while cause is not None:
        assert "s3cret" not in repr(cause)
        cause = cause.__cause__ or cause.__context__
    await watched.glance.close()


async def test_an_endless_answer_is_cut(fake: FakeGlance, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 1000)
    fake.add_image(properties={"long": "x" * 2000})
    with pytest.raises(PermanentError, match="longer than"):
        _ = [page async for page in watched.glance.images()]


async def test_a_redirect_is_not_followed(fake: FakeGlance, watched: Watched) -> None:
    fake.faults.add(Fault(operation="stores", kind=status(302)))
    with pytest.raises(PermanentError, match="302") as failed:
        await watched.glance.stores()
    assert "image_endpoint_override" in failed.value.remedy


async def test_a_cancelled_request_leaves_nothing_behind(fake: FakeGlance, watched: Watched) -> None:
    fake.faults.add(Fault(operation="stores", kind=Hang()))
    request = asyncio.create_task(watched.glance.stores())
    await asyncio.sleep(0.05)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_waiting_between_attempts_takes_virtual_time() -> None:
    async with FakeGlance(clock=VirtualClock()) as fake:
        watched = Watched(fake)
        fake.faults.add(Fault(operation="stores", kind=status(503, retry_after="50"), times=3))
        started, virtual = time.monotonic(), fake.clock.now()
        await watched.glance.stores()
        assert fake.clock.now() - virtual >= timedelta(seconds=150)
        assert time.monotonic() - started < 5
        await watched.glance.close()


@pytest.mark.parametrize(
    ("endpoint", "root"),
    [
        ("http://h:9292", "http://h:9292"),
        ("http://h:9292/", "http://h:9292"),
        ("http://h:9292/v2", "http://h:9292"),
        ("http://h:9292/v2.18/", "http://h:9292"),
        ("https://h/image", "https://h/image"),
        ("https://h/image/v2", "https://h/image"),
        ("https://h/versatile", "https://h/versatile"),
    ],
)
def test_versions_in_endpoints_do_not_matter(endpoint: str, root: str) -> None:
    assert service_root(endpoint) == root
