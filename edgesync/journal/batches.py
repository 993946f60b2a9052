"""Long lists in portions that every database takes in one statement: each has a limit on parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

BATCH = 500


def batches(things: Collection[T]) -> Iterator[Sequence[T]]:
    listed = list(things)
    for start in range(0, len(listed), BATCH):
        yield listed[start : start + BATCH]
