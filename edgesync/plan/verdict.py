"""How an import ended, judged by where the data is and not by what the task says of itself.

With allow-failure a Glance task can end in `success` though every store failed, and an empty importing list does not
mean that the import is over: the caller comes here when the lock is gone, or has expired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edgesync.domain.image import Image, ImportTask
from edgesync.domain.job import Attempt, CopyResult, StoreResult, Verdict
from edgesync.domain.store import StoreId

LOOK_AT = "look at glance-api's log around that time, and for a leftover image: rbd info <pool>/{image} at that site"
# What Glance writes into a task whose expired lock it gave to somebody else (glance/api/v2/images.py).
PREEMPTED = "Expired lock preempted"


def judge(attempt: Attempt, image: Image, task: ImportTask | None, *, cut: str = "") -> Verdict:
    """The result for every store of the attempt. `cut` says why nobody waits for the import's end any more."""
    detail = task.message.strip() if task is not None and task.message else ""
    excuse = cut or _excuse(attempt, image, detail)
    results = tuple(_result(store, image, detail, excuse) for store in attempt.stores)
    return Verdict(results=_one_for_all(attempt, image, results), message=excuse or detail)


def failed_everywhere(stores: Iterable[StoreId], reason: str) -> Verdict:
    return everywhere(stores, CopyResult.FAILED, reason)


def everywhere(stores: Iterable[StoreId], result: CopyResult, reason: str) -> Verdict:
    return Verdict(
        results=tuple(StoreResult(store=store, result=result, reason=reason) for store in stores), message=reason
    )


def excused(attempt: Attempt, verdict: Verdict, down: Mapping[StoreId, str]) -> Verdict:
    """The verdict without failures that are due to an outage: those copies are made when the site is back.

    All or nothing comes to an end all the same: whoever asked for that wants to know.
    """
    if not attempt.allow_failure:
        return verdict
    results = tuple(
        replace(entry, result=CopyResult.INTERRUPTED, reason=down[entry.store])
        if entry.result is CopyResult.FAILED and entry.store in down
        else entry
        for entry in verdict.results
    )
    return replace(verdict, results=results)


def to_take_away(attempt: Attempt, verdict: Verdict) -> tuple[StoreId, ...]:
    """All or nothing: the copies that this attempt made and that must not stay, since another store has none."""
    if attempt.allow_failure or all(entry.result is CopyResult.COPIED for entry in verdict.results):
        return ()
    return tuple(entry.store for entry in verdict.results if entry.result is CopyResult.COPIED)


def taken_away(verdict: Verdict, stores: Iterable[StoreId]) -> Verdict:
    """The verdict after the copies in `stores` were removed again.

    When the others were only interrupted, so is the whole: all of its stores go on waiting, to be tried together.
    """
    gone = frozenset(stores)
    failed = [entry.store for entry in verdict.results if entry.result is CopyResult.FAILED]
    cut = [entry.store for entry in verdict.results if entry.result is CopyResult.INTERRUPTED]
    result = CopyResult.REVERTED if failed else CopyResult.INTERRUPTED
    lost = f"{', '.join(failed)} failed" if failed else f"the import was interrupted before {', '.join(cut)}"
    reason = f"all or nothing: taken away again because {lost}"
    results = tuple(
        StoreResult(store=entry.store, result=result, reason=reason) if entry.store in gone else entry
        for entry in verdict.results
    )
    return Verdict(results=results, message=verdict.message)


def _excuse(attempt: Attempt, image: Image, detail: str) -> str:
    """Why a copy that isn't there is nobody's failure; empty: it is one."""
    if not image.active:
        return f"the image became {image.status} in the middle of it"
    if PREEMPTED in detail:
        return "Glance gave the expired lock to another import"
    if image.lock is not None and image.lock != attempt.task:
        return "somebody else's import has begun before it"
    return ""


def _one_for_all(attempt: Attempt, image: Image, results: tuple[StoreResult, ...]) -> tuple[StoreResult, ...]:
    """All or nothing: where one store has failed, the others that have no copy have it for that reason only.

    Glance itself takes back what it had made, and never begins with the stores behind the one that failed (tried).
    """
    if attempt.allow_failure or all(entry.result is not CopyResult.FAILED for entry in results):
        return results
    blamed = [entry.store for entry in results if entry.store in image.failed and entry.result is CopyResult.FAILED]
    named = blamed or [entry.store for entry in results if entry.result is CopyResult.FAILED]
    reason = f"all or nothing: no copy here because {', '.join(named)} failed"
    return tuple(
        replace(entry, result=CopyResult.REVERTED, reason=reason)
        if entry.store not in named and entry.result is not CopyResult.COPIED
        else entry
        for entry in results
    )


def _result(store: StoreId, image: Image, detail: str, excuse: str) -> StoreResult:
    if store in image.stores:
        return StoreResult(store=store, result=CopyResult.COPIED)
    if excuse and (store not in image.failed or not image.active):
        return StoreResult(store=store, result=CopyResult.INTERRUPTED, reason=excuse)
    if store in image.failed:
        reason = "Glance reports that the import failed"
    else:
        reason = "the import ended without this store (did its API worker stop?)"
    if detail:
        reason += f"; the task's last word: {detail}"
    return StoreResult(store=store, result=CopyResult.FAILED, reason=reason)
