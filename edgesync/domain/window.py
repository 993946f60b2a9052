"""When copies may start: weekly times of day in a site's own time zone.

Every question is answered from the wall clock at that site at a given instant. Each instant has exactly one wall-clock
time, so the two nights of a year with a changed clock need no rule of their own: an hour that comes twice is inside
(or outside) twice, one that is skipped is never.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

DAY = timedelta(days=1)
WEEK = 7 * DAY
SECOND = timedelta(seconds=1)
# After a week everything has come round, but for a window that lies in a skipped hour: that comes a week later.
HORIZON = 15 * DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """On these weekdays (0 is Monday) from `start` until before `end`.

    When `end` is not after `start`, it is on the next day; both midnight means the whole day.
    """

    days: frozenset[int]
    start: time = time(0)
    end: time = time(0)

    def contains(self, local: datetime) -> bool:
        """Whether a wall-clock time is inside."""
        clock = local.time()
        today = local.weekday() in self.days
        if self.start < self.end:
            return today and self.start <= clock < self.end
        yesterday = (local.weekday() - 1) % 7 in self.days
        return (today and clock >= self.start) or (yesterday and clock < self.end)

    def edges(self) -> Iterator[timedelta]:
        """The times of the week, from Monday 0:00, at which it begins and ends."""
        for day in self.days:
            yield day * DAY + _since_midnight(self.start)
            last = day if self.start < self.end else (day + 1) % 7
            yield last * DAY + _since_midnight(self.end)


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """The windows of one store. Without any, it is always open."""

    windows: tuple[Window, ...] = ()
    zone: tzinfo = UTC

    def open_at(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        return not self.windows or any(window.contains(local) for window in self.windows)

    def next_change(self, now: datetime) -> datetime | None:
        """The first instant after `now`, in UTC, at which it opens or closes; None when it never does."""
        if not self.windows:
            return None
        edges = sorted({edge for window in self.windows for edge in window.edges()})
        # Arithmetic in a zone would be that of the wall clock.
        moment = now.astimezone(UTC)
        end = moment + HORIZON
        state = self.open_at(moment)
        while moment < end:
            moment = self._next_moment(moment, edges)
            if self.open_at(moment) is not state:
                return moment
        return None

    def _next_moment(self, now: datetime, edges: Sequence[timedelta]) -> datetime:
        """The next instant at which the answer may differ: the clock there comes to an edge, or is changed.

        At most a day later: no place on earth changes its clock twice in a day, so one change can't hide another.
        """
        local = now.astimezone(self.zone)
        present = local.weekday() * DAY + _since_midnight(local.time())
        index = bisect_right(edges, present)
        edge = edges[index] if index < len(edges) else edges[0] + WEEK
        later = now + min(edge - present, DAY)
        return later if self._offset(now) == self._offset(later) else self._clock_change(now, later)

    def _clock_change(self, after: datetime, until: datetime) -> datetime:
        """The instant between the two at which the clock is changed. Clocks are changed at whole seconds."""
        low, high = after.replace(microsecond=0), until.replace(microsecond=0)
        while high - low > SECOND:
            middle = low + (high - low) // SECOND // 2 * SECOND
            if self._offset(middle) == self._offset(low):
                low = middle
            else:
                high = middle
        return high

    def _offset(self, instant: datetime) -> timedelta | None:
        return instant.astimezone(self.zone).utcoffset()


def _since_midnight(clock: time) -> timedelta:
    return timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
