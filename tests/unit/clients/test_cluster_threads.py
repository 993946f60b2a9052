"""Blocking calls to a cluster: few at a time, none waited for beyond its deadline, none lost count of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from edgesync.clients.ceph_threads import NoThreadError, Threads

SOON = 0.05
LONG = 60.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hung calls wait for."""
    gate = threading.Event()
    yield gate
    gate.set()


async def hang(threads: Threads, gate: threading.Event, *, calls: int) -> None:
    """Let so many calls run into their deadline; their threads go on waiting."""
    hung = [threads.run(gate.wait, deadline=SOON) for _ in range(calls)]
    failures = await asyncio.gather(*hung, return_exceptions=True)
    assert {type(failure) for failure in failures} == {TimeoutError}


async def test_the_result_comes_back() -> None:
    threads = Threads("test", limit=1)
    assert await threads.run(lambda: 42, deadline=LONG) == 42
    assert await threads.run(threading.get_ident, deadline=LONG) != threading.get_ident()


async def test_an_error_comes_back_as_it_is() -> None:
    def fail() -> None:
        raise KeyError("as it is")

    with pytest.raises(KeyError, match="as it is"):
        await Threads("test", limit=1).run(fail, deadline=LONG)


async def test_more_calls_than_threads_take_their_turns() -> None:
    threads = Threads("test", limit=2)
    running, most = 0, 0
    lock = threading.Lock()
    second = threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        second.wait(LONG)
        with lock:
            running -= 1

    await asyncio.gather(*(threads.run(work, deadline=LONG) for _ in range(10)))
    assert most == 2


async def test_a_hung_call_leaves_the_other_threads_alone(gate: threading.Event) -> None:
    threads = Threads("test", limit=2)
    await hang(threads, gate, calls=1)
    assert threads.stuck == 1
    assert await threads.run(lambda: "answer", deadline=LONG) == "answer"


async def test_with_all_threads_hung_a_call_fails_at_once(gate: threading.Event) -> None:
    threads = Threads("test", limit=2)
    await hang(threads, gate, calls=2)
    with pytest.raises(NoThreadError):
        # With this deadline the test would not end.
        await threads.run(lambda: None, deadline=10 * LONG)


async def test_whoever_waits_for_a_thread_waits_no_longer_than_the_deadline(gate: threading.Event) -> None:
    threads = Threads("test", limit=1)
    begun = asyncio.create_task(threads.run(gate.wait, deadline=LONG))
    await asyncio.sleep(0)
    done: list[str] = []
    with pytest.raises(NoThreadError):
        await threads.run(lambda: done.append("begun"), deadline=SOON)
    gate.set()
    await begun
    assert done == []


async def test_threads_whose_call_has_ended_are_free_again(gate: threading.Event) -> None:
    threads = Threads("test", limit=2)
    await hang(threads, gate, calls=2)
    gate.set()
    while threads.stuck:  # noqa: ASYNC110  (the threads themselves don't tell)
        await asyncio.sleep(0.001)
    assert await asyncio.gather(*(threads.run(lambda: 1, deadline=LONG) for _ in range(4))) == [1, 1, 1, 1]


async def test_a_cancelled_call_keeps_its_thread_until_it_ends(gate: threading.Event) -> None:
    threads = Threads("test", limit=1)
    call = asyncio.create_task(threads.run(gate.wait, deadline=LONG))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(NoThreadError):
        await threads.run(lambda: None, deadline=SOON)
    gate.set()
    assert await threads.run(lambda: "free", deadline=LONG) == "free"


def test_a_loop_may_end_before_its_calls_do(gate: threading.Event) -> None:
    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await Threads("left-behind", limit=1).run(gate.wait, deadline=SOON)

    asyncio.run(leave())
    (left,) = [thread for thread in threading.enumerate() if thread.name == "left-behind"]
    # The interpreter does not wait for it either.
    assert left.daemon
    gate.set()
    left.join(LONG)
    assert not left.is_alive()


async def test_a_thread_that_can_not_be_started_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads("test", limit=1)
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", refused)
        with pytest.raises(NoThreadError):
            await threads.run(lambda: 42, deadline=SOON)
    assert await threads.run(lambda: 42, deadline=LONG) == 42


async def test_busy_and_stuck_threads_can_be_seen(gate: threading.Event) -> None:
    threads = Threads("test", limit=3)
    waiting = asyncio.create_task(threads.run(gate.wait, deadline=LONG))
    await hang(threads, gate, calls=1)
    assert (threads.limit, threads.busy, threads.stuck) == (3, 2, 1)
    gate.set()
    await waiting
    # Those that end after their deadline are waited for by their turns alone.
    await asyncio.gather(*(threads.run(lambda: None, deadline=LONG) for _ in range(3)))
    assert threads.stuck == 0


async def test_what_is_still_changed_is_waited_for_whoever_has_gone(gate: threading.Event) -> None:
    threads = Threads("test", limit=3)
    gone = asyncio.create_task(threads.run(gate.wait, deadline=LONG, on=("image", "other")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    settled = asyncio.create_task(threads.settle("image", deadline=LONG))
    await threads.settle("another", deadline=LONG)
    await threads.settle("image", deadline=SOON)
    assert not settled.done()
    gate.set()
    await settled
    assert threads.busy == 0
