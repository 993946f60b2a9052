"""The outcome of an import is judged by where the data is."""

from __future__ import annotations

from edgesync.domain.image import ImportTask, TaskId, TaskStatus
from edgesync.domain.job import CopyResult
from edgesync.plan.verdict import judge, taken_away, to_take_away
from tests.builders import NOW, attempt, image, store_ids

SUCCESS = ImportTask(id=TaskId("t"), status=TaskStatus.SUCCESS, message="", stores=(), created_at=NOW, updated_at=NOW)


def test_a_task_that_says_success_is_not_believed() -> None:
    verdict = judge(attempt(image(), "dcn0", "dcn1"), image(stores=("central", "dcn1"), failed=("dcn0",)), SUCCESS)
    assert [entry.result for entry in verdict.results] == [CopyResult.FAILED, CopyResult.COPIED]


def test_a_stale_failed_list_does_not_count_against_a_copy_that_is_there() -> None:
    verdict = judge(attempt(image(), "dcn0"), image(stores=("central", "dcn0"), failed=("dcn0",)), None)
    assert verdict.results[0].result is CopyResult.COPIED


def test_a_store_in_no_list_has_failed_and_says_so() -> None:
    (entry,) = judge(attempt(image(), "dcn0"), image(), None).results
    assert entry.result is CopyResult.FAILED
    assert "without this store" in entry.reason


def test_the_tasks_last_word_is_passed_on() -> None:
    task = ImportTask(
        id=TaskId("t"), status=TaskStatus.FAILURE, message="disk full", stores=(), created_at=NOW, updated_at=NOW
    )
    (entry,) = judge(attempt(image(), "dcn0"), image(failed=("dcn0",)), task).results
    assert "disk full" in entry.reason


def test_all_or_nothing_takes_the_others_away() -> None:
    whole = attempt(image(), "dcn0", "dcn1", allow_failure=False)
    verdict = judge(whole, image(stores=("central", "dcn0")), None)
    assert to_take_away(whole, verdict) == ("dcn0",)
    final = taken_away(verdict, store_ids("dcn0"))
    assert [entry.result for entry in final.results] == [CopyResult.REVERTED, CopyResult.FAILED]
    assert "dcn1" in final.results[0].reason


def test_with_allow_failure_or_without_failure_nothing_is_taken_away() -> None:
    lenient = attempt(image(), "dcn0", "dcn1")
    assert to_take_away(lenient, judge(lenient, image(stores=("central", "dcn0")), None)) == ()
    whole = attempt(image(), "dcn0", allow_failure=False)
    assert to_take_away(whole, judge(whole, image(stores=("central", "dcn0")), None)) == ()
