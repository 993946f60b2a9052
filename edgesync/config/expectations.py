"""What a single value may be. Each check says in its error what was expected, with a remedy where one is known."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Annotated, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator

from edgesync.config.units import format_duration, parse_duration, parse_size
from edgesync.config.wording import found, nearest, quoted

_JOURNALS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
_ENCODE = "percent-encode special characters of the password: @ as %40, / as %2F, # as %23"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def matching(pattern: str, expected: str) -> AfterValidator:
    """Text of a certain form."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}, found {quoted(text)}")
        return text

    return AfterValidator(check)


def one_of(words: Iterable[str]) -> AfterValidator:
    """One of a few words."""
    known = tuple(words)

    def check(text: str) -> str:
        if text not in known:
            raise ValueError(f"expected one of {', '.join(known)}, found {quoted(text)}{nearest(text, known)}")
        return text

    return AfterValidator(check)


def counting(low: int, high: int) -> BeforeValidator:
    """A whole number within bounds."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, found {found(value)}")
        return value

    return BeforeValidator(check)


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


def _several(value: object) -> object:
    """One value stands for a list of one. An empty list is refused: it would hold for every image, or for none."""
    if value == []:
        raise ValueError("the list is empty; name at least one, or remove the key")
    return value if isinstance(value, list | dict) else [value]


def _distinct(values: list[str]) -> list[str]:
    twice = next((value for index, value in enumerate(values) if value in values[:index]), None)
    if twice is not None:
        raise ValueError(f"names {quoted(twice)} twice; remove one")
    return values


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError(f"expected an image id like 8f1a2b3c-0d4e-4f5a-9b6c-7d8e9f0a1b2c, found {quoted(text)}")
    return text


def _absolute(text: str) -> str:
    if not PurePath(text).is_absolute():
        raise ValueError(f"expected an absolute path like /etc/openstack/clouds.yaml, found {quoted(text)}")
    return text


def _split(url: str) -> SplitResult:
    """Split a journal's URL. The error does not repeat it: there may be a password inside."""
    try:
        parts = urlsplit(url)
        port_in_range = parts.port is None or parts.port > 0
    except ValueError:
        port_in_range = False
    if not port_in_range:
        raise ValueError(f"expected a URL like postgresql+asyncpg://USER:PASSWORD@HOST:5432/edgesync; {_ENCODE}")
    return parts


def _journal_url(url: str) -> str:
    parts = _split(url)
    if parts.scheme not in _JOURNALS.values():
        meant = _JOURNALS.get(parts.scheme.partition("+")[0])
        remedy = f"; write {meant}://" if meant else ""
        raise ValueError(f"expected a URL that begins with sqlite+aiosqlite:// or postgresql+asyncpg://{remedy}")
    if parts.scheme == _JOURNALS["sqlite"]:
        _check_file(parts)
    else:
        _check_server(parts)
    return url


def _check_file(parts: SplitResult) -> None:
    if ":memory:" in parts.path or not parts.path.strip("/"):
        raise ValueError("expected a file, as a journal in memory forgets what was done; name it with four slashes")
    if parts.netloc or not parts.path.startswith("//"):
        raise ValueError("expected an absolute path with four slashes: sqlite+aiosqlite:////var/lib/...")


def _check_server(parts: SplitResult) -> None:
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query or parts.fragment:
        raise ValueError(f"expected one @ between password and host; {_ENCODE}")
    if not parts.path.strip("/"):
        raise ValueError("expected the name of the database at the end, as in ...@HOST/edgesync")


def split_listen(listen: str) -> tuple[str, int]:
    """`127.0.0.1:9780` or `[::1]:9780` in two; ValueError where it isn't either."""
    parts = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", listen)
    if parts is None or not 1 <= int(parts[3]) <= 65535:
        raise ValueError(f"expected ADDRESS:PORT like 127.0.0.1:9780 or [::1]:9780, found {quoted(listen)}")
    return parts[1] or parts[2], int(parts[3])


def _loopback(listen: str) -> str:
    host, _ = split_listen(listen)
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise ValueError(
            f"expected a loopback address like 127.0.0.1:9780, found {quoted(listen)}: requests that change something "
            "aren't authenticated yet, so that nobody outside this host may send them"
        )
    return listen


Text: TypeAlias = Annotated[str, matching(r".*\S.*", "text that isn't empty")]
StoreName: TypeAlias = Annotated[str, matching(r"[^\s,]+", "a store id without spaces and commas")]
PolicyName: TypeAlias = Annotated[str, matching(r"[a-z0-9_.-]{1,64}", "up to 64 of a-z, 0-9, `-`, `_`, `.`")]
ImageUuid: TypeAlias = Annotated[str, AfterValidator(_uuid)]
AbsolutePath: TypeAlias = Annotated[str, AfterValidator(_absolute)]
JournalUrl: TypeAlias = Annotated[str, AfterValidator(_journal_url)]
Listen: TypeAlias = Annotated[str, AfterValidator(_loopback)]
Size: TypeAlias = Annotated[int, BeforeValidator(parse_size)]
Texts: TypeAlias = Annotated[list[Text], BeforeValidator(_several), AfterValidator(_distinct)]
ImageUuids: TypeAlias = Annotated[list[ImageUuid], BeforeValidator(_several), AfterValidator(_distinct)]
