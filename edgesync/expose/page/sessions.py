"""Who is signed in with a browser: the credential stays here, and the browser gets a name for it that nobody guesses.

The credential is asked about at each request as if it had come in a header, so that one that is taken back counts no
more. The name only counts for the page: the API takes no cookies.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edgesync.domain.access import Caller

# At the same time; of more, who signed in longest ago has to do so again.
MOST = 256
# Of one person, so that nobody signs everybody else out.
MOST_OF_ONE = 16
# Seconds after which everybody has to sign in again.
LASTING = 12 * 3600.0
# What was said about the last orders, until it is shown.
MOST_NOTICES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What became of an order."""

    text: str
    remedy: str = ""
    bad: bool = False


@dataclass(kw_only=True, slots=True)
class Session:
    token: str = field(repr=False)
    caller: Caller
    # In each form of this person's pages. A page elsewhere can't know it.
    form: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=MOST_NOTICES))
    # By the monotonic clock.
    until: float

    def wrote(self, form: str) -> bool:
        """Whether a form came from one of this person's pages."""
        return hmac.compare_digest(self.form.encode(), form.encode())

    def tell(self) -> list[Notice]:
        """What there is to say, once."""
        told = list(self.notices)
        self.notices.clear()
        return told


class Sessions:
    """All of them; a restart ends them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # By the digest of the name; who signed in longest ago first.
        self._open: dict[bytes, Session] = {}

    def begin(self, token: str, caller: Caller) -> str:
        """The name of a new one."""
        name = secrets.token_urlsafe(32)
        now = self._monotonic()
        self._open = {key: session for key, session in self._open.items() if session.until >= now}
        own = [key for key, session in self._open.items() if session.caller == caller]
        for key in own[: max(0, len(own) + 1 - MOST_OF_ONE)]:
            del self._open[key]
        while len(self._open) >= MOST:
            del self._open[next(iter(self._open))]
        self._open[_digest(name)] = Session(token=token, caller=caller, until=now + LASTING)
        return name

    def find(self, name: str) -> Session | None:
        session = self._open.get(_digest(name))
        if session is not None and session.until < self._monotonic():
            self.end(name)
            return None
        return session

    def end(self, name: str) -> None:
        self._open.pop(_digest(name), None)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="replace")).digest()
