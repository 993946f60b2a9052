"""Calls to the blocking half of a store's client: loaded with the first of them, each within its deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.ceph_threads import NoThreadError, Threads


class Half(Protocol):
    """What blocks."""

    def close(self) -> None: ...


H = TypeVar("H", bound=Half)
T = TypeVar("T")


class Calls(Generic[H]):
    """Debian's python3-rados and python3-rbd are needed by whoever configures `ceph:` for a store, and by nobody else.

    So `load` imports the blocking half; a missing module is an error that says so.
    """

    def __init__(self, name: str, refusals: Refusals, load: Callable[[], H], *, limit: int) -> None:
        """`name`: of the threads. `limit`: calls at a time."""
        self._name = name
        self._refusals = refusals
        self._load = load
        self.threads = Threads(name, limit=limit)
        self._loading = threading.Lock()
        self._half: H | None = None
        self._closed = False

    async def run(
        self, what: str, work: Callable[[H], T], *, deadline: float | None = None, on: tuple[str, ...] = ()
    ) -> T:
        """Do it in a thread. UnreachableError after `deadline` seconds, by default the store's.

        `on`: the names of RBD images that it changes, for those who `settle` them.
        """
        if deadline is None:
            deadline = self._refusals.deadline
        try:
            return await self.threads.run(lambda: work(self._loaded(what)), deadline=deadline, on=on)
        except NoThreadError as error:
            raise self._refusals.busy(what, self.threads.limit) from error
        except TimeoutError as error:
            raise self._refusals.silent(what) from error

    async def settle(self, name: str) -> None:
        """Wait for calls that change an RBD image, whose callers may be gone: for the deadline at the longest."""
        await self.threads.settle(name, deadline=self._refusals.deadline)

    async def close(self) -> None:
        """Shut the connection down, or leave that to the last call that hangs; without one, nothing happens."""
        self._closed = True
        # In a thread that no hung call can have taken.
        with suppress(TimeoutError, NoThreadError):
            await Threads(f"{self._name}-close", limit=1).run(self._end, deadline=self._refusals.deadline)

    def _loaded(self, what: str) -> H:
        """In a thread, for the import takes a while."""
        with self._loading:
            if self._closed:
                raise self._refusals.closed(what)
            if self._half is None:
                try:
                    self._half = self._load()
                except ImportError as error:
                    raise self._refusals.no_bindings() from error
            return self._half

    def _end(self) -> None:
        with self._loading:
            half, self._half = self._half, None
        if half is not None:
            half.close()
