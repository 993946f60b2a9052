"""What goes on beside the daemon's turns."""

from __future__ import annotations

import asyncio

import structlog

from edgesync.daemon.service import _beside


async def test_what_breaks_off_beside_the_turns_is_told_and_they_go_on() -> None:
    async def breaking() -> None:
        raise ValueError("nobody expected that")

    with structlog.testing.capture_logs() as logs:
        async with _beside(breaking()):
            await asyncio.sleep(0.01)
    (told,) = logs
    assert told["log_level"] == "error"
    assert isinstance(told["exc_info"], ValueError)
