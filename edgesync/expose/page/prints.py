"""Pages that were made a moment ago: whoever looks at the same thing at the same time gets the same one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from edgesync.expose.picture import Picture

# Different pages, by their addresses.
MOST = 32
# Seconds for which one is good while the picture is the same: only progress moves in it.
FRESH = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Print:
    title: str
    content: Markup


class Prints:
    """The newest of them. Making one costs tens of milliseconds of the daemon's loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._picture: Picture | None = None
        self._kept: dict[str, tuple[float, Print]] = {}
        # Seconds that the last one took.
        self.cost = 0.0

    def of(self, address: str, picture: Picture | None, make: Callable[[], Print]) -> Print:
        """`make` it, unless it is there."""
        if picture is not self._picture or picture is None:
            self._picture, self._kept = picture, {}
        began = self._monotonic()
        made_at, known = self._kept.get(address, (0.0, None))
        if known is not None and began - made_at < FRESH:
            return known
        made = make()
        self.cost = self._monotonic() - began
        self._kept.pop(address, None)
        while len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[address] = began, made
        return made
