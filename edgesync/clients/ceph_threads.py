"""Threads for the blocking calls to one store's cluster: few, so that a dead site can't pile up hung calls.

Not a ThreadPoolExecutor, whose threads the interpreter waits for when it ends: librbd has calls that Ceph's own
time-outs don't end (tried: a snapshot with the OSD killed). These are daemon threads, and nobody waits for one longer
than its call's deadline.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class NoThreadError(Exception):
    """The call was never begun: every thread is taken by others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """One under way."""

    # When it was to have ended, by the loop's time.
    due: float
    # Names of what it changes.
    on: tuple[str, ...]
    # Done when its thread is.
    ended: asyncio.Future[None]


class Threads:
    """At most `limit` calls at a time; more wait for their turn, inside their own deadline."""

    def __init__(self, name: str, *, limit: int) -> None:
        self._name = name
        self.limit = limit
        self._slots = asyncio.Semaphore(limit)
        # By what their callers wait for.
        self._calls: dict[asyncio.Future[Any], _Call] = {}

    @property
    def busy(self) -> int:
        """Calls under way, those that are stuck among them."""
        return len(self._calls)

    @property
    def stuck(self) -> int:
        """Calls past their deadline whose thread still waits."""
        now = asyncio.get_running_loop().time()
        return sum(call.due <= now for call in self._calls.values())

    async def run(self, work: Callable[[], T], *, deadline: float, on: tuple[str, ...] = ()) -> T:
        """Do it in a thread; NoThreadError when none is free, at once if all are stuck.

        TimeoutError after `deadline` seconds: the thread goes on until Ceph ends the call, and counts until then. So it
        does when the caller is cancelled. `on`: the names of what it changes.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + deadline
        if self.stuck >= self.limit:
            raise NoThreadError
        try:
            async with asyncio.timeout_at(due):
                await self._slots.acquire()
        except TimeoutError as error:
            raise NoThreadError from error
        answer: asyncio.Future[T] = loop.create_future()
        self._calls[answer] = _Call(due=due, on=on, ended=loop.create_future())
        thread = threading.Thread(target=self._work, args=(work, answer, loop), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The system gives no more threads just now.
            self._end(answer, lambda: None)
            raise NoThreadError from error
        async with asyncio.timeout_at(due):
            return await answer

    async def settle(self, name: str, *, deadline: float) -> None:
        """Return when nothing changes what has that name any more, or after `deadline` seconds."""
        if under_way := [call.ended for call in self._calls.values() if name in call.on]:
            await asyncio.wait(under_way, timeout=deadline)

    def _work(self, work: Callable[[], T], answer: asyncio.Future[T], loop: asyncio.AbstractEventLoop) -> None:
        """In the thread. Whatever happens belongs to the caller, so everything is carried over."""
        settle: Callable[[], None]
        try:
            settle = partial(answer.set_result, work())
        except BaseException as error:  # noqa: BLE001
            settle = partial(answer.set_exception, error)
        # Once the loop has ended, nobody waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._end, answer, settle)

    def _end(self, answer: asyncio.Future[Any], settle: Callable[[], None]) -> None:
        self._calls.pop(answer).ended.set_result(None)
        self._slots.release()
        if not answer.done():
            settle()
