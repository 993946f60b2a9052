"""A stream of bytes on its way to Glance, watched for progress instead of for its whole duration.

An image may take an hour over a thin line and be well; one that has not moved for a minute is not. Nothing is kept in
memory but the chunk that is being sent: the next one is asked for when the network has taken it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

Sleep = Callable[[float], Awaitable[None]]

# Seconds in which Glance can refuse an upload and be heard.
HESITATION = 1.0


class Stage(StrEnum):
    """What is being waited for; the end of a sentence."""

    SOURCE = "nothing came from the sender"
    GLANCE = "Glance took nothing"
    ANSWER = "Glance had everything and did not answer"


class Upload:
    """One stream. `deadline` is in seconds without any progress.

    A server that refuses an upload without having read it closes the connection, and the refusal is lost if more data
    are on their way by then (tried). So the first byte goes alone, and the rest hesitates.
    """

    def __init__(self, data: AsyncIterable[bytes], *, deadline: float, sleep: Sleep) -> None:
        self._data = data
        self._deadline = deadline
        self._sleep = sleep
        self._limit: asyncio.Timeout | None = None
        self._waits_for = Stage.SOURCE
        # Bytes that the network has taken.
        self.sent = 0
        # What the source raised.
        self.failure: Exception | None = None

    @property
    def stalled(self) -> str:
        """What to say when the deadline passed."""
        return f"For {self._deadline:g} seconds {self._waits_for}, after {self.sent} bytes."

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """TimeoutError as soon as there is no progress for too long."""
        try:
            async with asyncio.timeout(self._deadline) as self._limit:
                yield
        finally:
            self._limit = None

    async def body(self) -> AsyncIterator[bytes]:
        """The chunks, for the HTTP library."""
        try:
            async for chunk in self._pieces():
                self._moved(Stage.GLANCE)
                yield chunk
                self.sent += len(chunk)
                self._moved(Stage.SOURCE)
        except Exception as error:
            # The HTTP library turns it into a broken connection, and we would blame Glance for it.
            self.failure = error
            raise
        self._moved(Stage.ANSWER)

    async def _pieces(self) -> AsyncIterator[bytes]:
        hesitates = True
        async for chunk in self._data:
            if hesitates and len(chunk) > 1:
                yield chunk[:1]
                await self._sleep(HESITATION)
                yield chunk[1:]
            else:
                yield chunk
            hesitates = False

    def _moved(self, waits_for: Stage) -> None:
        self._waits_for = waits_for
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._deadline)
