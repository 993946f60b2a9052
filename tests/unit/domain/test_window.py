"""Windows against brute force: minute by minute, over every change of the clock that tzdata knows for these years."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgesync.domain.window import HORIZON, Window, Windows

MINUTE = timedelta(minutes=1)
WEEK = 7 * 24 * 60
MADRID = ZoneInfo("Europe/Madrid")
MON, SAT, SUN = 0, 5, 6
WEEKDAYS, ALL_DAYS = frozenset(range(5)), frozenset(range(7))

ZONES: list[tzinfo] = [
    UTC,
    MADRID,
    ZoneInfo("America/New_York"),
    # Half an hour of summer time.
    ZoneInfo("Australia/Lord_Howe"),
    # None at all.
    ZoneInfo("America/Caracas"),
    # Summer time but for Ramadan.
    ZoneInfo("Africa/Casablanca"),
    # At midnight, so that a day may begin at 1:00.
    ZoneInfo("Africa/Cairo"),
    ZoneInfo("Asia/Beirut"),
    # Not on whole hours: +5:45, and +12:45 with summer time.
    ZoneInfo("Asia/Kathmandu"),
    ZoneInfo("Pacific/Chatham"),
]


def changes(zone: tzinfo) -> list[datetime]:
    """The days, in UTC, in which the zone's clock is changed."""
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(4 * 365)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    return [day for day, before, after in zip(days, offsets, offsets[1:], strict=False) if before != after]


CHANGES = {zone: changes(zone) for zone in ZONES}


def open_minutes(windows: tuple[Window, ...]) -> set[int]:
    """The minutes of the week, from Monday 0:00, that the windows cover."""
    minutes = set()
    for window in windows:
        start, end = (clock.hour * 60 + clock.minute for clock in (window.start, window.end))
        length = end - start if end > start else 24 * 60 + end - start
        for day in window.days:
            minutes |= {(day * 24 * 60 + start + minute) % WEEK for minute in range(length)}
    return minutes


def first_change(windows: Windows, now: datetime) -> datetime | None:
    """By looking at the clock on the wall every minute."""
    covered = open_minutes(windows.windows)

    def is_open(instant: datetime) -> bool:
        local = instant.astimezone(windows.zone)
        return (local.weekday() * 24 + local.hour) * 60 + local.minute in covered

    state = is_open(now)
    minute = now.replace(second=0, microsecond=0) + MINUTE
    while minute <= now + HORIZON:
        if is_open(minute) is not state:
            return minute
        minute += MINUTE
    return None


clocks = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59])) | st.just(time(0))
window_lists = st.lists(
    st.builds(
        Window,
        days=st.frozensets(st.integers(0, 6), min_size=1) | st.just(ALL_DAYS),
        start=clocks,
        end=clocks,
    ),
    min_size=1,
    max_size=3,
).map(tuple)


@st.composite
def moments(draw: st.DrawFn, zone: tzinfo) -> datetime:
    """Any instant, often some days before a change of the clock or in the night of it."""
    before = draw(st.timedeltas(timedelta(days=-1), timedelta(days=9)))
    any_day = st.integers(0, 3 * 365).map(lambda day: datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=day))
    return draw(any_day | st.sampled_from(CHANGES[zone]) if CHANGES[zone] else any_day) - before


@given(zone=st.sampled_from(ZONES), windows=window_lists, data=st.data())
def test_the_next_change_is_the_one_that_a_look_at_every_minute_finds(
    zone: tzinfo, windows: tuple[Window, ...], data: st.DataObject
) -> None:
    now = data.draw(moments(zone))
    of_store = Windows(windows=windows, zone=zone)
    assert of_store.next_change(now) == first_change(of_store, now)


@given(zone=st.sampled_from(ZONES), windows=window_lists, data=st.data())
def test_open_says_what_the_minutes_of_the_week_say(
    zone: tzinfo, windows: tuple[Window, ...], data: st.DataObject
) -> None:
    covered = open_minutes(windows)
    now = data.draw(moments(zone))
    for hour in range(48):
        local = (now + timedelta(hours=hour)).astimezone(zone)
        minute = (local.weekday() * 24 + local.hour) * 60 + local.minute
        assert Windows(windows=windows, zone=zone).open_at(local) is (minute in covered)


@given(windows=window_lists, data=st.data())
def test_the_zone_in_which_now_is_given_does_not_matter(windows: tuple[Window, ...], data: st.DataObject) -> None:
    of_store = Windows(windows=windows, zone=MADRID)
    now = data.draw(moments(MADRID))
    elsewhere = now.astimezone(ZoneInfo("Australia/Lord_Howe"))
    assert of_store.open_at(elsewhere) is of_store.open_at(now)
    assert of_store.next_change(elsewhere) == of_store.next_change(now)


NIGHTS = Windows(windows=(Window(days=WEEKDAYS, start=time(22), end=time(6)),), zone=MADRID)


@pytest.mark.parametrize(
    ("now", "is_open", "change"),
    [
        # Thursday afternoon, and the night that follows.
        ("2026-07-09 15:00+02:00", False, "2026-07-09 22:00+02:00"),
        ("2026-07-09 22:00+02:00", True, "2026-07-10 06:00+02:00"),
        ("2026-07-10 06:00+02:00", False, "2026-07-10 22:00+02:00"),
        # Friday night lasts until Saturday morning; then nothing until Monday.
        ("2026-07-11 05:59+02:00", True, "2026-07-11 06:00+02:00"),
        ("2026-07-11 06:00+02:00", False, "2026-07-13 22:00+02:00"),
        # Over the weekend on which summer time begins: an hour sooner than 64 hours.
        ("2026-03-28 06:00+01:00", False, "2026-03-30 22:00+02:00"),
    ],
)
def test_nights_of_the_week(now: str, is_open: bool, change: str) -> None:
    moment = datetime.fromisoformat(now)
    assert NIGHTS.open_at(moment) is is_open
    assert NIGHTS.next_change(moment) == datetime.fromisoformat(change)


@example(now=datetime(2026, 3, 29, 0, 59, tzinfo=UTC))
@given(now=moments(MADRID))
def test_what_covers_the_whole_week_never_changes(now: datetime) -> None:
    for windows in (
        (),
        (Window(days=ALL_DAYS),),
        (Window(days=WEEKDAYS), Window(days=frozenset({SAT, SUN}))),
        (Window(days=ALL_DAYS, start=time(6), end=time(22)), Window(days=ALL_DAYS, start=time(22), end=time(6))),
    ):
        always = Windows(windows=windows, zone=MADRID)
        assert always.open_at(now)
        assert always.next_change(now) is None


def test_a_window_in_the_skipped_hour_comes_a_week_later() -> None:
    skipped = Windows(windows=(Window(days=frozenset({SUN}), start=time(2, 15), end=time(2, 45)),), zone=MADRID)
    after_the_last = datetime(2026, 3, 22, 1, 45, tzinfo=UTC)
    assert skipped.next_change(after_the_last) == datetime(2026, 4, 5, 0, 15, tzinfo=UTC)


def test_a_window_in_the_hour_that_comes_twice_opens_twice() -> None:
    twice = Windows(windows=(Window(days=frozenset({SUN}), start=time(2, 15), end=time(2, 45)),), zone=MADRID)
    now, seen = datetime(2026, 10, 24, 12, tzinfo=UTC), []
    for _ in range(4):
        change = twice.next_change(now)
        assert change is not None
        now = change
        seen.append(f"{now:%H:%M}")
    assert seen == ["00:15", "00:45", "01:15", "01:45"]


def test_the_clock_itself_can_close_a_window() -> None:
    """Until 2:30, which the spring night skips: it closes at 2:00, when it is suddenly 3:00."""
    night = Windows(windows=(Window(days=frozenset({SAT}), start=time(22), end=time(2, 30)),), zone=MADRID)
    assert night.next_change(datetime(2026, 3, 28, 22, tzinfo=UTC)) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_fraction_of_a_second_before_and_at_an_edge() -> None:
    mondays = Windows(windows=(Window(days=frozenset({MON}), start=time(1)),))
    opens, closes = datetime(2026, 7, 6, 1, tzinfo=UTC), datetime(2026, 7, 7, tzinfo=UTC)
    assert mondays.next_change(opens - timedelta(microseconds=1)) == opens
    assert mondays.next_change(opens) == closes
    assert not mondays.open_at(opens - timedelta(microseconds=1))
    assert mondays.open_at(opens)
