"""Keystone's users as callers: their tokens are checked with the real Keystone, their roles mapped to ours.

What Keystone said of a token counts for a while, so that a status page does not ask it with every request; a token that
was revoked, or whose owner lost a role, is found out within that time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from edgesync.clients.login import Holder
from edgesync.clients.token_file import digest
from edgesync.domain.access import Caller, Role
from edgesync.errors import TransientError

# Tokens whose owner is remembered, and questions that wait for an answer at the same time.
REMEMBERED, WAITING = 1000, 16
# Characters of a token; Keystone's have some hundred.
LONGEST = 4096


class Checks(Protocol):
    """Asks Keystone; `edgesync.clients.keystone.OpenStackAuth` does."""

    async def holder(self, token: str) -> Holder | None:
        """Whose it is; None: it is none, has expired or was revoked."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleMap:
    """Which of Keystone's users may do what."""

    operators: Collection[str] = ()
    viewers: Collection[str] = ()
    # Names or ids; None: any.
    projects: Collection[str] | None = None

    def role(self, holder: Holder) -> Role | None:
        if self.projects is not None and not {holder.project, holder.project_id} & set(self.projects):
            return None
        if holder.roles & set(self.operators):
            return Role.OPERATOR
        return Role.VIEWER if holder.roles & set(self.viewers) else None


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller | None
    until: float


class KeystoneTokens:
    """Implements `edgesync.domain.access.RemoteCredentials`. `cache` is in seconds."""

    def __init__(
        self, checks: Checks, roles: RoleMap, *, cache: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._checks = checks
        self._roles = roles
        self._cache = cache
        self._monotonic = monotonic
        # By the token's digest: the tokens themselves are not kept. The oldest answer comes first.
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}

    def remembered(self, token: str) -> Caller | None:
        known = self._fresh(digest(token))
        return known.caller if known else None

    async def caller(self, token: str) -> Caller | None:
        if len(token) > LONGEST:
            return None
        key = digest(token)
        if known := self._fresh(key):
            return known.caller
        asking = self._asking.get(key)
        if asking is None:
            if len(self._asking) >= WAITING:
                raise TransientError(
                    "too many tokens wait for Keystone to say whose they are", remedy="try again in a moment"
                )
            asking = self._asking[key] = asyncio.create_task(self._ask(key, token))
            asking.add_done_callback(lambda done: self._answered(key, done))
        # Others may wait for the same answer: who gives up takes it from nobody.
        return await asyncio.shield(asking)

    def _fresh(self, key: bytes) -> _Known | None:
        known = self._known.get(key)
        return known if known is not None and known.until > self._monotonic() else None

    def _answered(self, key: bytes, asking: asyncio.Task[Caller | None]) -> None:
        del self._asking[key]
        if not asking.cancelled():
            # Nobody may be left who waits for it, and hears of its error.
            asking.exception()

    async def _ask(self, key: bytes, token: str) -> Caller | None:
        asked_at = self._monotonic()
        caller = self._named(await self._checks.holder(token))
        self._known.pop(key, None)
        while len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = _Known(caller, asked_at + self._cache)
        return caller

    def _named(self, holder: Holder | None) -> Caller | None:
        role = self._roles.role(holder) if holder is not None else None
        if holder is None or role is None:
            return None
        return Caller(name=f"{holder.user}@{holder.domain}", role=role)
