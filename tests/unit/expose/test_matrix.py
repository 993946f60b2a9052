"""Each copy has one state, and the counts agree with the states."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.copy import CopyState, Progress
from edgesync.domain.job import EngineChoice
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.expose.jobs import job_view
from edgesync.expose.matrix import copy_view, count_copies, natural, ordered_stores
from edgesync.plan.situation import Situation
from tests.builders import NOW, attempt, failure, image, job, policy, situation, topology
from tests.unit.expose.pictures import finding, picture_of, site
from tests.unit.plan.test_planner_properties import situations


def state(case: Situation, store: str) -> CopyState:
    picture = picture_of(case)
    return copy_view(picture, next(iter(case.world.images.values())), StoreId(store)).state


def test_states() -> None:
    one = image(stores=("central", "dcn0"))
    bare = image(stores=("central", "dcn0"), tags=())
    assert state(situation(one, policies=[policy()]), "central") is CopyState.PRESENT
    assert state(situation(one, policies=[policy()]), "dcn0") is CopyState.PRESENT
    assert state(situation(bare, policies=[policy()]), "dcn0") is CopyState.UNWANTED
    assert state(situation(bare, policies=[policy()]), "central") is CopyState.PRESENT
    assert state(situation(bare, policies=[policy()]), "dcn1") is CopyState.ABSENT
    assert state(situation(bare, jobs=[job(bare, "dcn1")]), "dcn1") is CopyState.WAITING
    assert state(situation(one, policies=[policy()], attempts=[attempt(one, "dcn1")]), "dcn1") is CopyState.COPYING
    assert state(situation(one, policies=[policy()], failures=[failure(one, "dcn1")]), "dcn1") is CopyState.FAILED
    rival = image(importing_to=("dcn1",), lock="theirs")
    assert state(situation(rival, policies=[policy()]), "dcn1") is CopyState.COPYING


def test_a_wrong_engine_is_not_what_a_copy_waits_for_that_a_policy_wants_too() -> None:
    one = image(disk_format="qcow2")
    running = [attempt(image(f"other-{number}"), "dcn0", number=number) for number in range(2)]
    asked = job(one, "dcn0", engine=EngineChoice.RBD)
    case = situation(one, policies=[policy(stores=["dcn0"])], jobs=[asked], attempts=running, per_store=2)
    shown = copy_view(picture_of(case), one, StoreId("dcn0"))
    assert shown.reason.startswith("budget: ")
    assert job_view(asked, picture_of(case)).stores[0].waiting.startswith("engine: ")


def test_a_running_copy_shows_bytes_rate_and_time_left() -> None:
    one = image()
    case = situation(one, attempts=[attempt(one, "dcn0")])
    progress = Progress(
        image=one.id, store=StoreId("dcn0"), bytes_done=256 << 20, bytes_total=1 << 30, rate=64 << 20, since=NOW
    )
    shown = copy_view(picture_of(case, progress), one, StoreId("dcn0"))
    assert (shown.bytes_done, shown.eta) == (256 << 20, 12.0)


def test_a_failed_copy_says_when_it_is_tried_again() -> None:
    one = image()
    shown = copy_view(
        picture_of(situation(one, policies=[policy()], failures=[failure(one, "dcn0")])), one, StoreId("dcn0")
    )
    assert (shown.reason, shown.remedy, shown.next_try) == ("it broke", "mend it", NOW + timedelta(seconds=60))


defects = st.lists(st.tuples(st.sampled_from(["central", "dcn0", "dcn1"]), st.sampled_from(Defect)), max_size=4)


@given(situations(), defects)
def test_counts_agree_with_the_states(case: Situation, found: list[tuple[str, Defect]]) -> None:
    known = case.world.topology.stores
    pairs = list(zip(case.world.images.values(), found, strict=False))
    picture = picture_of(
        case,
        sites=[
            site(store, *(finding(one, store, defect) for one, (at, defect) in pairs if at == store))
            for store in ("central", "dcn0", "dcn1")
        ],
    )
    expected = Counter(
        (store, copy_view(picture, one, store).state)
        for one in case.world.images.values()
        for store in ordered_stores(picture)
    )
    counted = count_copies(picture)
    assert {key: number for key, number in counted.items() if key[0] in known} == {
        key: number for key, number in expected.items() if key[1] is not CopyState.ABSENT
    }


def test_the_hub_comes_first_and_numbers_count() -> None:
    case = situation(stores=topology("dcn10", "dcn2", "dcn1"))
    assert ordered_stores(picture_of(case)) == ["central", "dcn1", "dcn2", "dcn10"]
    assert natural("dcn2") < natural("dcn10")
