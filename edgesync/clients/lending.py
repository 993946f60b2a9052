"""Things that several threads use at once, and that must not end under their hands: connections, open images.

Ceph's own are of this kind: to shut a connection down that a call still uses makes that call wait for ever, and to
close an image that is being read crashes the process. So the last to leave ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")


class OverError(Exception):
    """It has been ended, and is lent to nobody any more."""


class Shared(Generic[R]):
    """One thing, until it is ended."""

    def __init__(self, thing: R, end: Callable[[R], None]) -> None:
        self.thing = thing
        self._end = end
        self._lock = threading.Lock()
        self._users = 0
        self._over = False

    def enter(self) -> None:
        with self._lock:
            if self._over:
                raise OverError
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._over and self._users == 0
        if last:
            self._end(self.thing)

    def end(self) -> None:
        """Now, or when the last user leaves; once."""
        with self._lock:
            idle = not self._over and self._users == 0
            self._over = True
        if idle:
            self._end(self.thing)


class Renewed(Generic[R]):
    """A thing that is made when first needed, and made anew once somebody has found it useless."""

    def __init__(self, end: Callable[[R], None]) -> None:
        self._end = end
        # Nothing that takes time is done while it is held.
        self._news = threading.Condition()
        self._shared: Shared[R] | None = None
        self._making = False
        self._closed = False

    def enter(self, make: Callable[[], R], *, patience: float) -> Shared[R]:
        """Become a user of it. TimeoutError when another thread makes it for `patience` seconds, OverError when closed.

        Whoever enters must leave.
        """
        with self._news:
            if not self._news.wait_for(lambda: self._closed or not self._making, patience):
                raise TimeoutError
            if self._closed:
                raise OverError
            if self._shared is not None:
                self._shared.enter()
                return self._shared
            self._making = True
        return self._made(make)

    def retire(self, thing: R) -> None:
        """Lend it to nobody else."""
        with self._news:
            shared = self._shared
            if shared is None or shared.thing is not thing:
                return
            self._shared = None
        shared.end()

    def close(self) -> None:
        """End it, and make no other; what is being made is ended by whoever makes it."""
        with self._news:
            self._closed = True
            shared, self._shared = self._shared, None
            self._news.notify_all()
        if shared is not None:
            shared.end()

    def _made(self, make: Callable[[], R]) -> Shared[R]:
        """One thread at a time comes here."""
        try:
            made = Shared(make(), self._end)
        except BaseException:
            self._settle(None)
            raise
        made.enter()
        if not self._settle(made):
            made.end()
            made.leave()
            raise OverError
        return made

    def _settle(self, made: Shared[R] | None) -> bool:
        """Lend what was made, if anything; False when it has been closed meanwhile."""
        with self._news:
            self._making = False
            if not self._closed:
                self._shared = made
            self._news.notify_all()
            return not self._closed


class Handover(Generic[R]):
    """What a thread makes for somebody who may have gone by then: then it is ended instead of lost."""

    def __init__(self, end: Callable[[R], None]) -> None:
        self._end = end
        self._lock = threading.Lock()
        self._thing: R | None = None
        self._over = False

    def made(self, make: Callable[[], R]) -> R:
        """OverError when nobody wants it any more."""
        thing = make()
        with self._lock:
            if not self._over:
                self._thing = thing
                return thing
        self._end(thing)
        raise OverError

    def over(self) -> R | None:
        """What was made, for the caller to end; what is still being made is ended by whoever makes it."""
        with self._lock:
            self._over = True
            thing, self._thing = self._thing, None
        return thing
