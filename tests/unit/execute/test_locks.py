"""How old locks are."""

from __future__ import annotations

from datetime import timedelta

from edgesync.domain.image import ImportTask, TaskId, TaskStatus
from edgesync.plan.locks import Locks, expired
from tests.builders import NOW, image, store_ids

LATER = NOW + timedelta(minutes=90)


def task(name: str = "t") -> ImportTask:
    return ImportTask(
        id=TaskId(name), status=TaskStatus.PROCESSING, message="", stores=(), created_at=NOW, updated_at=NOW
    )


def test_a_visible_task_tells() -> None:
    locks, ours = Locks(), task()
    assert locks.holder(image(lock="t"), [task("other"), ours], NOW) == ours
    assert not expired(ours, NOW + timedelta(minutes=60))
    assert expired(ours, NOW + timedelta(minutes=60, seconds=5))


def test_an_invisible_one_counts_from_the_last_change_that_we_saw() -> None:
    locks = Locks()
    first = locks.holder(image(lock="t"), [], NOW)
    again = locks.holder(image(lock="t"), [task("other")], LATER)
    assert first is not None
    assert again == first
    assert first.expires_at == NOW + timedelta(minutes=120)
    moved = locks.holder(image(lock="t", importing_to=("dcn0",)), [], LATER)
    assert moved is not None
    assert moved.updated_at == LATER


def test_another_lock_and_one_that_came_back_count_anew() -> None:
    locks = Locks()
    locks.holder(image(lock="t"), [], NOW)
    assert locks.holder(image(), [], NOW) is None
    back = locks.holder(image(lock="t"), [], LATER)
    other = locks.holder(image(lock="u"), [], LATER + timedelta(minutes=1))
    assert back is not None
    assert other is not None
    assert (back.updated_at, other.updated_at) == (LATER, LATER + timedelta(minutes=1))


def test_sets_that_are_equal_are_no_change() -> None:
    locks = Locks()
    locks.holder(image(lock="t", failed=("dcn0", "dcn1")), [], NOW)
    same = locks.holder(image(lock="t", failed=store_ids("dcn1", "dcn0")), [], LATER)
    assert same is not None
    assert same.updated_at == NOW
