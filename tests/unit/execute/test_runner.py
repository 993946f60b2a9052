"""Attempts run as tasks, each with the engine for its work."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from edgesync.domain.job import Attempt, Engine, Work
from edgesync.errors import EdgesyncError, PermanentError, TransientError
from edgesync.execute import runner as runner_module
from edgesync.execute.runner import HandedOver, Runner
from tests.builders import NOW, image
from tests.unit.execute.doubles import HandClock, work_on


class Notebook:
    """An engine that notes what it is asked for, and waits until it may go on."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Work]] = []
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def begin(self, attempt: Attempt) -> None:
        await self._note("begin", attempt)

    async def follow(self, attempt: Attempt) -> None:
        await self._note("follow", attempt)

    async def _note(self, how: str, attempt: Attempt) -> None:
        self.asked.append((how, attempt.work))
        if self.error is not None:
            raise self.error
        await self.go_on.wait()


class Stubborn(Notebook):
    """Does not stop when it is told to."""

    async def _note(self, how: str, attempt: Attempt) -> None:
        self.asked.append((how, attempt.work))
        while not self.go_on.is_set():
            with suppress(asyncio.CancelledError):
                await self.go_on.wait()


async def nobody_minds(*_: object) -> None:
    """Who is told of what is stuck."""


def running(engine: Notebook, clock: HandClock | None = None) -> tuple[Runner, list[None]]:
    ends: list[None] = []
    return Runner(lambda _: engine, clock or HandClock(), on_end=lambda: ends.append(None), on_stuck=nobody_minds), ends


def each(number: int, work: Work = Work.COPY) -> Attempt:
    return work_on(image(str(number)), work, "dcn0", id=f"attempt-{number}")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_each_attempt_goes_to_the_engine_of_its_work() -> None:
    engines = {work: Notebook() for work in Work}
    runner = Runner(lambda attempt: engines[attempt.work], HandClock(), on_end=lambda: None, on_stuck=nobody_minds)
    for number, work in enumerate(Work):
        (runner.begin if number % 2 else runner.follow)(each(number, work))
    await settle()
    assert all(engine.asked[0][1] is work for work, engine in engines.items())
    await runner.stop()


async def test_what_runs_counts_as_followed_until_it_ends() -> None:
    engine = Notebook()
    runner, ends = running(engine)
    one = each(1)
    runner.begin(one)
    await settle()
    assert runner.images == {one.image}
    engine.go_on.set()
    await settle()
    assert (runner.images, ends) == (frozenset(), [None])


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "1 copy of edgesync's own is gone on with at the next start, and nothing is sent twice"),
        (2, "2 copies of edgesync's own are gone on with at the next start, and nothing is sent twice"),
    ],
)
async def test_what_edgesync_copies_itself_does_not_go_on_in_glance(number: int, said: str) -> None:
    runner, _ = running(Notebook())
    for each_of in range(number):
        runner.begin(replace(each(each_of), engine=Engine.RBD))
    await settle()
    left = await runner.stop()
    assert (left, left.sentence) == (HandedOver(copies=number), said)


async def test_a_file_that_is_being_received_counts_as_followed() -> None:
    runner, ends = running(Notebook())
    one = each(1, Work.IMPORT)
    with runner.holding(one.image):
        assert runner.images == {one.image}
    assert (runner.images, ends) == (frozenset(), [None])


async def test_what_was_held_can_be_followed_without_a_gap() -> None:
    runner, _ = running(Notebook())
    one = each(1, Work.IMPORT)
    with runner.holding(one.image):
        pass
    runner.follow(one)
    assert runner.images == {one.image}
    await runner.stop()


@pytest.mark.parametrize(
    ("error", "rests"),
    [(TransientError("busy"), [30, 30, 30, 30]), (PermanentError("no"), [30, 60, 120, 120]), (ValueError("bug"), [30])],
)
async def test_an_attempt_that_broke_off_rests_before_it_is_taken_up_again(error: Exception, rests: list[int]) -> None:
    engine, clock = Notebook(), HandClock()
    engine.error = error
    runner, _ = running(engine, clock)
    waited = []
    for _ in rests:
        before = clock.now()
        runner.follow(each(1))
        await settle()
        waited.append((clock.now() - before).total_seconds())
    assert waited == rests
    assert clock.now() > NOW


async def test_stopping_says_what_is_left_by_kind() -> None:
    runner, _ = running(Notebook())
    for number, work in enumerate((Work.COPY, Work.COPY, Work.IMPORT, Work.REMOVE)):
        runner.begin(each(number, work))
    await settle()
    left = await runner.stop()
    assert left == HandedOver(imports=3, others=1)
    assert left.sentence == (
        "3 imports go on in Glance, to be followed at the next start; "
        "1 removal or repair is taken up again at the next start"
    )
    await settle()
    assert runner.images == frozenset()


async def test_a_file_that_is_being_received_is_broken_off_by_a_stop() -> None:
    runner, _ = running(Notebook())

    async def receive() -> None:
        with runner.holding(each(1, Work.IMPORT).image):
            await asyncio.Event().wait()

    receiving = asyncio.create_task(receive())
    await settle()
    left = await runner.stop()
    assert receiving.cancelled()
    assert left == HandedOver(files=1)
    assert left.sentence == "1 file that was coming in is to be sent again"


async def test_nothing_left_is_nothing_to_say() -> None:
    runner, _ = running(Notebook())
    assert (await runner.stop()).sentence == ""


async def test_a_task_that_does_not_stop_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "FAREWELL", 0.01)
    engine = Stubborn()
    runner, _ = running(engine)
    runner.begin(each(1))
    await settle()
    assert await runner.stop() == HandedOver(imports=1)
    engine.go_on.set()
    await settle()
    assert runner.images == frozenset()


async def test_what_is_tried_in_vain_again_and_again_is_told_once_in_a_while() -> None:
    engine, told = Notebook(), list[str]()
    engine.error = TransientError("HTTP 500")

    async def stuck(attempt: Attempt, error: EdgesyncError) -> None:
        told.append(f"{attempt.id}: {error.message}")

    runner = Runner(lambda _: engine, HandClock(), on_end=lambda: None, on_stuck=stuck)
    for _ in range(2 * runner_module.TRIES - 1):
        runner.follow(each(1, Work.REMOVE))
        await settle()
    assert runner.images == frozenset()
    assert told == ["attempt-1: HTTP 500"]
