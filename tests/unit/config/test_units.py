"""Sizes, durations, rates and shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("4h", 14400),
        ("1h30m", 5400),
        ("1d", 86400),
        ("500ms", 0.5),
        (7, 7),
        ("7", 7),
        (0, 0),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize("written", ["", "s", "30 s", "30m1h", "1.5h", "-1s", "30S", "٣s", True, 1.5, None, [], {}])
def test_not_durations(written: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration like 30s, 15m or 1h30m, found "):
        parse_duration(written)


@given(st.integers(0, 10**12))
def test_durations_read_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1 GiB", 2**30),
        ("500MiB", 500 * 2**20),
        ("1.5 KiB", 1536),
        ("20 GB", 20 * 10**9),
        ("1 B", 1),
        (42, 42),
        ("42", 42),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_sizes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written", ["", "1G", "1 gib", "1  GiB", "0.3 B", "-1 GiB", 0, -1, 2**63, "9999999999 TiB", True, 1.5, None, []]
)
def test_not_sizes(written: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a size like 500 MiB, 20 GB or a number of bytes, found "):
        parse_size(written)


@given(st.integers(1, 2**63 - 1))
def test_sizes_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("written", "rate", "shown"),
    [
        ("200 Mbit/s", 25_000_000, "25 MB/s"),
        ("25 MB/s", 25_000_000, "25 MB/s"),
        ("50Mbit/s", 6_250_000, "50 Mbit/s"),
        ("1 Gbit/s", 125_000_000, "1 Gbit/s"),
        ("1.5 Gbit/s", 187_500_000, "1500 Mbit/s"),
        ("25 MiB/s", 25 * 2**20, "25 MiB/s"),
        ("100 kbit/s", 12_500, "100 kbit/s"),
        ("0.001 kbit/s", 0.125, "0.125 B/s"),
        ("12345 B/s", 12_345, "12345 B/s"),
    ],
)
def test_rates(written: str, rate: float, shown: str) -> None:
    assert parse_rate(written) == rate
    assert format_rate(rate) == shown


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        (200, " write 200 Mbit/s or 200 MB/s"),
        ("200", " write 200 Mbit/s or 200 MB/s"),
        ("200M", " write 200 Mbit/s or 200 MB/s"),
        ("1 Gb/s", " write 1 Gbit/s or 1 GB/s"),
        # No doubt about these.
        ("200 Mbps", " write 200 Mbit/s"),
        ("1.5 gbit/s", " write 1.5 Gbit/s"),
        ("64 kbits/s", " write 64 kbit/s"),
        ("50 Mbit", " write 50 Mbit/s"),
        ("1 GBit/s", " write 1 Gbit/s"),
        ("25 MBps", ""),
        ("fast", ""),
        ("25 MB", ""),
        ("1  MB/s", ""),
        ("0.0001 kbit/s", ""),
        (True, ""),
        (None, ""),
    ],
)
def test_not_rates(written: object, remedy: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a rate like 200 Mbit/s, 1 Gbit/s or 25 MB/s, found ") as caught:
        parse_rate(written)
    assert str(caught.value).partition(";")[2] == remedy


@given(st.integers(1, 10**13))
def test_rates_read_back(bits: int) -> None:
    assert parse_rate(format_rate(bits / 8)) == bits / 8


@pytest.mark.parametrize(
    ("written", "share"),
    [("85%", 0.85), ("7 %", 0.07), ("72.5%", 0.725), (0.85, 0.85), ("0.85", 0.85), ("100%", 1), (1.0, 1), ("1%", 0.01)],
)
def test_shares(written: object, share: float) -> None:
    assert parse_share(written) == share


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        (85, "; write 85%"),
        ("85", "; write 85%"),
        # All of it, or hardly anything?
        (1, "; write 1% or 100%"),
        ("85 %%", ""),
        ("-5%", ""),
    ],
)
def test_not_shares(written: object, remedy: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a share from 1% to 100%, like 85% or 0.85, found ") as caught:
        parse_share(written)
    assert str(caught.value).partition(";")[2] == remedy.removeprefix(";")


@pytest.mark.parametrize("written", ["", "%", "0%", "101%", 0, 0.0, 0.001, 1.01, 850, True, None, [], {}])
def test_not_shares_at_all(written: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a share from 1% to 100%, like 85% or 0.85, found [^;]*$"):
        parse_share(written)


@given(st.floats(0.01, 1))
def test_shares_read_back(share: float) -> None:
    assert parse_share(format_share(share)) == share


@pytest.mark.parametrize(("share", "shown"), [(0.85, "85%"), (0.07, "7%"), (1.0, "100%"), (0.725, "72.5%")])
def test_shown_shares(share: float, shown: str) -> None:
    assert format_share(share) == shown
