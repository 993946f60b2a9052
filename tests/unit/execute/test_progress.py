"""Bytes, rate and time left, from the little that Glance tells."""

from __future__ import annotations

from datetime import datetime, timedelta

from edgesync.domain.image import ImportTask, TaskId, TaskStatus
from edgesync.domain.store import StoreId
from edgesync.execute.progress import ProgressBoard
from tests.builders import NOW, attempt, image

MIB = 1 << 20


def task(message: str) -> ImportTask:
    return ImportTask(
        id=TaskId("t"), status=TaskStatus.PROCESSING, message=message, stores=(), created_at=NOW, updated_at=NOW
    )


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def done(board: ProgressBoard, store: str) -> int:
    return board.entries[image().id, StoreId(store)].bytes_done


def test_the_message_counts_for_the_store_being_written() -> None:
    board, one = ProgressBoard(), attempt(image(), "dcn0", "dcn1")
    board.update(one, image(importing_to=("dcn0", "dcn1")), task(""), at(0))
    assert (done(board, "dcn0"), done(board, "dcn1")) == (0, 0)
    board.update(one, image(importing_to=("dcn0", "dcn1")), task("Copied 256 MiB"), at(4))
    entry = board.entries[one.image, StoreId("dcn0")]
    assert (entry.bytes_done, entry.rate, entry.eta) == (256 * MIB, 64 * MIB, 12.0)


def test_the_message_of_the_store_before_does_not_count_for_the_next() -> None:
    board, one = ProgressBoard(), attempt(image(), "dcn0", "dcn1")
    board.update(one, image(), task("Copied 512 MiB"), at(0))
    first = image(stores=("central", "dcn0"))
    board.update(one, first, task("Copied 1024 MiB"), at(10))
    assert (done(board, "dcn0"), done(board, "dcn1")) == (1024 * MIB, 0)
    board.update(one, first, task("Copied 1024 MiB"), at(20))
    assert done(board, "dcn1") == 0
    board.update(one, first, task("Copied 128 MiB"), at(30))
    assert done(board, "dcn1") == 128 * MIB


def test_a_failed_store_is_passed_over() -> None:
    board, one = ProgressBoard(), attempt(image(), "dcn0", "dcn1")
    board.update(one, image(failed=("dcn0",)), task("Copied 64 MiB"), at(0))
    assert (done(board, "dcn0"), done(board, "dcn1")) == (0, 64 * MIB)


def test_what_the_site_tells_counts_more_than_the_message() -> None:
    board, one = ProgressBoard(), attempt(image(), "dcn0", "dcn1")
    board.update(one, image(), task("Copied 64 MiB"), at(0), measured=100 * MIB)
    assert (done(board, "dcn0"), done(board, "dcn1")) == (100 * MIB, 0)
    board.update(one, image(stores=("central", "dcn0")), task("Copied 64 MiB"), at(1), measured=0)
    assert (done(board, "dcn0"), done(board, "dcn1")) == (1024 * MIB, 0)


def test_more_than_the_whole_is_never_shown() -> None:
    board, one = ProgressBoard(), attempt(image(size=MIB), "dcn0")
    board.update(one, image(size=MIB), task("Copied 16 MiB"), at(0))
    assert done(board, "dcn0") == MIB


def test_what_glance_fetches_grows_before_its_size_is_known() -> None:
    board, one = ProgressBoard(), attempt(image(size=None), "central", "dcn0")
    board.update(one, image(size=None, stores=()), None, at(0), measured=5 * MIB)
    assert (done(board, "central"), done(board, "dcn0")) == (5 * MIB, 0)


def test_nothing_stays_when_it_is_over() -> None:
    board, one = ProgressBoard(), attempt(image(), "dcn0")
    board.update(one, image(), None, at(0))
    board.clear(one)
    assert board.entries == {}
