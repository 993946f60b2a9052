"""Logging in: what goes wrong, and how seldom it is done."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgesync.clients.glance import GlanceClient
from edgesync.clients.keystone import OpenStackAuth
from edgesync.errors import ConfigError, EdgesyncError, PermanentError, UnreachableError
from tests.fakes.glance import FakeGlance, Settings
from tests.fakes.keystone import PASSWORD, FakeKeystone

# openstacksdk warns of InfluxDB whenever it reads a configuration, with or without InfluxDB in it.
pytestmark = pytest.mark.filterwarnings("ignore:Support for InfluxDB")


@pytest.fixture
async def keystone() -> AsyncIterator[FakeKeystone]:
    fake = FakeKeystone()
    runner = await fake.start()
    yield fake
    await runner.cleanup()


Login = Callable[..., OpenStackAuth]


@pytest.fixture
async def login(keystone: FakeKeystone, tmp_path: Path) -> AsyncIterator[Login]:
    """Make an OpenStackAuth from a clouds.yaml with the given changes."""
    made: list[OpenStackAuth] = []

    def make(
        *,
        deadline: float = 10.0,
        cloud: str | None = "edge",
        region: str | None = None,
        auth: Any = None,
        on_login: Callable[[str, float], None] = lambda *_: None,
        **entry: Any,
    ) -> OpenStackAuth:
        credentials = {
            "auth_url": keystone.url,
            "username": "edgesync",
            "password": PASSWORD,
            "project_name": "service",
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        file = tmp_path / "clouds.yaml"
        file.write_text(yaml.safe_dump({"clouds": {"edge": {"auth": auth or credentials, **entry}}}))
        made.append(
            OpenStackAuth(
                cloud=cloud,
                region=region,
                config_files=[str(file)],
                load_envvars=False,
                deadline=deadline,
                api_timeout=2,
                on_login=on_login,
            )
        )
        return made[-1]

    yield make
    for one in made:
        await one.close()
    # Closing does not wait for the threads; here it must, so that none outlives its test. In a thread, because one
    # of them may be waiting for the fake Keystone, which needs the loop.
    await asyncio.to_thread(_join_threads)


def _join_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("keystone"):
            thread.join()


async def test_token_and_endpoint(login: Login, keystone: FakeKeystone) -> None:
    auth = login()
    assert await auth.headers() == {"X-Auth-Token": "token-1"}
    assert await auth.endpoint() == "http://glance.example:9292"
    verifying = await auth.tls()
    assert verifying
    assert (verifying.verify_mode, verifying.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert keystone.logins == 1


async def test_each_log_in_is_told_with_its_result(login: Login, keystone: FakeKeystone) -> None:
    told: list[str] = []

    def note(result: str, seconds: float) -> None:
        assert seconds > 0
        told.append(result)

    auth = login(on_login=note)
    for _ in range(3):
        await auth.headers()
    await auth.invalidate()
    for keystone.status in (401, 503):
        with pytest.raises(EdgesyncError):
            await auth.headers()
    assert told == ["ok", "refused", "unreachable"]


async def test_callers_share_one_login(login: Login, keystone: FakeKeystone) -> None:
    auth = login()
    keystone.pause = 0.1
    headers = await asyncio.gather(*(auth.headers() for _ in range(50)))
    assert {header["X-Auth-Token"] for header in headers} == {"token-1"}
    assert keystone.logins == 1


async def test_a_token_about_to_end_is_renewed(login: Login, keystone: FakeKeystone) -> None:
    auth = login()
    keystone.life = timedelta(seconds=1)
    first = await auth.headers()
    assert await auth.headers() == first
    logins = keystone.logins
    await asyncio.sleep(0.8)
    assert await auth.headers() != first
    # keystoneauth by itself would log in for each single look-up now.
    assert keystone.logins == logins + 1


async def test_an_invalid_token_is_replaced(login: Login, keystone: FakeKeystone) -> None:
    auth = login()
    await auth.headers()
    await auth.invalidate()
    assert await auth.headers() == {"X-Auth-Token": "token-2"}


async def test_glance_refuses_the_first_token(login: Login, keystone: FakeKeystone) -> None:
    """The whole way: log in, 401, log in again, answer."""
    async with FakeGlance(settings=Settings(tokens=frozenset({"token-2"}))) as fake:
        keystone.endpoints = {"public": fake.url}
        async with GlanceClient(login()) as glance:
            assert len(await glance.stores()) == 3
    assert keystone.logins == 2


async def test_what_clouds_yaml_says_of_the_endpoint_holds(login: Login) -> None:
    assert await login(interface="internal").endpoint() == "http://internal.example:9292"
    assert await login(image_endpoint_override="http://edge:9292").endpoint() == "http://edge:9292"


async def test_application_credentials(login: Login, keystone: FakeKeystone) -> None:
    def credentials(name: str) -> dict[str, str]:
        return {
            "auth_url": keystone.url,
            "application_credential_id": name,
            "application_credential_secret": PASSWORD,
        }

    auth = login(auth_type="v3applicationcredential", auth=credentials("known"))
    assert await auth.headers() == {"X-Auth-Token": "token-1"}
    auth = login(auth_type="v3applicationcredential", auth=credentials("unknown"))
    with pytest.raises(PermanentError, match="no application credential with this id"):
        await auth.headers()


async def refusal(auth: OpenStackAuth) -> EdgesyncError:
    with pytest.raises(EdgesyncError) as refused:
        await auth.headers()
    assert refused.value.remedy
    assert PASSWORD not in f"{refused.value.message}{refused.value.remedy}"
    return refused.value


async def test_a_wrong_password(login: Login, keystone: FakeKeystone) -> None:
    auth = {"auth_url": keystone.url, "username": "x", "password": "wrong", "project_name": "p", "user_domain_id": "d"}
    error = await refusal(login(auth={**auth, "project_domain_id": "d"}))
    assert isinstance(error, PermanentError)
    assert "wrong user, project, password" in error.message


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [(404, PermanentError, "404"), (500, UnreachableError, "HTTP 500"), (403, PermanentError, "refused")],
)
async def test_keystones_other_answers(
    login: Login, keystone: FakeKeystone, status: int, kind: type[EdgesyncError], words: str
) -> None:
    keystone.status = status
    error = await refusal(login())
    assert type(error) is kind
    assert words in error.message


async def test_keystone_is_not_there(login: Login) -> None:
    auth = {"auth_url": "http://127.0.0.1:9/v3", "username": "x", "password": PASSWORD, "project_name": "p"}
    error = await refusal(login(auth={**auth, "user_domain_id": "d", "project_domain_id": "d"}))
    assert isinstance(error, UnreachableError)
    assert not error.sent
    assert "http://127.0.0.1:9/v3" in error.message
    assert "Pool" not in error.message


async def test_keystone_hangs(login: Login, keystone: FakeKeystone) -> None:
    auth = login(deadline=0.1)
    keystone.pause = 0.5
    started = time.monotonic()
    error = await refusal(auth)
    assert time.monotonic() - started < 2
    assert isinstance(error, UnreachableError)
    assert "did not answer within 0.1 seconds" in error.message
    keystone.pause = 0


async def test_a_login_that_failed_is_tried_again(login: Login, keystone: FakeKeystone) -> None:
    auth = login()
    keystone.status = 500
    await refusal(auth)
    keystone.status = 201
    assert (await auth.headers())["X-Auth-Token"].startswith("token-")


async def test_no_endpoint_in_the_catalog(login: Login, keystone: FakeKeystone) -> None:
    error = await refusal(login(region_name="mars"))
    assert isinstance(error, PermanentError)
    assert "region mars" in error.message
    assert "endpoint create" in error.remedy


async def test_the_settings_choose_among_the_regions_of_clouds_yaml(login: Login, keystone: FakeKeystone) -> None:
    regions = ["mars", "RegionOne"]
    assert await login(regions=regions, region="RegionOne").endpoint() == keystone.endpoints["public"]
    assert "region mars" in (await refusal(login(regions=regions, region="mars"))).message
    assert "venus is not a valid region" in (await refusal(login(regions=regions, region="venus"))).message


async def test_an_unknown_cloud(login: Login) -> None:
    error = await refusal(login(cloud="overcloud"))
    assert isinstance(error, ConfigError)
    assert "no cloud named overcloud, only edge." in error.message


async def test_no_clouds_file(tmp_path: Path) -> None:
    auth = OpenStackAuth(cloud="edge", config_files=[str(tmp_path / "none.yaml")], load_envvars=False)
    error = await refusal(auth)
    await auth.close()
    assert isinstance(error, ConfigError)
    assert f"clouds_file: {tmp_path}/none.yaml can't be read: No such file" in error.message


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"auth": {"username": "x", "password": "y"}}, "auth_url"),
        ({"auth": {"auth_url": "http://k", "username": "x"}}, "no password"),
        ({"auth": "nonsense"}, "can't be used"),
        ({"auth_type": "v9magic"}, "v9magic"),
        (
            {
                "auth_type": "v3applicationcredential",
                "auth": {"auth_url": "http://k", "application_credential_id": "x"},
            },
            "secret",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_incomplete_credentials(login: Login, entry: dict[str, Any], words: str) -> None:
    error = await refusal(login(**entry))
    assert isinstance(error, ConfigError)
    assert words in error.message


async def test_os_variables(keystone: FakeKeystone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "none.yaml"))
    for name, value in {
        "OS_AUTH_URL": keystone.url,
        "OS_USERNAME": "edgesync",
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_NAME": "service",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }.items():
        monkeypatch.setenv(name, value)
    auth = OpenStackAuth()
    assert await auth.headers() == {"X-Auth-Token": "token-1"}
    await auth.close()


async def test_certificates(login: Login, tmp_path: Path) -> None:
    assert await login(verify=False).tls() is False
    context = await login(cacert=ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt").tls()
    assert isinstance(context, ssl.SSLContext)
    with pytest.raises(ConfigError, match="cacert"):
        await login(cacert=str(tmp_path / "none.pem")).tls()


async def test_a_token_is_not_in_a_repr(login: Login) -> None:
    auth = login()
    await auth.headers()
    assert "token-1" not in json.dumps({key: repr(value) for key, value in vars(auth).items()})


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, PermanentError, "does not let edgesync's user check tokens"),
        (401, PermanentError, "does not let edgesync's user check tokens"),
        (503, UnreachableError, "answered HTTP 503"),
    ],
)
async def test_what_keeps_tokens_from_being_checked_is_told(
    login: Login, keystone: FakeKeystone, status: int, kind: type[EdgesyncError], words: str
) -> None:
    keystone.check_status = status
    with pytest.raises(kind, match=words) as refused:
        await login().holder("somebody's")
    assert refused.value.remedy
    assert "somebody's" not in refused.value.message


async def test_a_wrong_log_in_is_not_taken_for_a_wrong_token(login: Login, keystone: FakeKeystone) -> None:
    keystone.status = 404
    with pytest.raises(PermanentError, match="answered 404"):
        await login().holder("somebody's")
