"""A file on its way in is nobody else's to take up, from before its attempt is opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from edgesync.daemon.uploads import Uploads
from edgesync.domain.job import Attempt, Work
from edgesync.execute.runner import Runner
from tests.builders import image
from tests.unit.execute.doubles import HandClock, import_job, work_on

NEW = image("rhel", stores=(), status="queued", size=None)


class Pen:
    """Opens attempts; somebody who reads the journal in between sees them before whoever opened them goes on."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.seen: list[bool] = []

    async def open(self, *_: object) -> Attempt:
        self.seen.append(NEW.id in self.runner.images)
        await asyncio.sleep(0)
        return work_on(NEW, Work.IMPORT, "central")


class Engine:
    """Takes what it is given, and follows for ever."""

    async def stage(self, _attempt: Attempt, data: AsyncIterator[bytes]) -> None:
        async for _ in data:
            pass

    async def begin(self, _attempt: Attempt) -> None:
        raise AssertionError("it has begun already")

    async def follow(self, _attempt: Attempt) -> None:
        await asyncio.Event().wait()


async def pieces() -> AsyncIterator[bytes]:
    yield b"all of it"


async def test_the_image_is_held_before_its_attempt_is_in_the_journal_and_followed_without_a_gap() -> None:
    ends: list[bool] = []
    engine = Engine()

    def ended() -> None:
        ends.append(NEW.id in runner.images)

    runner = Runner(lambda _: engine, HandClock(), on_end=ended, on_stuck=cast("Any", None))
    pen = Pen(runner)
    uploads = Uploads(recorder=cast("Any", pen), runner=runner, engine=cast("Any", engine))
    await uploads.stage(import_job(NEW, "central", uri=None), pieces())
    assert pen.seen == [True]
    assert runner.images == {NEW.id}
    await runner.stop()
