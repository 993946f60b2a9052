"""How an import ended, judged by where the data is and not by what the task says of itself.

With allow-failure a Glance task can end in `success` though every store failed, and an empty importing list does not
mean that the import is over: the caller comes here when the lock is gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgesync.domain.image import Image, ImportTask
from edgesync.domain.job import Attempt, CopyResult, StoreResult, Verdict
from edgesync.domain.store import StoreId

LOOK_AT = "look at glance-api's log around that time, and for a leftover image: rbd info <pool>/{image} at that site"


def judge(attempt: Attempt, image: Image, task: ImportTask | None) -> Verdict:
    """The result for every store of the attempt."""
    detail = task.message.strip() if task is not None and task.message else ""
    results = tuple(_result(store, image, detail) for store in attempt.stores)
    return Verdict(results=results, message=detail)


def failed_everywhere(stores: Iterable[StoreId], reason: str) -> Verdict:
    return Verdict(
        results=tuple(StoreResult(store=store, result=CopyResult.FAILED, reason=reason) for store in stores),
        message=reason,
    )


def to_take_away(attempt: Attempt, verdict: Verdict) -> tuple[StoreId, ...]:
    """All or nothing: the copies that this attempt made and that must not stay, since another store failed."""
    if attempt.allow_failure or all(entry.result is CopyResult.COPIED for entry in verdict.results):
        return ()
    return tuple(entry.store for entry in verdict.results if entry.result is CopyResult.COPIED)


def taken_away(verdict: Verdict, stores: Iterable[StoreId]) -> Verdict:
    """The verdict after the copies in `stores` were removed again."""
    gone = frozenset(stores)
    lost = ", ".join(entry.store for entry in verdict.results if entry.result is CopyResult.FAILED)
    reason = f"all or nothing: taken away again because {lost} failed"
    results = tuple(
        StoreResult(store=entry.store, result=CopyResult.REVERTED, reason=reason) if entry.store in gone else entry
        for entry in verdict.results
    )
    return Verdict(results=results, message=verdict.message)


def _result(store: StoreId, image: Image, detail: str) -> StoreResult:
    if store in image.stores:
        return StoreResult(store=store, result=CopyResult.COPIED)
    if store in image.failed:
        reason = "Glance reports that the import failed"
    else:
        reason = "the import ended without this store (did its API worker stop?)"
    if detail:
        reason += f"; the task's last word: {detail}"
    return StoreResult(store=store, result=CopyResult.FAILED, reason=reason)
