"""Where things are to be found: the URL of the journal's database, the address the daemon listens on."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, PlainSerializer

from edgesync.config.masking import mask_password
from edgesync.config.wording import quoted

_JOURNALS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
_ENCODE = "percent-encode special characters of the password: @ as %40, / as %2F, # as %23"


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


def is_loopback(host: str) -> bool:
    """Whether only this host reaches that address; a name but `localhost` may be anybody's."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _splits(listen: str) -> str:
    split_listen(listen)
    return listen


# Shown with its password masked.
JournalUrl: TypeAlias = Annotated[str, AfterValidator(_journal_url), PlainSerializer(mask_password)]
Listen: TypeAlias = Annotated[str, AfterValidator(_splits)]
