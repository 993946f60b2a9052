"""What `doctor` asks of Keystone and Glance, and nobody else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from edgesync.clients.documents import accepted, document
from edgesync.clients.keystone import OpenStackAuth
from edgesync.clients.transport import Call, Transport, service_root
from edgesync.clients.wire import MalformedError
from edgesync.domain.checkup import Identity
from edgesync.errors import UnreachableError

# A Date header has whole seconds, rounded down.
HALF = 0.5


class Checkup:
    """Use it beside a `GlanceClient`, with the same log-in."""

    def __init__(self, auth: OpenStackAuth, *, deadline: float) -> None:
        self._auth = auth
        self._deadline = deadline
        self._transport = Transport(
            auth, deadline=deadline, attempts=2, on_request=lambda *_: None, sleep=asyncio.sleep, pause=0.5
        )

    async def close(self) -> None:
        await self._transport.close()

    async def identity(self) -> Identity | None:
        """Log in; None for a log-in without Keystone's tokens, of which nothing is known."""
        return await self._auth.identity()

    async def keystone_ahead(self) -> float | None:
        """Seconds by which Keystone's clock is ahead of ours, within a second; None when it does not tell the time."""
        return await self._ahead("Keystone", await self._auth.keystone())

    async def glance_ahead(self) -> float | None:
        """The same of Glance, or of the proxy in front of it."""
        return await self._ahead("Glance", service_root(await self._auth.endpoint()) + "/versions")

    async def shows_locations(self) -> bool | None:
        """Whether images are shown with their locations; None without any image to see it by.

        Glance's schema has them in either case (tried).
        """
        call = Call(
            operation="locations",
            what="see whether locations are shown",
            path="/v2/images",
            params={"limit": "1", "visibility": "all"},
        )
        return document(call, accepted(call, await self._transport.send(call)), _first_has_locations)

    async def _ahead(self, who: str, url: str) -> float | None:
        """By the Date of an answer to anybody: no token is needed."""
        timeout = aiohttp.ClientTimeout(total=self._deadline)
        connector = aiohttp.TCPConnector(ssl=await self._auth.tls())
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            try:
                # The second answer comes over an open connection: its way is short.
                for _ in range(2):
                    before = datetime.now(UTC)
                    async with session.get(url, allow_redirects=False) as answer:
                        told = answer.headers.get("Date", "")
                        after = datetime.now(UTC)
                        await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise UnreachableError(
                    f"{who} at {url} does not answer.", remedy=f"Check that {who} runs and can be reached from here."
                ) from error
        return _between(told, before, after)


def _between(told: str, before: datetime, after: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(told)
    except (ValueError, TypeError):
        return None
    middle = before + (after - before) / 2
    return (then.replace(tzinfo=UTC) if then.tzinfo is None else then).timestamp() + HALF - middle.timestamp()


def _first_has_locations(found: object) -> bool | None:
    images = found.get("images") if isinstance(found, dict) else None
    if not isinstance(images, list):
        raise MalformedError("images: expected a list")
    return "locations" in images[0] if images else None
