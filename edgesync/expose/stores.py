"""How each store is doing: health, room, windows, pauses, queue, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from edgesync.domain.copy import CopyState
from edgesync.domain.pause import Pause
from edgesync.domain.site import Breaker, Site
from edgesync.domain.store import Store, StoreId
from edgesync.expose.lateness import NO_WAITS, Wait, Waits
from edgesync.expose.matrix import count_copies, ordered_stores, what_next
from edgesync.expose.picture import Picture
from edgesync.expose.problems import store_problems
from edgesync.expose.views import (
    BreakerView,
    CapacityView,
    LagView,
    PauseView,
    StoreView,
    WindowView,
    finding_view,
    pause_view,
)

# Findings of one store that are shown one by one.
SHOWN = 20


def store_views(picture: Picture, waits: Waits = NO_WAITS) -> list[StoreView]:
    """The hub first, then the edges by name."""
    counts, running = picture.once(count_copies), _running(picture)
    stores = picture.world.topology.stores
    return [
        _store_view(picture, stores[store], counts, running[store], waits.get(store, ()))
        for store in ordered_stores(picture)
    ]


def store_view(picture: Picture, store: StoreId, waits: Waits = NO_WAITS) -> StoreView:
    """One of them, which Glance has."""
    known, running = picture.world.topology.stores[store], _running(picture)[store]
    return _store_view(picture, known, picture.once(count_copies), running, waits.get(store, ()))


def _running(picture: Picture) -> Counter[StoreId]:
    return Counter(store for attempt in picture.ledger.attempts if attempt.work.brings for store in attempt.stores)


def _store_view(
    picture: Picture, store: Store, counts: Counter[tuple[StoreId, CopyState]], running: int, waits: Iterable[Wait]
) -> StoreView:
    site = picture.site(store.id)
    return StoreView(
        id=store.id,
        role=picture.world.topology.role(store.id),
        type=store.type,
        description=store.description,
        read_only=store.read_only,
        copies={state: counts[store.id, state] for state in CopyState if counts[store.id, state]},
        running=running,
        max_concurrent=picture.budget.of(store.id),
        rate=sum(entry.rate for entry in picture.progress.values() if entry.store == store.id),
        health=_breaker_view(site.breaker),
        refusal=site.refusal,
        capacity=_capacity_view(picture, site),
        window=_window_view(picture, store.id),
        paused=[_pause_view(picture, pause) for pause in pauses_of(picture, store.id)],
        queue=counts[store.id, CopyState.WAITING],
        lags=[_lag_view(picture, wait) for wait in waits],
        findings=dict(Counter(finding.defect.value for finding in site.findings.values())),
        found=[finding_view(finding, what_next(picture, finding)) for finding in islice(site.findings.values(), SHOWN)],
        audited_at=site.audited_at,
        problems=list(store_problems(picture, store.id)),
    )


def pauses_of(picture: Picture, store: StoreId) -> Iterator[Pause]:
    """Those that hold the whole store."""
    for pause in picture.ledger.pauses:
        if pause.image is None and pause.store in {None, store}:
            yield pause


def _pause_view(picture: Picture, pause: Pause) -> PauseView:
    return pause_view(pause, picture.world.images.get(pause.image) if pause.image else None)


def _lag_view(picture: Picture, wait: Wait) -> LagView:
    return LagView(
        policy=wait.policy,
        since=wait.since,
        seconds=(picture.world.at - wait.since).total_seconds(),
        objective=wait.objective.total_seconds() if wait.objective is not None else None,
        late=wait.late,
    )


def _breaker_view(breaker: Breaker) -> BreakerView:
    return BreakerView(
        state=breaker.state,
        since=breaker.since,
        failures=breaker.failures,
        cause=breaker.cause,
        next_try=breaker.retry_at,
    )


def _capacity_view(picture: Picture, site: Site) -> CapacityView | None:
    if site.capacity is None:
        return None
    return CapacityView(
        used=site.capacity.used,
        available=site.capacity.available,
        total=site.capacity.total,
        fill=site.capacity.fill(),
        max_fill=picture.settings_of(site.store).max_pool_fill,
    )


def _window_view(picture: Picture, store: StoreId) -> WindowView | None:
    windows = picture.settings_of(store).windows
    if not windows.windows:
        return None
    now = picture.world.at
    return WindowView(open=windows.open_at(now), next_change=windows.next_change(now))
