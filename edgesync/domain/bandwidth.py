"""How much may be sent over a line, by the time of the week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from edgesync.domain.window import Window, Windows


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedRate:
    """One entry of a timetable."""

    # Bytes per second.
    rate: float
    # When it holds; empty: at any time.
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bandwidth:
    """The limit of a line. Where several entries hold at a time, the first of them counts; where none does, no limit.

    Each instant is looked up on the zone's wall clock, as windows are: so a changed clock needs no rule of its own.
    """

    rates: tuple[TimedRate, ...] = ()
    zone: tzinfo = UTC

    def rate_at(self, now: datetime) -> float | None:
        """Bytes per second; None: as fast as it goes."""
        for entry in self.rates:
            if Windows(windows=entry.windows, zone=self.zone).open_at(now):
                return entry.rate
        return None
