"""Figures for people: the same words on the page and in the commands' tables."""

from __future__ import annotations

# Seconds.
MINUTE, HOUR, DAY = 60, 3600, 86400


def size(number: float | None) -> str:
    """Bytes for people, in binary units."""
    if number is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError("unreachable")


def seconds(number: float | None) -> str:
    """A duration for people."""
    if number is None:
        return "-"
    minutes, rest = divmod(round(number), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def in_words(number: float) -> str:
    """How long something lasts, in the largest unit that fits: 40 s, 12 min, 3 h, 9 days."""
    if number < MINUTE:
        return f"{number:.0f} s"
    if number < HOUR:
        return f"{number // MINUTE:.0f} min"
    if number < 2 * DAY:
        return f"{number // HOUR:.0f} h"
    return f"{number // DAY:.0f} days"
