"""An RBD image that was opened is closed, also when there is no thread for it, or nobody waits any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from edgesync.clients.block_handles import Handles
from edgesync.clients.ceph_calls import Calls
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.rbd_blocks import RbdBlocks
from edgesync.clients.rbd_handle import Handle
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import UnreachableError

LONG = 60.0


class Opened(Handle):
    """An image that is open without any Ceph."""

    def __init__(self, name: str = "image") -> None:
        self.name = name
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def handles_of(deadline: float = LONG) -> Handles:
    settings = CephSettings(conf="/etc/ceph/dcn0.conf", user="edgesync")
    refusals = Refusals(store=StoreId("dcn0"), settings=settings, deadline=deadline)
    return Handles(refusals, Calls("rbd-dcn0", refusals, lambda: RbdBlocks(settings, refusals), limit=4))


START = threading.Thread.start


def closers_refused(thread: threading.Thread) -> None:
    """The system gives no thread to close anything in."""
    if thread.name.endswith("-close"):
        raise RuntimeError("can't start new thread")
    START(thread)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


async def test_it_is_closed_when_its_user_has_gone() -> None:
    handles, image = handles_of(), Opened()
    async with handles.opened("image", lambda _: image) as opened:
        assert opened is image
        assert image.closed == 0
    assert image.closed == 1


async def test_what_no_thread_was_free_to_close_is_closed_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    handles, first, second = handles_of(), Opened("first"), Opened("second")
    with monkeypatch.context() as scarce, capture_logs() as logs:
        scarce.setattr(threading.Thread, "start", closers_refused)
        async with handles.opened("first", lambda _: first):
            pass
    assert first.closed == 0
    assert [(entry["image"], "no thread is free" in entry["why"]) for entry in logs] == [("first", True)]
    async with handles.opened("second", lambda _: second):
        pass
    assert (first.closed, second.closed) == (1, 1)
    await handles.close()
    assert (first.closed, second.closed) == (1, 1)


async def test_what_no_thread_was_free_to_close_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    handles, image = handles_of(), Opened()
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", closers_refused)
        async with handles.opened("image", lambda _: image):
            pass
    await handles.close()
    assert image.closed == 1


async def test_what_is_opened_too_late_is_closed_by_its_thread(gate: threading.Event) -> None:
    handles, image = handles_of(deadline=0.05), Opened()

    def late(_: RbdBlocks) -> Handle:
        gate.wait(LONG)
        return image

    with pytest.raises(UnreachableError):
        async with handles.opened("image", late):
            pass
    gate.set()
    while not image.closed:  # noqa: ASYNC110  (its thread does not tell)
        await asyncio.sleep(0.001)
    assert image.closed == 1
