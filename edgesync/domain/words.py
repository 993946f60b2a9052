"""Lists and numbers in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence

# Things that are named before they are only counted.
NAMED = 3


def some_of(names: Sequence[str], number: int | None = None, *, between: str = ", ", most: int = NAMED) -> str:
    """The first few of `number` things, or of all that are given, and how many more there are."""
    more = (len(names) if number is None else number) - most
    return between.join(names[:most]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, one: str, many: str = "") -> str:
    """`many` where it is not formed with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"
