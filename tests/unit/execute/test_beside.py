"""What goes on beside other work."""

from __future__ import annotations

import asyncio

import structlog

from edgesync.execute.beside import beside


async def test_what_breaks_off_beside_other_work_is_told_and_that_goes_on() -> None:
    async def breaking() -> None:
        raise ValueError("nobody expected that")

    with structlog.testing.capture_logs() as logs:
        async with beside(scrub=breaking()):
            await asyncio.sleep(0.01)
    (told,) = logs
    assert told["task"] == "scrub"
    assert told["log_level"] == "error"
    assert isinstance(told["exc_info"], ValueError)
