"""Credentials for tests: who holds which token is said outright."""

from __future__ import annotations

from collections.abc import Mapping

from edgesync.clients.token_file import LOCAL
from edgesync.domain.access import Caller, Role
from edgesync.expose.access import Access

LOCAL_TOKEN, OPERATOR_TOKEN, VIEWER_TOKEN = "local" * 8, "operator" * 8, "viewer" * 8
CALLERS = {
    LOCAL_TOKEN: LOCAL,
    OPERATOR_TOKEN: Caller(name="olga", role=Role.OPERATOR),
    VIEWER_TOKEN: Caller(name="vera", role=Role.VIEWER),
}


class Known:
    """Satisfies `edgesync.domain.access.Credentials`."""

    def __init__(self, callers: Mapping[str, Caller] | None = None) -> None:
        self.callers = dict(CALLERS if callers is None else callers)
        self.asked: list[str] = []

    async def caller(self, token: str) -> Caller | None:
        self.asked.append(token)
        return self.callers.get(token)


def known_access(*, reading_is_open: bool = True) -> Access:
    return Access(files=[Known()], reading_is_open=reading_is_open)


def shown(token: str = LOCAL_TOKEN) -> dict[str, str]:
    """The header with it; by default what commands on the daemon's host show."""
    return {"Authorization": f"Bearer {token}"}
