"""When a failed copy is tried again."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.copy import Failure
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.plan.retry import Backoff, remember
from tests.builders import NOW, failure, image

BACKOFF = Backoff(first=30, ceiling=3600, attempts=10)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_delay_is_bounded_and_never_none(failures: int, jitter: float) -> None:
    assert BACKOFF.first / 2 <= BACKOFF.delay(failures, jitter) <= BACKOFF.ceiling


def test_it_doubles_and_the_last_attempts_wait_the_longest() -> None:
    assert [BACKOFF.delay(number, 0) for number in (1, 2, 3)] == [15, 30, 60]
    assert BACKOFF.delay(10, 0) == BACKOFF.ceiling


def remembered(before: Failure | None, *, hopeless: bool) -> Failure:
    return remember(
        before,
        image=ImageId("id-img"),
        store=StoreId("dcn0"),
        error="no",
        remedy="yes",
        hopeless=hopeless,
        backoff=BACKOFF,
        jitter=0.0,
        now=NOW,
    )


def test_failures_are_counted() -> None:
    assert remembered(None, hopeless=False).attempts == 1
    assert remembered(failure(image(), "dcn0", attempts=4), hopeless=False).attempts == 5


def test_what_trying_again_can_not_mend_waits_the_longest_at_once() -> None:
    assert remembered(None, hopeless=True).next_try == NOW + timedelta(seconds=3600)
