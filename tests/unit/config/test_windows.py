"""Windows and time zones, as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.config import windows as module
from edgesync.config.windows import find_zone, format_window, parse_window
from edgesync.domain.window import Window

ALL_DAYS = range(7)


def window(days: Iterable[int], start: time = time(0), end: time = time(0)) -> Window:
    return Window(days=frozenset(days), start=start, end=end)


@pytest.mark.parametrize(
    ("written", "expected", "shown"),
    [
        ("mon-fri 22:00-06:00", window(range(5), time(22), time(6)), "mon-fri 22:00-06:00"),
        ("sat-sun", window({5, 6}), "sat-sun"),
        ("sun", window({6}), "sun"),
        ("mon,wed 01:00-05:00", window({0, 2}, time(1), time(5)), "mon,wed 01:00-05:00"),
        ("Mon, Wed-Fri 1:00 - 5:30", window({0, 2, 3, 4}, time(1), time(5, 30)), "mon,wed-fri 01:00-05:30"),
        ("fri-mon 20:00-24:00", window({4, 5, 6, 0}, time(20)), "mon,fri-sun 20:00-24:00"),
        ("daily 22:00-06:00", window(ALL_DAYS, time(22), time(6)), "daily 22:00-06:00"),
        ("22:00-06:00", window(ALL_DAYS, time(22), time(6)), "daily 22:00-06:00"),
        ("00:00-24:00", window(ALL_DAYS), "daily"),
        ("mon-sun", window(ALL_DAYS), "daily"),
        ("tue 00:00-04:00", window({1}, time(0), time(4)), "tue 00:00-04:00"),
    ],
)
def test_windows(written: str, expected: Window, shown: str) -> None:
    assert parse_window(written) == expected
    assert format_window(expected) == shown


@pytest.mark.parametrize(
    ("written", "said"),
    [
        *(
            (written, "expected a window like ")
            for written in ("", " ", "22", "22:00", "mon 22:00", "mon 22-6", "a" * 99)
        ),
        *(
            (written, "expected a window like ")
            for written in ("22:00-06:00 mon", "mon22:00-06:00", 1320, None, ["mon"])
        ),
        *((written, "unknown day ") for written in ("monday", "mon-fry 01:00-02:00", "mon,,tue", "mon-", "mon to fri")),
        *((written, '"24:00" is no time of day; ') for written in ("24:00-06:00", "mon 24:00-24:00")),
        ("mon 22:00-25:00", '"25:00" is no time of day; '),
        ("mon 22:60-23:00", '"22:60" is no time of day; '),
        ("mon 22:00-22:00", '"mon 22:00-22:00" begins and ends at the same time; '),
    ],
)
def test_not_windows(written: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        parse_window(written)


clocks = st.builds(time, st.integers(0, 23), st.integers(0, 59))
times = st.tuples(clocks, clocks).filter(lambda pair: pair[0] != pair[1]) | st.just((time(0), time(0)))


@given(days=st.frozensets(st.integers(0, 6), min_size=1), pair=times)
def test_windows_read_back(days: frozenset[int], pair: tuple[time, time]) -> None:
    written = Window(days=days, start=pair[0], end=pair[1])
    assert parse_window(format_window(written)) == written


def test_zones() -> None:
    assert find_zone("Europe/Madrid") == ZoneInfo("Europe/Madrid")
    assert find_zone("UTC") is UTC


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Europe/Madird", "; did you mean Europe/Madrid"),
        ("europe/madrid", "; did you mean Europe/Madrid?"),
        ("madrid", "; did you mean Europe/Madrid?"),
        ("New York", "; did you mean America/New_York?"),
        ("CEST", "; did you mean "),
        ("Middle-earth/Shire", "; expected one like Europe/Madrid"),
        ("../../etc/passwd", "; expected one like Europe/Madrid"),
        # Files of the zone database that are no zones of people: a folder, and clocks that count leap seconds.
        ("Europe", ""),
        ("right/Europe/Madrid", "; did you mean Europe/Madrid?"),
        ("", ""),
    ],
)
def test_not_zones(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^unknown time zone ") as caught:
        find_zone(written)
    assert said in str(caught.value)


def test_a_host_without_time_zone_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_zone_names", frozenset)
    assert find_zone("UTC") is UTC
    with pytest.raises(ValueError, match="install the package tzdata"):
        find_zone("Europe/Madrid")
