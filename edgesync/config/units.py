"""Sizes, durations, rates and shares as people write them."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from edgesync.config.wording import found

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in _MILLISECONDS))

_BINARY = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
_BYTES = _BINARY | {"TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 10**3, "B": 1}
_SIZE = re.compile(rf"([0-9]{{1,18}}(?:\.[0-9]{{1,9}})?) ?({'|'.join(_BYTES)})")
# Bits. Lines are measured in bits, disks in bytes.
_BITS = {"Gbit": 10**9, "Mbit": 10**6, "kbit": 10**3}
_PER_SECOND = {f"{unit}/s": bits for unit, bits in (_BITS | {unit: 8 * size for unit, size in _BYTES.items()}).items()}
_RATE = re.compile(rf"([0-9]{{1,18}}(?:\.[0-9]{{1,9}})?) ?({'|'.join(_PER_SECOND)})")
# What people write instead: surely bits, or one can't tell.
_BITS_MISSPELT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([GgMmKk])(?:bps|[Bb]its?(?:/s|/sec)?)")
_BITS_OR_BYTES = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([GMk]?)(?:b/s)?", re.IGNORECASE)
_PREFIX = {"g": "G", "m": "M", "k": "k", "": "M"}
_WHOLE = re.compile(r"[0-9]{1,18}")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,20})?) ?%")
_FRACTION = re.compile(r"[0-9]{0,3}\.[0-9]{1,20}")
# Glance keeps sizes in signed 64-bit columns.
_LARGEST = 2**63 - 1


def parse_duration(value: object) -> float:
    """Seconds: 30, `30s`, `15m`, `1h30m`, `500ms`. ValueError says what was expected."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) <= _LARGEST else float("inf")
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return float(value)
    parts = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if parts is None:
        raise ValueError(f"expected a duration like 30s, 15m or 1h30m, found {found(value)}")
    return (
        sum(int(number or 0) * unit for number, unit in zip(parts.groups(), _MILLISECONDS.values(), strict=True)) / 1000
    )


def format_duration(seconds: float) -> str:
    """The shortest spelling that `parse_duration` reads back, to the millisecond."""
    rest = round(seconds * 1000)
    spelled = ""
    for unit, length in _MILLISECONDS.items():
        number, rest = divmod(rest, length)
        spelled += f"{number}{unit}" if number else ""
    return spelled or "0s"


def parse_size(value: object) -> int:
    """Bytes: 1073741824, `1 GiB`, `1.5 GiB`, `20 GB`. ValueError says what was expected."""
    size = value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        size = int(value)
    elif isinstance(value, str) and (parts := _SIZE.fullmatch(value)):
        exact = Fraction(parts[1]) * _BYTES[parts[2]]
        size = exact.numerator if exact.denominator == 1 else value
    if isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= _LARGEST:
        return size
    raise ValueError(f"expected a size like 500 MiB, 20 GB or a number of bytes, found {found(value)}")


def format_size(size: int) -> str | int:
    """The smallest whole number of a unit, like `1536 MiB` and `20 GB`; without a unit if none fits."""
    number, unit = min((size // length, unit) for unit, length in _BYTES.items() if size % length == 0)
    return size if unit == "B" else f"{number} {unit}"


def parse_rate(value: object) -> float:
    """Bytes per second: `200 Mbit/s`, `25 MB/s`, `1.5 Gbit/s`. ValueError says what was expected."""
    parts = _RATE.fullmatch(value) if isinstance(value, str) else None
    if parts is not None:
        bits = Fraction(parts[1]) * _PER_SECOND[parts[2]]
        if bits.denominator == 1:
            return bits.numerator / 8
    raise ValueError(f"expected a rate like 200 Mbit/s, 1 Gbit/s or 25 MB/s, found {found(value)}{_meant(value)}")


def _meant(value: object) -> str:
    written = str(value)
    if _RATE.fullmatch(written):
        return ""
    if bits := _BITS_MISSPELT.fullmatch(written):
        return f"; write {bits[1]} {_PREFIX[bits[2].lower()]}bit/s"
    if either := _BITS_OR_BYTES.fullmatch(written):
        unit = _PREFIX[either[2].lower()]
        return f"; write {either[1]} {unit}bit/s or {either[1]} {unit}B/s"
    return ""


def format_rate(rate: float) -> str:
    """The smallest whole number of a unit, like `25 MB/s`; of bits where both are as small."""
    bits = round(rate * 8)
    fitting = [(bits // length, unit) for unit, length in _PER_SECOND.items() if bits % length == 0]
    number, unit = min(fitting, key=lambda entry: entry[0], default=(bits / 8, "B/s"))
    return f"{number} {unit}"


def parse_share(value: object) -> float:
    """A part of a whole, from 0.01 to 1: `85%`, 0.85. ValueError says what was expected."""
    share = value
    if isinstance(value, str) and (percent := _PERCENT.fullmatch(value)):
        # Decimal, so that 85% and 0.85 are the same number.
        share = float(Decimal(percent[1]) / 100)
    elif isinstance(value, str) and _FRACTION.fullmatch(value):
        share = float(value)
    if isinstance(share, float) and 0.01 <= share <= 1:
        return share
    # Whole numbers are refused: 1 could be 1% as well as all.
    whole = isinstance(value, int | str) and re.fullmatch("[1-9][0-9]?|100", str(value))
    meant = "1% or 100%" if str(value) == "1" else f"{value}%"
    remedy = f"; write {meant}" if whole else ""
    raise ValueError(f"expected a share from 1% to 100%, like 85% or 0.85, found {found(value)}{remedy}")


def format_share(share: float) -> str:
    """In percent, with as many digits as it needs."""
    return f"{(Decimal(repr(share)) * 100).normalize():f}%"
