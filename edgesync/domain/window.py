"""When copies may start: weekly times of day in a site's own time zone.

Every question is answered from the wall clock at that site at a given instant. Each instant has exactly one wall-clock
time, so the two nights of a year with a changed clock need no rule of their own: an hour that comes twice is inside
(or outside) twice, one that is skipped is never.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

DAY = timedelta(days=1)
# A week of windows and a day: after that, everything has come round.
HORIZON = 8


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
        if self.end > self.start:
            return local.weekday() in self.days and self.start <= clock < self.end
        before = (local.weekday() - 1) % 7
        return (local.weekday() in self.days and clock >= self.start) or (before in self.days and clock < self.end)


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """The windows of one store. Without any, it is always open."""

    windows: tuple[Window, ...] = ()
    zone: tzinfo = UTC

    def open_at(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        return not self.windows or any(window.contains(local) for window in self.windows)

    def next_change(self, now: datetime) -> datetime | None:
        """The first instant after `now` at which it opens or closes; None when it never does."""
        # Arithmetic in a zone would be that of the wall clock.
        now = now.astimezone(UTC)
        state = self.open_at(now)
        for edge in self._edges(now):
            if edge > now and self.open_at(edge) is not state:
                return edge
        return None

    def _edges(self, now: datetime) -> list[datetime]:
        """Every instant of the coming week at which the answer may change, in order: starts, ends, clock changes."""
        first = now.astimezone(self.zone).date() - DAY
        edges = set()
        for offset in range(HORIZON + 1):
            day = first + offset * DAY
            for clock in {edge for window in self.windows for edge in (window.start, window.end)}:
                for fold in (0, 1):
                    edges.add(datetime.combine(day, clock.replace(fold=fold), self.zone).astimezone(UTC))
        return sorted(edges | self._clock_changes(now))

    def _clock_changes(self, now: datetime) -> set[datetime]:
        """The instants of the coming week at which the site's clock is put forward or back."""
        found = set()
        for hours in range(24 * HORIZON):
            low, high = now + timedelta(hours=hours), now + timedelta(hours=hours + 1)
            before = low.astimezone(self.zone).utcoffset()
            if before == high.astimezone(self.zone).utcoffset():
                continue
            while high - low > timedelta(microseconds=1):
                middle = low + (high - low) / 2
                if middle.astimezone(self.zone).utcoffset() == before:
                    low = middle
                else:
                    high = middle
            found.add(high.astimezone(UTC).replace(microsecond=0) if high.microsecond < 2 else high.astimezone(UTC))
        return found
