"""What a client needs of an authentication."""

from __future__ import annotations

import ssl
from typing import Literal, Protocol


class Auth(Protocol):
    """Headers and address for requests to one service."""

    async def headers(self) -> dict[str, str]:
        """Return headers with a token that is still good for a while."""
        ...

    async def endpoint(self) -> str:
        """Return the service's URL from the catalog."""
        ...

    async def tls(self) -> ssl.SSLContext | Literal[False]:
        """Return how to verify the service's certificate; False: not at all."""
        ...

    async def invalidate(self) -> None:
        """Forget the token: the service refused it."""
        ...
