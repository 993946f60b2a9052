"""Pictures of worlds in which something is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from edgesync.domain.copy import Progress, Stall
from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.job import AttemptId
from edgesync.domain.pause import Pause
from edgesync.domain.site import Breaker, BreakerState, Capacity, Defect, Finding, Site
from edgesync.domain.store import StoreId
from edgesync.expose.picture import Picture
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Situation
from tests.builders import NOW


def picture_of(
    case: Situation,
    *progress: Progress,
    sites: Iterable[Site] = (),
    pauses: Iterable[Pause] = (),
    locks: Mapping[ImageId, ImportTask] | None = None,
    stalls: Mapping[AttemptId, Stall] | None = None,
) -> Picture:
    case = replace(
        case,
        world=replace(case.world, sites={site.store: site for site in sites}, locks=locks or {}),
        ledger=replace(case.ledger, pauses=tuple(pauses)),
    )
    return Picture(
        situation=case,
        plan=make_plan(case),
        progress={(entry.image, entry.store): entry for entry in progress},
        stalls=stalls or {},
    )


def site(
    store: str = "dcn0",
    *findings: Finding,
    state: BreakerState = BreakerState.CLOSED,
    used: int | None = None,
    available: int = 0,
    **breaker: Any,
) -> Site:
    return Site(
        store=StoreId(store),
        breaker=Breaker(state=state, **breaker),
        capacity=None if used is None else Capacity(used=used, available=available),
        findings={finding.image: finding for finding in findings},
        audited_at=NOW if findings else None,
    )


def finding(of: Image, store: str, defect: Defect, *, obstacle: str = "", passing: bool = False) -> Finding:
    return Finding(
        image=of.id,
        store=StoreId(store),
        defect=defect,
        detail=f"it is {defect}",
        obstacle=obstacle,
        passing=passing,
        seen_at=NOW,
    )


def pause(*, image: Image | None = None, store: str | None = None, reason: str = "") -> Pause:
    return Pause(
        image=image.id if image else None,
        store=StoreId(store) if store else None,
        by="alice",
        reason=reason,
        since=NOW,
    )
