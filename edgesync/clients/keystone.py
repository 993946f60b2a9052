"""Authentication as every OpenStack client does it: clouds.yaml or OS_* variables, through openstacksdk.

keystoneauth blocks, so it runs in a thread of its own, one log-in at a time: whoever else needs a token meanwhile
waits for that one. While a token is good, nobody needs the thread.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Literal, TypeVar

from edgesync.clients.login import Access, Holder, Login
from edgesync.domain.checkup import Identity
from edgesync.errors import UnreachableError

T = TypeVar("T")
# Result (ok, refused, unreachable), seconds: told of every log-in.
OnLogin = Callable[[str, float], None]


def _untold(_result: str, _seconds: float) -> None:
    """Nobody counts."""


class OpenStackAuth:
    """Satisfies `edgesync.clients.auth.Auth` for the image service.

    `cloud` is the name of an entry in clouds.yaml; None: OS_CLOUD, or OS_AUTH_URL and its like. `config_files`
    replaces the places where clouds.yaml is looked for, `region` the region that it names.
    """

    def __init__(
        self,
        *,
        cloud: str | None = None,
        config_files: Sequence[str] | None = None,
        region: str | None = None,
        load_envvars: bool = True,
        deadline: float = 30.0,
        api_timeout: float = 10.0,
        on_login: OnLogin = _untold,
    ) -> None:
        self._on_login = on_login
        self._login = Login(
            cloud=cloud, config_files=config_files, region=region, load_envvars=load_envvars, api_timeout=api_timeout
        )
        self._deadline = deadline
        self._lock = asyncio.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keystone")
        self._access: Access | None = None
        self._stale = False

    async def headers(self) -> dict[str, str]:
        return dict((await self._current()).headers)

    async def endpoint(self) -> str:
        return (await self._current()).endpoint

    async def identity(self) -> Identity | None:
        """Whom Keystone takes us for; None for auth types without tokens."""
        return await self._in_thread(self._login.identity)

    async def holder(self, token: str) -> Holder | None:
        """Whose token that is; None: Keystone knows no such token (any more)."""
        return await self._in_thread(lambda: self._login.holder(token))

    async def keystone(self) -> str:
        """Keystone's address, as configured."""
        return await self._in_thread(self._login.keystone)

    async def tls(self) -> ssl.SSLContext | Literal[False]:
        return await self._in_thread(self._login.tls)

    async def invalidate(self) -> None:
        """Log in anew before the next request."""
        self._stale = True

    async def close(self) -> None:
        """End the thread and close its connections; one that hangs ends at its own time-out."""
        self._pool.submit(self._login.close)
        self._pool.shutdown(wait=False)

    async def _current(self) -> Access:
        if self._usable is None:
            async with self._lock:
                if self._usable is None:
                    self._access = await self._log_in(renew=self._stale)
                    self._stale = False
        if self._access is None:
            raise RuntimeError("a log-in ended without a token and without an error")
        return self._access

    async def _log_in(self, *, renew: bool) -> Access:
        began = time.monotonic()
        result = "refused"
        try:
            access = await self._in_thread(lambda: self._login.access(renew=renew))
            result = "ok"
        except UnreachableError:
            result = "unreachable"
            raise
        finally:
            self._on_login(result, time.monotonic() - began)
        return access

    @property
    def _usable(self) -> Access | None:
        access = self._access
        if access is None or self._stale:
            return None
        ending = access.renew_at is not None and access.renew_at <= datetime.now(UTC)
        return None if ending else access

    async def _in_thread(self, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.wait_for(future, self._deadline)
        except TimeoutError as error:
            raise UnreachableError(
                f"Keystone did not answer within {self._deadline:g} seconds.",
                remedy="Check that Keystone's address (auth_url) can be reached from here.",
                sent=False,
            ) from error
