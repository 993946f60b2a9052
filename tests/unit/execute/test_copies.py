"""One copy from its request to its recorded end, when something is in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edgesync.domain.image import Image, TaskId, TaskStatus
from edgesync.domain.job import CopyResult, EventKind
from edgesync.domain.site import Defect
from edgesync.errors import ConflictError, PermanentError, TransientError, UnreachableError
from tests.builders import CENTRAL, NOW, attempt, image, store_ids
from tests.unit.execute.doubles import DCN0, DCN1, OURS, Rig, rig

COPIED, FAILED, INTERRUPTED = CopyResult.COPIED, CopyResult.FAILED, CopyResult.INTERRUPTED


def held(holder: str = "theirs", **fields: object) -> Image:
    """An image whose lock somebody holds."""
    return image(lock=holder, **fields)  # type: ignore[arg-type]


def works(on: Rig, *stores: str, after: float = 10) -> None:
    """Glance makes the copies so many seconds after it is asked."""
    shown = next(iter(on.glance.images.values()))
    on.glance.on_import = lambda: finishes(on, shown, *stores, after=after)


def finishes(on: Rig, shown: Image, *stores: str, after: float) -> None:
    """The import that runs ends well so many seconds from now."""

    def finish() -> None:
        on.glance.arrive(shown.id, *(stores or ("dcn0",)))
        on.glance.end(shown.id)

    on.clock.after(after, finish)


# ---- before the request


@pytest.mark.parametrize("dead", [DCN0, CENTRAL])
async def test_nothing_is_sent_while_a_site_that_it_needs_is_silent(dead: str) -> None:
    on = rig()
    shown = on.glance.put(image())
    on.clusters[dead].down = True  # type: ignore[index]
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.glance.asked("copy_image") == []
    assert len(on.journal.dropped) == 1
    assert on.journal.finished == []


async def test_a_site_that_it_does_not_need_may_be_dead() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.clusters[DCN1].down = True
    works(on, "dcn0")
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": COPIED}
    assert on.sites.outcomes == [(DCN0, True, "")]


async def test_nothing_is_sent_while_a_leftover_is_in_the_way_and_it_is_made_known() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.clusters[DCN0].put(shown.id)
    on.sites.find(shown.id, DCN0, Defect.ORPHAN)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.glance.asked("copy_image") == []
    assert on.sites.examined == [DCN0]
    assert len(on.journal.dropped) == 1


async def test_rbd_data_that_is_no_orphan_is_left_to_glance() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.clusters[DCN0].put(shown.id)
    works(on, "dcn0")
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": COPIED}


async def test_a_lock_in_force_is_respected() -> None:
    on = rig()
    shown = on.glance.put(held())
    on.glance.task("theirs", updated_at=NOW - timedelta(minutes=60))
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.glance.asked("copy_image") == []
    assert len(on.journal.dropped) == 1


async def test_an_expired_lock_is_no_obstacle() -> None:
    on = rig()
    shown = on.glance.put(held())
    on.glance.task("theirs", updated_at=NOW - timedelta(minutes=60, seconds=5))
    works(on, "dcn0")
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": COPIED}


async def test_asking_for_an_expired_lock_too_early_is_no_failure() -> None:
    on = rig()
    shown = on.glance.put(held())
    on.glance.task("theirs", updated_at=NOW - timedelta(minutes=61))
    on.glance.refusals["copy_image"] = [ConflictError("Image has active task")]
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.journal.finished == []
    assert len(on.journal.dropped) == 1
    assert on.told(EventKind.RIVAL_IMPORT) == [], "there is no rival: Glance's clock is behind"
    assert await on.bench.locked(shown), "it is not asked for again at once"
    await on.clock.sleep(90)
    assert not await on.bench.locked(shown)


async def test_a_lock_without_a_visible_task_is_taken_two_hours_after_it_last_changed() -> None:
    on = rig()
    shown = on.glance.put(held())
    works(on, "dcn0")
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    await on.clock.sleep(7000)
    on.glance.change(shown.id, importing_to=store_ids("dcn1"))
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    await on.clock.sleep(7000)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.glance.asked("copy_image") == []
    await on.clock.sleep(300)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": COPIED}


# ---- the request


async def test_a_glance_that_does_not_answer_makes_no_copy_fail() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.glance.refusals["copy_image"] = [UnreachableError("no answer") for _ in range(3)]
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": INTERRUPTED}
    assert on.end.failures == []
    assert on.sites.outcomes == [(DCN0, False, "no answer")]


async def test_what_trying_again_does_not_mend_waits_long_and_shows_its_remedy() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.glance.refusals["copy_image"] = [PermanentError("over quota", remedy="raise it")]
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    (failure,) = on.end.failures
    assert (failure.remedy, failure.next_try) == ("raise it", NOW + timedelta(hours=1))
    assert on.sites.outcomes == []


# ---- the end


async def test_a_failed_store_is_remembered_and_told() -> None:
    on = rig()
    shown = on.glance.put(image())

    def fail() -> None:
        on.glance.change(shown.id, failed=store_ids("dcn0"))
        on.glance.end(shown.id)

    on.glance.on_import = lambda: on.clock.after(5, fail)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert (on.end.results, on.end.kinds) == ({"dcn0": FAILED}, [EventKind.COPY_FAILED])
    assert len(on.end.failures) == 1
    assert on.sites.examined == [DCN0]
    ((store, good, cause),) = on.sites.outcomes
    assert (store, good) == (DCN0, False)
    assert "import failed" in cause
    assert on.measured == [(DCN0, FAILED)]


async def test_a_store_that_failed_because_of_a_leftover_is_not_to_blame() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.sites.find(shown.id, DCN0, Defect.ORPHAN)
    on.glance.on_import = lambda: on.glance.end(shown.id)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.sites.outcomes == []


async def test_what_failed_at_a_dead_site_waits_for_it_and_is_not_remembered() -> None:
    on = rig()
    shown = on.glance.put(image())

    def die() -> None:
        on.clusters[DCN0].down = True
        on.glance.change(shown.id, failed=store_ids("dcn0"))
        on.glance.arrive(shown.id, "dcn1")
        on.glance.end(shown.id)

    on.glance.on_import = lambda: on.clock.after(5, die)
    await on.engines.copies.begin(attempt(shown, "dcn0", "dcn1"))
    assert on.end.results == {"dcn0": INTERRUPTED, "dcn1": COPIED}
    assert on.end.failures == []
    assert "silent" in on.end.reasons


async def test_an_import_whose_worker_died_is_given_up_when_its_lock_expires_and_not_before() -> None:
    on = rig()
    shown = on.glance.put(image())
    await on.engines.copies.begin(attempt(shown, "dcn0", "dcn1"))
    assert on.end.results == {"dcn0": INTERRUPTED, "dcn1": INTERRUPTED}
    assert on.end.failures == []
    assert on.end.kinds == [EventKind.COPY_INTERRUPTED] * 2
    assert timedelta(minutes=60) < on.clock.now() - NOW < timedelta(minutes=61)
    assert "no sign since 2026-03-01 12:00 UTC" in on.end.reasons


@pytest.mark.parametrize(("ceph", "blamed"), [(True, []), (False, [DCN1])])
async def test_only_where_nobody_can_look_a_store_is_blamed_for_an_import_that_hung(
    ceph: bool, blamed: list[str]
) -> None:
    on = rig(ceph=ceph)
    shown = on.glance.put(image())
    on.glance.on_import = lambda: on.glance.arrive(shown.id, "dcn0")
    await on.engines.copies.begin(attempt(shown, "dcn0", "dcn1"))
    assert on.end.results == {"dcn0": COPIED, "dcn1": INTERRUPTED}
    assert [store for store, good, _ in on.sites.outcomes if not good] == blamed


async def test_a_pending_task_is_given_twice_the_time() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.glance.on_import = lambda: on.glance.task(status=TaskStatus.PENDING)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert timedelta(minutes=120) < on.clock.now() - NOW < timedelta(minutes=121)


async def test_a_task_that_ended_and_kept_its_lock_is_given_up_too() -> None:
    on = rig()
    shown = on.glance.put(image())

    def die() -> None:
        on.glance.arrive(shown.id, "dcn0")
        on.glance.task(status=TaskStatus.SUCCESS)

    on.glance.on_import = lambda: on.clock.after(5, die)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": COPIED}


async def test_a_task_that_is_updated_is_waited_for() -> None:
    on = rig()
    shown = on.glance.put(image())
    for minute in range(1, 200):
        on.clock.after(60 * minute, lambda minute=minute: on.glance.task(message=f"Copied {minute} MiB"))  # type: ignore[misc]
    works(on, "dcn0", after=200 * 60)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": COPIED}


async def test_where_glance_tells_no_tasks_two_hours_without_a_change_end_it() -> None:
    on = rig()
    shown = on.glance.put(held("ours"))
    on.clock.after(3600, lambda: on.glance.change(shown.id, stores=store_ids("central", "dcn0")))
    await on.engines.copies.follow(attempt(shown, "dcn0", "dcn1", task="ours"))
    assert on.end.results == {"dcn0": COPIED, "dcn1": INTERRUPTED}
    assert timedelta(hours=3) < on.clock.now() - NOW < timedelta(hours=3, minutes=1)


async def test_a_lock_that_a_rival_took_over_interrupts() -> None:
    on = rig()
    shown = on.glance.put(image())

    def preempt() -> None:
        on.glance.task(status=TaskStatus.FAILURE, message="Expired lock preempted")
        on.glance.change(shown.id, lock=TaskId("theirs"), importing_to=store_ids("dcn0"))

    on.glance.on_import = lambda: on.clock.after(5, preempt)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": INTERRUPTED}


async def test_all_or_nothing_takes_away_what_an_interrupted_import_made_and_goes_on_waiting() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.glance.on_import = lambda: on.clock.after(30, lambda: on.glance.arrive(shown.id, "dcn0"))
    on.clock.after(60, lambda: setattr(on.clusters[DCN1], "down", True))
    await on.engines.copies.begin(attempt(shown, "dcn0", "dcn1", allow_failure=False))
    assert on.end.results == {"dcn0": INTERRUPTED, "dcn1": INTERRUPTED}
    assert on.glance.images[shown.id].stores == {"central"}
    assert on.end.failures == []
    assert on.glance.asked("copy_image") == [(shown.id, (DCN0, DCN1), False)]


async def test_a_copy_made_between_the_looks_at_image_and_task_does_not_stay_behind() -> None:
    on = rig()
    shown = on.glance.put(image(stores=("central",), lock="ours"))
    on.glance.task(stores=store_ids("dcn0", "dcn1"))

    def crash() -> None:
        """Between the two, the copy is made, glance-api dies, and a long time passes."""
        on.glance.arrive(shown.id, "dcn0")
        on.glance.task(updated_at=NOW - timedelta(minutes=61))

    on.glance.on_tasks = crash
    await on.engines.copies.follow(attempt(shown, "dcn0", "dcn1", allow_failure=False, task="ours"))
    assert on.glance.asked("delete_from_store") == [(shown.id, DCN0)]
    assert on.end.results == {"dcn0": INTERRUPTED, "dcn1": INTERRUPTED}


async def test_all_or_nothing_that_broke_off_while_taking_away_is_finished_by_whoever_follows() -> None:
    on = rig()
    shown = on.glance.put(image(stores=("central", "dcn0", "dcn1"), failed=()))
    on.glance.task(status=TaskStatus.FAILURE, stores=store_ids("dcn0", "dcn1", "dcn2"))
    on.glance.refusals["delete_from_store"] = [UnreachableError("no answer")]
    whole = attempt(shown, "dcn0", "dcn1", "dcn2", allow_failure=False, task="ours")
    with pytest.raises(UnreachableError):
        await on.engines.copies.follow(whole)
    await on.engines.copies.follow(whole)
    assert on.end.results == {"dcn0": CopyResult.REVERTED, "dcn1": CopyResult.REVERTED, "dcn2": FAILED}
    assert on.glance.images[shown.id].stores == {"central"}


async def test_an_image_deleted_in_mid_copy_is_looked_for_at_its_sites() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.glance.on_import = lambda: on.clock.after(5, lambda: on.glance.images.clear())
    await on.engines.copies.begin(attempt(shown, "dcn0", "dcn1"))
    assert on.end.results == {"dcn0": FAILED, "dcn1": FAILED}
    assert on.end.failures == []
    assert on.sites.examined == [DCN0, DCN1]
    assert on.lost == [shown.id]
    assert len(on.told(EventKind.IMAGE_GONE)) == 1


async def test_an_image_deactivated_in_mid_copy_waits_for_its_return() -> None:
    on = rig()
    shown = on.glance.put(image())

    def deactivate() -> None:
        on.glance.change(shown.id, status="deactivated", failed=store_ids("dcn0"))
        on.glance.end(shown.id, TaskStatus.FAILURE, "None of the uploads finished!")

    on.glance.on_import = lambda: on.clock.after(5, deactivate)
    await on.engines.copies.begin(attempt(shown, "dcn0"))
    assert on.end.results == {"dcn0": INTERRUPTED}
    assert "deactivated" in on.end.reasons
    assert on.end.failures == []


# ---- after a restart


async def test_what_never_reached_glance_is_dropped() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.glance.task("older", stores=(DCN0,), created_at=NOW - timedelta(hours=1))
    await on.engines.copies.follow(attempt(shown, "dcn0"))
    assert len(on.journal.dropped) == 1


async def test_what_reached_glance_is_followed() -> None:
    on = rig()
    shown = on.glance.put(replace(image(), lock=OURS))
    on.glance.task(stores=(DCN0,))
    finishes(on, shown, after=20)
    mine = attempt(shown, "dcn0")
    await on.engines.copies.follow(mine)
    assert on.end.results == {"dcn0": COPIED}
    assert on.journal.attached == {mine.id: OURS}


async def test_a_glance_that_is_away_for_a_while_is_waited_for() -> None:
    on = rig()
    shown = on.glance.put(held("ours"))
    on.glance.task(stores=(DCN0,))
    on.glance.refusals["tasks"] = [TransientError("busy") for _ in range(4)]
    finishes(on, shown, after=1)
    await on.engines.copies.follow(attempt(shown, "dcn0", task="ours"))
    assert on.end.results == {"dcn0": COPIED}
