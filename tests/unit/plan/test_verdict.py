"""The outcome of an import is judged by where the data is."""

from __future__ import annotations

from dataclasses import replace

from edgesync.domain.image import ImportTask, TaskId, TaskStatus
from edgesync.domain.job import CopyResult, Verdict
from edgesync.domain.store import StoreId
from edgesync.plan.verdict import PREEMPTED, excused, judge, taken_away, to_take_away
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


def results(verdict: Verdict) -> dict[str, CopyResult]:
    return {entry.store: entry.result for entry in verdict.results}


def test_what_was_cut_short_is_no_failure_unless_glance_says_so() -> None:
    stores = ("central", "dcn0")
    seen = image(stores=stores, failed=("dcn1",), lock="t")
    verdict = judge(attempt(image(), "dcn0", "dcn1", "dcn2", task="t"), seen, None, cut="its worker died")
    assert results(verdict) == {
        "dcn0": CopyResult.COPIED,
        "dcn1": CopyResult.FAILED,
        "dcn2": CopyResult.INTERRUPTED,
    }
    assert verdict.results[2].reason == "its worker died"


def test_a_lock_that_was_given_away_interrupts() -> None:
    task = replace(SUCCESS, message=PREEMPTED)
    assert results(judge(attempt(image(), "dcn0", task="t"), image(), task)) == {"dcn0": CopyResult.INTERRUPTED}


def test_an_import_that_somebody_elses_has_followed_is_no_failure() -> None:
    seen = image(lock="theirs", importing_to=("dcn0",))
    assert results(judge(attempt(image(), "dcn0", task="t"), seen, SUCCESS)) == {"dcn0": CopyResult.INTERRUPTED}


def test_an_image_that_is_not_active_any_more_interrupts_whatever_glance_lists() -> None:
    seen = image(status="deactivated", failed=("dcn0",))
    (entry,) = judge(attempt(image(), "dcn0"), seen, SUCCESS).results
    assert entry.result is CopyResult.INTERRUPTED
    assert "deactivated" in entry.reason


def test_all_or_nothing_that_failed_somewhere_names_that_store_everywhere() -> None:
    whole = attempt(image(), "dcn0", "dcn1", allow_failure=False, task="t")
    verdict = judge(whole, image(failed=("dcn0",), lock="t"), None, cut="its worker died")
    assert results(verdict) == {"dcn0": CopyResult.FAILED, "dcn1": CopyResult.REVERTED}
    assert "because dcn0 failed" in verdict.results[1].reason


def test_all_or_nothing_that_was_interrupted_goes_on_waiting_as_a_whole() -> None:
    whole = attempt(image(), "dcn0", "dcn1", allow_failure=False, task="t")
    verdict = judge(whole, image(stores=("central", "dcn0"), lock="t"), None, cut="its worker died")
    assert to_take_away(whole, verdict) == ("dcn0",)
    final = taken_away(verdict, store_ids("dcn0"))
    assert results(final) == {"dcn0": CopyResult.INTERRUPTED, "dcn1": CopyResult.INTERRUPTED}


def test_a_failure_at_a_site_that_is_down_is_an_interruption_except_for_all_or_nothing() -> None:
    down = {StoreId("dcn0"): "no answer"}
    for allow_failure, result in ((True, CopyResult.INTERRUPTED), (False, CopyResult.FAILED)):
        one = attempt(image(), "dcn0", "dcn1", allow_failure=allow_failure)
        verdict = excused(one, judge(one, image(), SUCCESS), down)
        assert results(verdict) == {"dcn0": result, "dcn1": CopyResult.FAILED}
