"""Authentication for tests: a fixed endpoint, tokens that never cost a round trip."""

from __future__ import annotations

from typing import Literal


class FixedAuth:
    """Satisfies the client's `Auth`. `invalidate` moves on to the next token, as a new log-in would."""

    def __init__(self, endpoint: str, *tokens: str) -> None:
        self._endpoint = endpoint
        self._tokens = list(tokens) or ["token"]
        self.logins = 1

    async def headers(self) -> dict[str, str]:
        return {"X-Auth-Token": self._tokens[0]}

    async def endpoint(self) -> str:
        return self._endpoint

    async def tls(self) -> Literal[False]:
        return False

    async def invalidate(self) -> None:
        self.logins += 1
        if len(self._tokens) > 1:
            self._tokens.pop(0)
