"""Jobs that end without an attempt."""

from __future__ import annotations

import pytest

from edgesync.domain.action import SettleJob
from edgesync.domain.job import Job, Origin, Work
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Situation
from tests.builders import attempt, image, job, situation


def settled(case: Situation) -> list[SettleJob]:
    return [action for action in make_plan(case).actions if isinstance(action, SettleJob)]


def removal(*stores: str) -> Job:
    return job(image(), *stores, work=Work.REMOVE)


def test_a_copy_that_came_another_way_is_settled_and_the_rest_goes_on() -> None:
    one = image(stores=("central", "dcn0"))
    case = situation(one, jobs=[job(one, "dcn0", "dcn1")])
    assert [entry.copied for entry in settled(case)] == [("dcn0",)]
    assert [start.stores for start in make_plan(case).starts] == [("dcn1",)]


def test_while_something_is_under_way_on_the_image_nothing_is_settled() -> None:
    one = image(stores=("central", "dcn0"))
    assert settled(situation(one, jobs=[job(one, "dcn0")], attempts=[attempt(one, "dcn1", number=9)])) == []
    gone = image("gone")
    assert settled(situation(jobs=[job(gone, "dcn0")], attempts=[attempt(gone, "dcn0", number=9)])) == []


def test_a_copy_that_is_listed_by_an_image_that_is_not_active_settles_nothing() -> None:
    one = image(stores=("central", "dcn0"), status="deactivated")
    assert settled(situation(one, jobs=[job(one, "dcn0")])) == []


def test_a_job_of_a_deleted_image_ends() -> None:
    (ended,) = settled(situation(jobs=[job(image(), "dcn0", "dcn1")]))
    assert ended.failed == ("dcn0", "dcn1")
    assert ended.reason == "the image was deleted"


def test_an_import_of_an_image_that_is_not_there_yet_goes_on() -> None:
    assert settled(situation(jobs=[job(image(), "central", work=Work.IMPORT)])) == []


def test_an_import_whose_image_was_deleted_after_the_data_came_ends() -> None:
    (ended,) = settled(situation(jobs=[job(image(), "dcn0", work=Work.IMPORT, copied=("central",))]))
    assert ended.failed == ("dcn0",)


def test_an_import_whose_data_came_another_way_is_settled() -> None:
    (ended,) = settled(situation(image(), jobs=[job(image(), "central", "dcn0", work=Work.IMPORT)]))
    assert ended.copied == ("central",)


def test_a_removal_is_settled_when_the_copy_or_the_image_is_gone() -> None:
    assert [entry.removed for entry in settled(situation(image(), jobs=[removal("dcn0")]))] == [("dcn0",)]
    assert [entry.removed for entry in settled(situation(jobs=[removal("dcn0")]))] == [("dcn0",)]


@pytest.mark.parametrize(
    ("stores", "wanted", "refused"),
    [
        (("central", "dcn0"), ("central", "dcn0"), ("central",)),
        (("central",), ("central",), ("central",)),
        (("dcn0", "dcn1"), ("dcn0", "dcn1"), ("dcn0", "dcn1")),
        (("dcn0", "dcn1"), ("dcn0",), None),
    ],
)
def test_the_hubs_copy_and_the_last_are_refused(
    stores: tuple[str, ...], wanted: tuple[str, ...], refused: tuple[str, ...] | None
) -> None:
    case = situation(image(stores=stores), jobs=[removal(*wanted)])
    assert [entry.failed for entry in settled(case)] == ([refused] if refused else [])
    assert all("delete the image instead" in entry.reason for entry in settled(case))


@pytest.mark.parametrize(
    "left",
    [
        job(image(), "dcn0", work=Work.TRASH, origin=Origin.REPAIR),
        job(image(), "dcn0", work=Work.UNLIST, origin=Origin.REPAIR),
        job(image(), "dcn0", work=Work.REMOVE, origin=Origin.POLICY),
    ],
    ids=["a trashing", "a repair", "a pruning"],
)
def test_what_edgesync_had_begun_by_itself_and_not_done_is_planned_anew_or_not_at_all(left: Job) -> None:
    """Its reason may be gone: an orphan that is a copy now, a copy that is wanted again."""
    one = image(stores=("central", "dcn0"))
    plan = make_plan(situation(one, jobs=[left]))
    (ended,) = plan.actions
    assert isinstance(ended, SettleJob)
    assert ended.failed == ("dcn0",)
    assert "planned anew" in ended.reason
