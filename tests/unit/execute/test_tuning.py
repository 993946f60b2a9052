"""What is reloaded is reloaded whole."""

from __future__ import annotations

from datetime import timedelta

from edgesync.execute.tuning import Tuning
from edgesync.plan.layering import LayeringRules
from edgesync.plan.retry import Backoff


def test_no_field_keeps_what_it_said_before() -> None:
    tuning = Tuning(
        poll=1, stall_after=60, trash_delay=timedelta(days=1), backoff=Backoff(first=60, ceiling=3600, attempts=5)
    )
    other = Tuning(
        poll=2,
        stall_after=90,
        trash_delay=timedelta(days=2),
        backoff=Backoff(first=30, ceiling=60, attempts=1),
        layering=LayeringRules(max_depth=1),
        allowed=lambda _store, _now: 1.0,
    )
    tuning.replace(other)
    assert tuning == other
