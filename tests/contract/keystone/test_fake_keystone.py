"""The contract of Keystone's tokens, against the fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from edgesync.clients.keystone import OpenStackAuth
from edgesync.clients.login import Holder
from tests.contract.keystone.suite import KeystoneContract
from tests.fakes.keystone import PASSWORD, FakeKeystone

pytestmark = pytest.mark.filterwarnings("ignore:Support for InfluxDB")
PROJECTS = {"admin": "admin", "member": "tenant"}


class FakeDriver:
    """People whose tokens the fake knows; its time is that of `wait` alone."""

    def __init__(self, keystone: FakeKeystone, auth: OpenStackAuth) -> None:
        self._keystone = keystone
        self._auth = auth
        self._now = 0.0

    @property
    def auth(self) -> OpenStackAuth:
        return self._auth

    async def token(self, user: str) -> str:
        token = f"of-{user}"
        project = PROJECTS[user]
        self._keystone.holders[token] = Holder(
            user=user, domain="Default", project=project, project_id=f"id-{project}", roles=frozenset({user})
        )
        return token

    async def revoke(self, token: str) -> None:
        del self._keystone.holders[token]

    async def wait(self, seconds: float) -> None:
        self._now += seconds

    def monotonic(self) -> float:
        return self._now


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[FakeDriver]:
    keystone = FakeKeystone()
    runner = await keystone.start()
    login = {
        "auth_url": keystone.url,
        "username": "edgesync",
        "password": PASSWORD,
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(yaml.safe_dump({"clouds": {"edge": {"auth": login}}}))
    auth = OpenStackAuth(cloud="edge", config_files=[str(clouds)], load_envvars=False)
    yield FakeDriver(keystone, auth)
    await auth.close()
    await runner.cleanup()


class TestFakeKeystone(KeystoneContract):
    pass
