"""An import that does not get on is noticed once, with its cause, and until it gets on again."""

from __future__ import annotations

import asyncio

from edgesync.domain.copy import StallCause
from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, EventKind
from edgesync.errors import TransientError
from tests.builders import attempt, image, store_ids
from tests.unit.execute.doubles import DCN0, DCN1, MIB, Rig, rig


def running(on: Rig, *stores: str) -> tuple[Image, Attempt]:
    shown = on.glance.put(image(lock="ours", importing_to=stores))
    on.glance.task(stores=stores)
    return shown, attempt(shown, *stores, task="ours")


def done(on: Rig, shown: Image, after: float) -> None:
    on.clock.after(after, lambda: on.glance.end(shown.id))


async def test_bytes_that_arrive_at_the_site_are_a_sign_of_life() -> None:
    on = rig(stall_after=60)
    shown, one = running(on, "dcn0")
    on.clusters[DCN0].put(shown.id, written=0)
    for second in range(1, 100):
        on.clock.after(10 * second, lambda second=second: on.clusters[DCN0].put(shown.id, written=second * MIB))  # type: ignore[misc]
    done(on, shown, 990)
    await on.engines.copies.follow(one)
    assert on.told(EventKind.COPY_STALLED) == []


async def test_a_site_that_dies_in_mid_copy_is_told_once_with_what_comes_next() -> None:
    on = rig(stall_after=60)
    shown, one = running(on, "dcn0", "dcn1")
    on.clusters[DCN0].put(shown.id, written=5 * MIB)
    on.clock.after(30, lambda: setattr(on.clusters[DCN0], "down", True))
    seen: list[StallCause | None] = []
    on.clock.after(50, lambda: seen.append(_cause(on, one)))
    on.clock.after(150, lambda: seen.append(_cause(on, one)))
    done(on, shown, 600)
    await on.engines.copies.follow(one)
    assert seen == [None, StallCause.STORE_DOWN]
    (event,) = on.told(EventKind.COPY_STALLED)
    assert event.store == "dcn0"
    assert "once dcn0 is back; otherwise its lock can be taken at 13:00 UTC" in event.message
    assert on.board.stalls == {}, "nothing stays when it is over"


async def test_it_is_cleared_when_it_gets_on_and_told_again_when_it_stalls_again() -> None:
    on = rig(stall_after=60)
    shown, one = running(on, "dcn0", "dcn1")
    seen: list[StallCause | None] = []
    on.clock.after(100, lambda: seen.append(_cause(on, one)))
    on.clock.after(110, lambda: on.glance.change(shown.id, stores=store_ids("central", "dcn0")))
    on.clock.after(120, lambda: seen.append(_cause(on, one)))
    done(on, shown, 300)
    await on.engines.copies.follow(one)
    assert seen == [StallCause.STAGING, None]
    assert [event.store for event in on.told(EventKind.COPY_STALLED)] == ["dcn0", "dcn1"]


async def test_the_cause_is_looked_for_again_while_it_lasts() -> None:
    on = rig(stall_after=60)
    shown, one = running(on, "dcn0")
    on.clusters[DCN0].put(shown.id, written=MIB)
    on.clusters[DCN0].down = True
    on.clock.after(200, lambda: setattr(on.clusters[DCN0], "down", False))
    seen: list[StallCause | None] = []
    on.clock.after(100, lambda: seen.append(_cause(on, one)))
    # The first reading after the outage is news, and so the patience begins anew.
    on.clock.after(400, lambda: seen.append(_cause(on, one)))
    done(on, shown, 500)
    await on.engines.copies.follow(one)
    assert seen == [StallCause.STORE_DOWN, StallCause.WORKER_GONE]


async def test_a_glance_that_shows_nothing_is_a_stall_too() -> None:
    on = rig(stall_after=60)
    shown, one = running(on, "dcn0")
    done(on, shown, 10)
    on.glance.refusals["image"] = [TransientError("connection refused") for _ in range(20)]
    await on.engines.copies.follow(one)
    (event,) = on.told(EventKind.COPY_STALLED)
    assert "connection refused" in event.message


async def test_without_ceph_the_tasks_silence_tells() -> None:
    on = rig(ceph=False, stall_after=300)
    shown, one = running(on, "dcn0")
    done(on, shown, 400)
    await on.engines.copies.follow(one)
    (event,) = on.told(EventKind.COPY_STALLED)
    assert "no sign since 12:00 UTC" in event.message


async def test_the_site_is_asked_seldom_and_its_bytes_are_what_is_shown() -> None:
    on = rig()
    shown, one = running(on, "dcn0", "dcn1")
    on.clusters[DCN0].put(shown.id, written=700 * MIB)
    on.glance.task(message="Copied 16 MiB")
    seen: list[int] = []
    on.clock.after(30, lambda: seen.append(on.board.entries[shown.id, DCN0].bytes_done))
    on.clock.after(50, lambda: on.glance.arrive(shown.id, "dcn0"))
    on.clock.after(61, lambda: seen.append(on.board.entries[shown.id, DCN1].bytes_done))
    done(on, shown, 70)
    await on.engines.copies.follow(one)
    assert seen == [700 * MIB, 0]
    assert on.clusters[DCN0].readings <= 10
    assert on.clusters[DCN1].readings <= 5


async def test_a_site_in_trouble_is_asked_even_more_seldom() -> None:
    on = rig()
    shown, one = running(on, "dcn0")
    on.clusters[DCN0].down = True
    done(on, shown, 120)
    await asyncio.wait_for(on.engines.copies.follow(one), timeout=60)
    assert on.clusters[DCN0].readings == 4


def _cause(on: Rig, one: Attempt) -> StallCause | None:
    stall = on.board.stalls.get(one.id)
    return stall.cause if stall is not None else None
