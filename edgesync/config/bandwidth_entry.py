"""How a line's bandwidth may be written, a rate or a timetable of them, and the domain's record of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from edgesync.config.expectations import WindowList, ZoneName
from edgesync.config.quantities import Rate
from edgesync.config.section import Section
from edgesync.config.windows import find_zone
from edgesync.domain.bandwidth import Bandwidth, TimedRate


class RateEntry(Section):
    rate: Rate = Field(description="how much may be sent then, like `rate: 50 Mbit/s`")
    # None: whenever no other entry holds.
    windows: WindowList | None = None


def _one_or_many(value: object) -> object:
    """A rate alone is a timetable of one entry."""
    if value == []:
        raise ValueError("the timetable is empty; write at least one entry, or remove the key")
    return value if isinstance(value, list | dict) else [{"rate": value}]


def _one_otherwise(entries: list[RateEntry]) -> list[RateEntry]:
    if sum(entry.windows is None for entry in entries) > 1:
        raise ValueError("several entries have no windows; only one can hold whenever no other does")
    return entries


Timetable: TypeAlias = Annotated[list[RateEntry], BeforeValidator(_one_or_many), AfterValidator(_one_otherwise)]


class UplinkEntry(Section):
    # None: no limit.
    bandwidth: Timetable | None = None
    timezone: ZoneName = "UTC"

    def to_domain(self) -> Bandwidth:
        return to_bandwidth(self.bandwidth, self.timezone)


def to_bandwidth(entries: Sequence[RateEntry] | None, zone: str) -> Bandwidth:
    """Without a limit, the zone does not matter."""
    if not entries:
        return Bandwidth()
    # What holds otherwise comes last, wherever it was written.
    ordered = sorted(entries, key=lambda entry: entry.windows is None)
    rates = (TimedRate(rate=entry.rate, windows=tuple(entry.windows or ())) for entry in ordered)
    return Bandwidth(rates=tuple(rates), zone=find_zone(zone))
