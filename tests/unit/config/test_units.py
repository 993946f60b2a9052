"""Sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.config.units import format_duration, format_size, parse_duration, parse_size


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
