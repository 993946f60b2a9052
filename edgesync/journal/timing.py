"""How long transactions take, how long they wait before they begin, and which of them the database fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgesync.errors import ConflictError, NotFoundError, RequestError

# Kind (read, write), seconds before it began, seconds in all, whether the database failed it.
OnTransaction = Callable[[str, float, float, bool], None]


def untold(_kind: str, _waited: float, _seconds: float, _failed: bool) -> None:
    """Nobody counts."""


@contextmanager
def timed(kind: str, on_transaction: OnTransaction) -> Iterator[Callable[[], None]]:
    """Tell of the transaction inside, which calls what it is given once it has begun."""
    started = time.monotonic()
    began: list[float] = []
    failed = True
    try:
        yield lambda: began.append(time.monotonic())
        failed = False
    except (ConflictError, NotFoundError, RequestError):
        # An answer, and no trouble of the database's.
        failed = False
        raise
    finally:
        ended = time.monotonic()
        on_transaction(kind, (began[0] if began else ended) - started, ended - started, failed)
