"""What edgesync expects of Keystone about tokens, of the fake one and the real one alike."""

from __future__ import annotations

from typing import Protocol

from edgesync.clients.keystone import OpenStackAuth
from edgesync.clients.keystone_tokens import KeystoneTokens, RoleMap
from edgesync.domain.access import Caller, Role

# Seconds for which its word counts in these tests.
CACHE = 1.0


class Driver(Protocol):
    """A Keystone with two users: `admin` with the role admin in the project admin, `member` with member in tenant."""

    @property
    def auth(self) -> OpenStackAuth:
        """edgesync's own log-in."""
        ...

    async def token(self, user: str) -> str: ...

    async def revoke(self, token: str) -> None: ...

    async def wait(self, seconds: float) -> None: ...

    def monotonic(self) -> float: ...


class KeystoneContract:
    async def test_a_token_is_told_whose_it_is_and_for_what(self, driver: Driver) -> None:
        holder = await driver.auth.holder(await driver.token("member"))
        assert holder is not None
        assert (holder.user, holder.domain, holder.project) == ("member", "Default", "tenant")
        assert "member" in holder.roles
        assert "admin" not in holder.roles
        assert holder.project_id

    async def test_nonsense_is_nobodys(self, driver: Driver) -> None:
        for nonsense in ("nonsense", "gAAAAA" + "x" * 200, "x" * 300):
            assert await driver.auth.holder(nonsense) is None

    async def test_roles_say_who_may_look_and_who_may_change(self, driver: Driver) -> None:
        tokens = KeystoneTokens(driver.auth, RoleMap(operators=["admin"], viewers=["member"]), cache=CACHE)
        found = [await tokens.caller(await driver.token(user)) for user in ("admin", "member")]
        assert found == [
            Caller(name="admin@Default", role=Role.OPERATOR),
            Caller(name="member@Default", role=Role.VIEWER),
        ]
        elsewhere = RoleMap(operators=["admin"], viewers=["member"], projects=["tenant"])
        tokens = KeystoneTokens(driver.auth, elsewhere, cache=CACHE)
        assert await tokens.caller(await driver.token("admin")) is None
        assert await tokens.caller(await driver.token("member")) is not None

    async def test_a_revoked_token_is_refused_within_the_cache_time(self, driver: Driver) -> None:
        tokens = KeystoneTokens(driver.auth, RoleMap(operators=["admin"]), cache=CACHE, monotonic=driver.monotonic)
        token = await driver.token("admin")
        assert await tokens.caller(token) is not None
        await driver.revoke(token)
        await driver.wait(CACHE)
        assert await tokens.caller(token) is None
