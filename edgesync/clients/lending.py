"""Things that several threads use at once, and that must not end under their hands: connections, open images.

Ceph's own are of this kind: to shut a connection down that a call still uses makes that call wait for ever, and to
close an image that is being read crashes the process. So the last to leave ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    @contextmanager
    def used(self) -> Iterator[R]:
        """OverError once it has been ended."""
        self.enter()
        try:
            yield self.thing
        finally:
            self.leave()

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
        self._lock = threading.Lock()
        self._shared: Shared[R] | None = None
        self._closed = False

    def enter(self, make: Callable[[], R], *, patience: float) -> Shared[R]:
        """Become a user of it. TimeoutError when another thread makes it for `patience` seconds, OverError when closed.

        Whoever enters must leave.
        """
        # Whoever makes it holds the lock.
        if not self._lock.acquire(timeout=patience):
            raise TimeoutError
        try:
            if self._closed:
                raise OverError
            if self._shared is None:
                self._shared = Shared(make(), self._end)
            self._shared.enter()
            return self._shared
        finally:
            self._lock.release()

    def retire(self, thing: R) -> None:
        """Lend it to nobody else."""
        with self._lock:
            shared = self._shared
            if shared is None or shared.thing is not thing:
                return
            self._shared = None
        shared.end()

    def close(self) -> None:
        """End it, and make no other."""
        with self._lock:
            self._closed = True
            shared, self._shared = self._shared, None
        if shared is not None:
            shared.end()


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

    def end(self) -> None:
        """End what was made; what is still being made is ended by whoever makes it."""
        with self._lock:
            self._over = True
            thing, self._thing = self._thing, None
        if thing is not None:
            self._end(thing)
