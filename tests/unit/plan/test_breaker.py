"""When copies to a store are held back, and when they are let through again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.site import Breaker, BreakerState
from edgesync.plan.breaker import (
    BreakerRules,
    admits,
    after_outcome,
    after_probe,
    after_refusal,
    explain,
    trial_due,
)
from tests.builders import NOW

RULES = BreakerRules(failures=3, first=10, ceiling=300)
SECOND = timedelta(seconds=1)


def probed(*errors: str | None, before: Breaker | None = None, at: float = 0) -> Breaker:
    breaker = before or Breaker()
    for error in errors:
        breaker = after_probe(breaker, error, NOW + at * SECOND, 0, RULES)
    return breaker


def copied(*goods: bool, before: Breaker | None = None, at: float = 0) -> Breaker:
    breaker = before or Breaker()
    for good in goods:
        breaker = after_outcome(breaker, good, "" if good else "no space", NOW + at * SECOND, 0, RULES)
    return breaker


def test_one_failed_probe_stops_the_copies() -> None:
    breaker = probed("OSD: timed out")
    assert breaker.state is BreakerState.OPEN
    assert not admits(breaker, NOW, 0)
    assert not admits(breaker, NOW + timedelta(days=1), 0), "only a good probe lets copies through again"


def test_a_site_that_answers_again_gets_one_copy_at_a_time_until_the_next_good_sign() -> None:
    once = probed("OSD: timed out", None)
    assert once.state is BreakerState.HALF_OPEN
    assert admits(once, NOW, 0)
    assert not admits(once, NOW, 1)
    for closed in (probed(None, before=once), copied(True, before=once)):
        assert closed.state is BreakerState.CLOSED
        assert closed.probed
        assert not closed.cause
        assert admits(closed, NOW, 100)


def test_the_pause_between_probes_doubles_up_to_the_ceiling() -> None:
    breaker, pauses = Breaker(), []
    for _ in range(8):
        breaker = probed("no", before=breaker)
        assert breaker.retry_at is not None
        pauses.append((breaker.retry_at - NOW).total_seconds())
    assert pauses == [5, 10, 20, 40, 80, 150, 150, 150]


def test_a_site_that_comes_and_goes_waits_longer_each_time_until_it_has_been_well() -> None:
    flapping = probed("no", None, "no", None, "no")
    assert flapping.retry_at == NOW + 20 * SECOND
    assert probed(None, None, "no", before=flapping).retry_at == NOW + 5 * SECOND


def test_an_outage_is_told_since_it_began_and_not_since_the_last_probe() -> None:
    assert probed("no", before=probed("no"), at=60).since == NOW


def test_failed_copies_do_not_count_where_probes_say_that_the_site_is_well() -> None:
    assert copied(*[False] * 50, before=probed(None)) == probed(None)
    half_open = probed("no", None)
    assert copied(*[False] * 50, before=half_open) == half_open


def test_a_copy_that_ends_well_after_the_site_went_down_is_old_news() -> None:
    down = probed("no")
    assert copied(True, before=down) == down


def test_without_probes_some_failed_copies_in_a_row_stop_them() -> None:
    assert copied(False, False).state is BreakerState.CLOSED
    assert copied(False, False, True, False, False).state is BreakerState.CLOSED
    down = copied(False, False, False)
    assert down.state is BreakerState.OPEN
    assert not admits(down, NOW, 0)


def test_without_probes_one_copy_is_the_trial_after_the_pause() -> None:
    down = copied(False, False, False)
    assert down.retry_at == NOW + 5 * SECOND
    assert admits(down, NOW + 5 * SECOND, 0)
    assert not admits(down, NOW + 5 * SECOND, 1)
    still = copied(False, before=down, at=5)
    assert not admits(still, NOW + 5 * SECOND, 0)
    assert still.retry_at == NOW + 15 * SECOND
    assert still.since == NOW
    assert copied(True, before=still, at=15) == Breaker(since=NOW + 15 * SECOND)


def test_copies_that_were_under_way_when_it_opened_do_not_prolong_it() -> None:
    down = copied(False, False, False)
    assert copied(*[False] * 20, before=down, at=1) == down


def test_a_site_that_we_may_not_probe_gets_copies_and_is_judged_by_them() -> None:
    refused = after_refusal(probed(None), "no caps for the pool")
    assert admits(refused, NOW, 5)
    assert "no caps for the pool" in explain(refused)
    assert copied(True, before=refused).cause == "no caps for the pool", (
        "a copy through Glance says nothing of our caps"
    )
    assert copied(False, False, False, before=refused).state is BreakerState.OPEN


def test_a_site_that_was_down_and_then_refuses_us_gets_one_copy_to_see() -> None:
    refused = after_refusal(probed("OSD: timed out"), "no caps for the pool")
    assert not admits(refused, NOW, 0)
    assert admits(refused, NOW + 5 * SECOND, 0)
    assert copied(True, before=refused, at=5).state is BreakerState.CLOSED


def test_a_good_probe_clears_what_a_refused_one_left() -> None:
    assert probed(None, before=after_refusal(probed(None), "no caps")) == probed(None)


@pytest.mark.parametrize(
    ("breaker", "said"),
    [
        (Breaker(), "answers"),
        (probed("OSD: timed out"), "does not answer since 12:00 UTC (OSD: timed out); next try 12:00:05 UTC"),
        (
            replace(probed("no"), retry_at=NOW + timedelta(days=2)),
            "does not answer since 2026-03-01 12:00 UTC (no); next try 12:00:00 UTC",
        ),
        (
            probed("OSD: timed out", None),
            "answers again since 12:00 UTC; one copy at a time until that is sure (it was down: OSD: timed out)",
        ),
        (copied(False, False), "answers, but its last 2 copies failed (no space)"),
        (
            copied(False, False, False),
            "gets no copies since 12:00 UTC (3 copies failed, the last: no space); next try 12:00:05 UTC",
        ),
    ],
)
def test_people_are_told_in_one_clause(breaker: Breaker, said: str) -> None:
    assert explain(breaker) == said


SIGNS = st.lists(
    st.tuples(st.sampled_from(["good probe", "bad probe", "refused", "good copy", "bad copy"]), st.integers(0, 400)),
    max_size=60,
)


@given(SIGNS, st.floats(0, 1, exclude_max=True))
def test_whatever_happens_a_breaker_never_locks_a_store_out_for_good(
    signs: list[tuple[str, int]], jitter: float
) -> None:
    breaker, now = Breaker(), NOW
    for sign, seconds in signs:
        now += seconds * SECOND
        match sign:
            case "good probe" | "bad probe":
                breaker = after_probe(breaker, None if sign == "good probe" else "no", now, jitter, RULES)
            case "refused":
                breaker = after_refusal(breaker, "no caps")
            case _:
                breaker = after_outcome(breaker, sign == "good copy", "no", now, jitter, RULES)
        if breaker.state is BreakerState.OPEN:
            assert breaker.retry_at is not None
            assert breaker.retry_at <= now + RULES.ceiling * SECOND
            assert not admits(breaker, breaker.retry_at - timedelta(microseconds=1), 0)
            assert trial_due(breaker, breaker.retry_at)
            assert breaker.cause, "people are told why"
        else:
            assert breaker.retry_at is None
            assert admits(breaker, now, 0)
    well = [after_probe(after_probe(breaker, None, now, jitter, RULES), None, now, jitter, RULES)]
    if not breaker.probed:
        later = now + RULES.ceiling * SECOND
        well.append(after_outcome(breaker, True, "", later, jitter, RULES))
    assert all(one.state is BreakerState.CLOSED and one.failures == 0 for one in well)
    assert all(admits(one, now, 100) for one in well)
