"""What a number with a unit may be: durations, sizes, rates, shares. They are shown as people write them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo

from edgesync.config.units import (
    format_duration,
    format_rate,
    format_share,
    format_size,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
)
from edgesync.config.wording import found

OFF = "off"
# A slower line would not bring an image within a week; a faster one needs no limit.
SLOWEST, FASTEST = "100 kbit/s", "1000 Gbit/s"


def lasting(low: str, high: str) -> BeforeValidator:
    """A duration within bounds, in seconds afterwards."""
    shortest, longest = parse_duration(low), parse_duration(high)

    def check(value: object) -> float:
        seconds = parse_duration(value)
        if not shortest <= seconds <= longest:
            shown = format_duration(seconds) if 0 < seconds <= longest * 1000 else found(value)
            raise ValueError(f"expected a duration from {low} to {high}, found {shown}")
        return seconds

    return BeforeValidator(check)


def off_or_lasting(low: str, high: str) -> BeforeValidator:
    """A duration within bounds, in seconds afterwards; `off`, which YAML reads as false, becomes None."""
    shortest, longest = parse_duration(low), parse_duration(high)

    def check(value: object) -> float | None:
        if value is False or value == OFF:
            return None
        try:
            seconds = parse_duration(value)
        except ValueError:
            seconds = 0.0
        if not shortest <= seconds <= longest:
            raise ValueError(f"expected a duration from {low} to {high}, or off; found {found(value)}")
        return seconds

    return BeforeValidator(check)


def not_below_first(section: str) -> AfterValidator:
    """For the ceiling of delays that grow from `first`, a field of the same section before it."""

    def check(ceiling: float, info: ValidationInfo) -> float:
        first = info.data.get("first", 0)
        if ceiling < first:
            raise ValueError(
                f"the ceiling, {format_duration(ceiling)}, is shorter than the first delay, {format_duration(first)}; "
                f"raise {section}.ceiling or lower {section}.first"
            )
        return ceiling

    return AfterValidator(check)


def sized(low: str, high: str) -> BeforeValidator:
    """A size within bounds, in bytes afterwards."""
    smallest, largest = parse_size(low), parse_size(high)

    def check(value: object) -> int:
        size = parse_size(value)
        if not smallest <= size <= largest:
            raise ValueError(f"expected a size from {low} to {high}, found {format_size(size)}")
        return size

    return BeforeValidator(check)


def _flowing(value: object) -> float:
    rate = parse_rate(value)
    if not parse_rate(SLOWEST) <= rate <= parse_rate(FASTEST):
        raise ValueError(f"expected a rate from {SLOWEST} to {FASTEST}, found {found(value)}")
    return rate


def _format_or_off(seconds: float | None) -> str:
    return OFF if seconds is None else format_duration(seconds)


Seconds: TypeAlias = Annotated[float, PlainSerializer(format_duration)]
# None: off.
SecondsOrOff: TypeAlias = Annotated[float | None, PlainSerializer(_format_or_off)]
Share: TypeAlias = Annotated[float, BeforeValidator(parse_share), PlainSerializer(format_share)]
# Bytes.
Size: TypeAlias = Annotated[int, BeforeValidator(parse_size), PlainSerializer(format_size)]
BoundedSize: TypeAlias = Annotated[int, PlainSerializer(format_size)]
# Bytes per second.
Rate: TypeAlias = Annotated[float, BeforeValidator(_flowing), PlainSerializer(format_rate)]
