"""Bandwidth against brute force, on the clocks on which windows are tried: see `test_window`."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.bandwidth import Bandwidth, TimedRate
from edgesync.domain.window import Window, Windows
from tests.unit.domain.test_window import MADRID, SUN, WEEKDAYS, ZONES, moments, open_minutes, window_lists

timed = st.lists(st.builds(TimedRate, rate=st.floats(12_500, 1e11), windows=window_lists), max_size=4)
otherwise = st.lists(st.builds(TimedRate, rate=st.floats(12_500, 1e11)), max_size=1)


@given(zone=st.sampled_from(ZONES), entries=timed, rest=otherwise, data=st.data())
def test_the_first_entry_that_the_minutes_of_the_week_name_holds(
    zone: tzinfo, entries: list[TimedRate], rest: list[TimedRate], data: st.DataObject
) -> None:
    bandwidth = Bandwidth(rates=(*entries, *rest), zone=zone)
    covered = [open_minutes(entry.windows) for entry in entries]
    now = data.draw(moments(zone))
    for hour in range(48):
        instant = now + timedelta(hours=hour)
        local = instant.astimezone(zone)
        minute = (local.weekday() * 24 + local.hour) * 60 + local.minute
        holding = [entry.rate for entry, minutes in zip(entries, covered, strict=True) if minute in minutes]
        assert bandwidth.rate_at(instant) == next(iter(holding + [entry.rate for entry in rest]), None)


@given(zone=st.sampled_from(ZONES), windows=window_lists, rate=st.floats(12_500, 1e11), data=st.data())
def test_it_changes_only_when_a_window_opens_or_closes(
    zone: tzinfo, windows: tuple[Window, ...], rate: float, data: st.DataObject
) -> None:
    bandwidth = Bandwidth(rates=(TimedRate(rate=rate, windows=windows),), zone=zone)
    now = data.draw(moments(zone))
    change = Windows(windows=windows, zone=zone).next_change(now)
    share = data.draw(st.floats(0, 0.999))
    if change is not None:
        assert bandwidth.rate_at(now + share * (change - now)) == bandwidth.rate_at(now)
        assert {bandwidth.rate_at(now), bandwidth.rate_at(change)} == {rate, None}


@given(entries=timed, rest=otherwise, data=st.data())
def test_the_zone_in_which_now_is_given_does_not_matter(
    entries: list[TimedRate], rest: list[TimedRate], data: st.DataObject
) -> None:
    bandwidth = Bandwidth(rates=(*entries, *rest), zone=MADRID)
    now = data.draw(moments(MADRID))
    assert bandwidth.rate_at(now.astimezone(ZoneInfo("Australia/Lord_Howe"))) == bandwidth.rate_at(now)


def test_without_entries_there_is_no_limit() -> None:
    assert Bandwidth().rate_at(datetime(2026, 3, 1, tzinfo=UTC)) is None


OFFICE = Bandwidth(
    rates=(
        TimedRate(rate=1.0, windows=(Window(days=frozenset({SUN}), start=time(2, 15), end=time(2, 45)),)),
        TimedRate(rate=2.0, windows=(Window(days=WEEKDAYS, start=time(8), end=time(18)),)),
        TimedRate(rate=3.0),
    ),
    zone=MADRID,
)


@pytest.mark.parametrize(
    ("now", "rate"),
    [
        ("2026-07-09 07:59:59.999999+02:00", 3.0),
        ("2026-07-09 08:00+02:00", 2.0),
        ("2026-07-09 18:00+02:00", 3.0),
        ("2026-07-11 12:00+02:00", 3.0),
        # The half hour that the spring night skips, and that the autumn night has twice.
        ("2026-03-29 01:59+01:00", 3.0),
        ("2026-03-29 03:00+02:00", 3.0),
        ("2026-10-25 02:30+02:00", 1.0),
        ("2026-10-25 02:50+02:00", 3.0),
        ("2026-10-25 02:30+01:00", 1.0),
        ("2026-10-25 02:50+01:00", 3.0),
    ],
)
def test_office_hours(now: str, rate: float) -> None:
    assert OFFICE.rate_at(datetime.fromisoformat(now)) == rate
