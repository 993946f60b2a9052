"""What readers were told, kept until the next write: a page that is open at ten people asks for the same ten times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")

# Answers that are kept, each of a page's rows at most: some MiB in all.
MOST = 64


class Recall:
    """Answers by question. Who asks what is being asked already shares the answer."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, asyncio.Task[Any]] = {}

    def forget(self) -> None:
        """Something was written: whatever is asked from now on, and what is being asked now, is asked anew."""
        self._answers.clear()

    async def answer(self, question: Hashable, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The kept answer, or what `ask` brings; an error is nobody's but of those who wait for it."""
        asked = self._answers.get(question)
        if asked is None:
            while len(self._answers) >= MOST:
                del self._answers[next(iter(self._answers))]
            asked = self._answers[question] = asyncio.create_task(ask())
            asked.add_done_callback(lambda ended: self._drop_failed(question, ended))
        return cast("T", await asyncio.shield(asked))

    def _drop_failed(self, question: Hashable, ended: asyncio.Task[Any]) -> None:
        failed = ended.cancelled() or ended.exception() is not None
        if failed and self._answers.get(question) is ended:
            del self._answers[question]
