"""Slots and room as they are given away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.job import Work
from edgesync.domain.site import BreakerState
from edgesync.domain.store import StoreId, StoreSettings
from edgesync.plan.budget import Budget, Room, Slots, gib
from tests.builders import attempt, image, site, store_ids

DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
BOTH = frozenset({DCN0, DCN1})
GIB = 1 << 30
TWO_EACH = Budget(imports=4, default=StoreSettings(max_concurrent=2))
ONE = image()


def slots(*stores: str, stalled: int = 0, sites: dict[StoreId, BreakerState] | None = None) -> Slots:
    """So many imports are running; the first `stalled` of them don't get on."""
    running = [attempt(ONE, store, number=number) for number, store in enumerate(stores)]
    return Slots(
        TWO_EACH,
        running,
        {store: site(store, state) for store, state in (sites or {}).items()},
        frozenset(entry.id for entry in running[:stalled]),
    )


def test_running_imports_take_a_slot_of_their_store_and_one_of_all() -> None:
    some = slots("dcn0", "dcn0")
    assert some.left == 2
    assert some.free(BOTH) == {DCN1}


def test_removals_and_repairs_take_none() -> None:
    assert Slots(TWO_EACH, [attempt(ONE, "dcn0", work=Work.REMOVE)], {}).left == 4


def test_a_stalled_import_frees_its_slots() -> None:
    some = slots("dcn0", "dcn0", stalled=2)
    assert some.left == 4
    assert some.free(BOTH) == BOTH


def test_a_store_collects_no_more_stalled_imports_than_it_has_slots() -> None:
    assert DCN0 in slots("dcn0", "dcn0", "dcn0", stalled=3).free(BOTH)
    assert slots("dcn0", "dcn0", "dcn0", "dcn0", stalled=4).free(BOTH) == {DCN1}


def test_a_stalled_import_is_trial_enough_for_a_store_in_doubt() -> None:
    assert slots("dcn0", stalled=1, sites={DCN0: BreakerState.HALF_OPEN}).free(BOTH) == {DCN1}


def test_a_reserved_slot_is_nobodys() -> None:
    some = slots("dcn0")
    some.reserve([DCN0])
    assert some.free(BOTH) == {DCN1}
    assert some.left == 3


def test_a_store_with_limits_of_its_own() -> None:
    budget = Budget(imports=9, stores={DCN0: StoreSettings(max_concurrent=1)})
    assert Slots(budget, [attempt(ONE, "dcn0", "dcn1")], {}).free(BOTH) == {DCN1}


def room(used: int, available: int, size: int = 0) -> Room:
    running = [attempt(image(size=size), "dcn0")] if size else []
    return Room(TWO_EACH, {DCN0: site("dcn0", used=used, available=available)}, running, {ONE.id: image(size=size)})


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
def test_nothing_is_let_in_that_would_pass_the_limit(used: int, available: int, coming: int, size: int) -> None:
    allowed = not room(used, available, coming).lacking(BOTH, size)
    assert allowed is (used + coming + size <= int(0.85 * (used + available)))


def test_where_the_capacity_is_not_known_there_is_room() -> None:
    assert room(100, 0).lacking(BOTH, GIB) == store_ids("dcn0")


def test_a_pool_beyond_its_limit_takes_not_even_an_image_of_unknown_size() -> None:
    assert room(86, 14).lacking(BOTH, 0) == store_ids("dcn0")
    assert room(85, 15).lacking(BOTH, 0) == frozenset()
    assert "beyond max_pool_fill, 85%" in room(86, 14).explain([DCN0], 0)


def test_room_that_was_given_away_is_gone() -> None:
    some = room(0, 100)
    some.take(BOTH, 80)
    assert some.lacking(BOTH, 5) == frozenset()
    assert some.lacking(BOTH, 6) == {DCN0}


def test_bytes_are_written_for_people() -> None:
    assert (gib(3 << 30), gib(512 << 20)) == ("3.0 GiB", "512.0 MiB")
