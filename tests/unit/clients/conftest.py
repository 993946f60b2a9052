"""A fake Glance in virtual time, and a client whose waiting costs none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from edgesync.clients.glance import GlanceClient
from tests.fakes.glance import FakeGlance, VirtualClock


class Watched:
    """A client, what it told its observer, and how long it waited."""

    def __init__(
        self,
        fake: FakeGlance,
        *tokens: str,
        deadline: float = 5.0,
        stage_deadline: float = 5.0,
        page_size: int = 1000,
    ) -> None:
        self.auth = fake.auth(*tokens)
        self.seen: list[tuple[str, str]] = []
        self.waited: list[float] = []
        self.clock = fake.clock
        self.glance = GlanceClient(
            self.auth,
            deadline=deadline,
            stage_deadline=stage_deadline,
            page_size=page_size,
            on_request=self._note,
            sleep=self._sleep,
        )

    def _note(self, operation: str, status: str, seconds: float) -> None:
        assert seconds >= 0
        self.seen.append((operation, status))

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        await self.clock.sleep(seconds)


@pytest.fixture
async def fake() -> AsyncIterator[FakeGlance]:
    async with FakeGlance(clock=VirtualClock()) as glance:
        yield glance


@pytest.fixture
async def watched(fake: FakeGlance) -> AsyncIterator[Watched]:
    watched = Watched(fake)
    yield watched
    await watched.glance.close()


@pytest.fixture(autouse=True)
async def no_task_survives() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    assert not left
