"""Windows as people write them: `mon-fri 22:00-06:00`, `sat-sun`, `22:00-06:00`; and the time zones they are in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, time, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from edgesync.config.wording import did_you_mean, found, nearest, quoted
from edgesync.domain.window import Window

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAILY = "daily"

_MIDNIGHT = "24:00"
_WINDOW = re.compile(
    r"(?P<days>[a-z][a-z, -]{0,60}?)?(?: *\b(?P<start>[0-9]{1,2}:[0-9]{2}) ?- ?(?P<end>[0-9]{1,2}:[0-9]{2}))?",
    re.IGNORECASE,
)


def parse_window(value: object) -> Window:
    """ValueError says what was expected."""
    if isinstance(value, Window):
        return value
    written = _WINDOW.fullmatch(value) if isinstance(value, str) and value else None
    if written is None:
        raise ValueError(
            f'expected a window like "mon-fri 22:00-06:00", "sat-sun" or "22:00-06:00"; found {found(value)}'
        )
    days = frozenset(_days(written["days"] or DAILY))
    if written["start"] is None:
        return Window(days=days)
    start, end = _clock(written["start"]), _clock(written["end"].replace(_MIDNIGHT, "00:00"))
    if start == end and written["end"] != _MIDNIGHT:
        raise ValueError(f"{quoted(written[0])} begins and ends at the same time; for whole days write the days alone")
    return Window(days=days, start=start, end=end)


def format_window(window: Window) -> str:
    """The shortest spelling that `parse_window` reads back."""
    days = DAILY if len(window.days) == len(DAYS) else ",".join(_spans(window.days))
    if window.start == window.end == time(0):
        return days
    end = f"{window.end:%H:%M}" if window.end != time(0) else _MIDNIGHT
    return f"{days} {window.start:%H:%M}-{end}"


def find_zone(name: str) -> tzinfo:
    """The time zone of that name; ValueError with names like it."""
    # The library's own UTC, so that a host without time zone data has it.
    if name == "UTC":
        return UTC
    known = _zone_names()
    if not known:
        raise ValueError("this host has no time zone data; install the package tzdata")
    if name not in known:
        raise ValueError(f"unknown time zone {quoted(name)}{_near(name, known) or '; expected one like Europe/Madrid'}")
    return ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    """It takes some milliseconds: every file is looked at."""
    return frozenset(available_timezones())


def _days(written: str) -> Iterator[int]:
    if written.strip().lower() == DAILY:
        yield from range(len(DAYS))
        return
    for part in written.lower().split(","):
        first, dash, last = part.partition("-")
        start, end = _day(first), _day(last if dash else first)
        # Over the end of the week, too: fri-mon.
        yield from ((start + offset) % len(DAYS) for offset in range((end - start) % len(DAYS) + 1))


def _day(written: str) -> int:
    word = written.strip()
    if word not in DAYS:
        raise ValueError(f"unknown day {quoted(word)}; write {', '.join(DAYS)}, or {DAILY}")
    return DAYS.index(word)


def _clock(written: str) -> time:
    hour, minute = map(int, written.split(":"))
    if hour > 23 or minute > 59:
        raise ValueError(f"{quoted(written)} is no time of day; write 00:00 to 23:59, or 24:00 for an end at midnight")
    return time(hour, minute)


def _spans(days: Iterable[int]) -> Iterator[str]:
    """Days that follow each other in the week become one: `mon,wed-fri`."""
    left = sorted(days)
    while left:
        length = next((index for index, day in enumerate(left) if day != left[0] + index), len(left))
        span, left = left[:length], left[length:]
        yield DAYS[span[0]] if length == 1 else f"{DAYS[span[0]]}-{DAYS[span[-1]]}"


def _near(name: str, known: Iterable[str]) -> str:
    """People write the city alone, or a space instead of an underscore."""
    city = name.rpartition("/")[2].replace(" ", "_").lower()
    same = sorted(zone for zone in known if zone.rpartition("/")[2].lower() == city)
    return did_you_mean(same[:3]) or nearest(name, known, most=3)
