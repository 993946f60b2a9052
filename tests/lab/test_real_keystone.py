"""The contract of Keystone's tokens, against the lab's Keystone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from keystoneauth1.session import Session

from deploy.lab import api
from deploy.lab.layout import Lab
from edgesync.clients.keystone import OpenStackAuth
from tests.contract.keystone.suite import KeystoneContract


class RealDriver:
    """The lab's users."""

    def __init__(self, lab: Lab, auth: OpenStackAuth) -> None:
        self._lab = lab
        self._auth = auth

    @property
    def auth(self) -> OpenStackAuth:
        return self._auth

    async def token(self, user: str) -> str:
        def log_in(session: Session) -> str:
            return str(session.get_token())

        with api.login(self._lab, user) as session:
            return await asyncio.to_thread(log_in, session)

    async def revoke(self, token: str) -> None:
        with api.login(self._lab) as session:
            url = f"{self._lab.keystone_url}/auth/tokens"
            await asyncio.to_thread(session.delete, url, headers={"X-Subject-Token": token})

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
async def driver(lab: Lab) -> AsyncIterator[RealDriver]:
    auth = OpenStackAuth(cloud="edgesync", config_files=[str(lab.clouds_file)], load_envvars=False)
    yield RealDriver(lab, auth)
    await auth.close()


class TestRealKeystone(KeystoneContract):
    pass
