"""One site: how it is doing, what is wrong there, what happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.job import Event, HistoryFilter
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags
from edgesync.expose.lateness import Wait, waits_of
from edgesync.expose.picture import Picture
from edgesync.expose.stores import store_view
from edgesync.expose.views import StoreView

# Newest events that are shown.
EVENTS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class SitePage:
    site: StoreView
    # For what it waits, by policy.
    waits: tuple[Wait, ...]
    events: tuple[Event, ...]
    # The present, against which what is wrong is counted; and when this was seen.
    now: datetime
    at: datetime
    # Whether the site itself is paused.
    paused: bool


async def site_page(picture: Picture, now: datetime, journal: Journal, lags: Lags, store: StoreId) -> SitePage:
    paused = any(pause.store == store and pause.image is None for pause in picture.ledger.pauses)
    events = await journal.history(HistoryFilter(store=store, limit=EVENTS))
    waits = waits_of(picture, lags)
    return SitePage(
        site=store_view(picture, store, waits),
        waits=waits.get(store, ()),
        events=events,
        now=now,
        at=picture.world.at,
        paused=paused,
    )
