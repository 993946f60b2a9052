"""Pages that were made a moment ago: whoever looks at the same thing at the same time gets the same one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

# Different pages, by their addresses.
MOST = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Print:
    title: str
    content: Markup


class Prints:
    """Those of the present version of what is shown. Making one costs tens of milliseconds of the daemon's loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._version: object = None
        self._kept: dict[str, Print] = {}
        # Seconds that the last one took.
        self.cost = 0.0

    def kept(self, address: str, version: object) -> Print | None:
        """The one that is there."""
        if version != self._version:
            self._version, self._kept = version, {}
        return self._kept.get(address)

    def of(self, address: str, version: object, make: Callable[[], Print]) -> Print:
        """`make` it, unless it is there."""
        if (kept := self.kept(address, version)) is not None:
            return kept
        began = self._monotonic()
        made = make()
        self.cost = self._monotonic() - began
        if len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[address] = made
        return made
