"""What would be, if these jobs were there: the planner's own answer, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from edgesync.domain.job import Job
from edgesync.expose.picture import Picture
from edgesync.plan.planner import make_plan


def foresee(picture: Picture, jobs: Sequence[Job], now: datetime) -> Picture:
    """The picture with these jobs in it, and the plan that they would lead to now."""
    ledger = replace(picture.ledger, jobs=(*picture.ledger.jobs, *jobs))
    situation = replace(
        picture.situation,
        ledger=ledger,
        now=now,
        # What runs is nobody's to take up here, and what stands still may have begun to since.
        followed=frozenset(attempt.id for attempt in ledger.attempts),
        stalled=frozenset(picture.stalls),
    )
    return replace(picture, situation=situation, plan=make_plan(situation))
