"""Rows to records and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row

from edgesync.domain.blocks import Digests, KnownDigests, Verification
from edgesync.domain.copy import Failure
from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, CopyResult, Event, Job, StoreResult
from edgesync.domain.pause import Pause
from edgesync.domain.store import StoreId
from edgesync.journal.packing import unpack

Values = dict[str, Any]


def job_values(job: Job) -> Values:
    return {
        "id": job.id,
        "image_id": job.image,
        "image_name": job.image_name,
        "origin": job.origin,
        "requested_by": job.requested_by,
        "allow_failure": job.allow_failure,
        "priority": job.priority,
        "state": job.state,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
        "work": job.work,
        "urgent": job.urgent,
        "source": job.source,
        "engine": job.engine,
        "deep": job.deep,
        "mend": job.mend,
    }


def attempt_values(attempt: Attempt, *, opened_job: bool) -> Values:
    return {
        "id": attempt.id,
        "job_id": attempt.job,
        "opened_job": opened_job,
        "image_id": attempt.image,
        "allow_failure": attempt.allow_failure,
        "started_at": attempt.started_at,
        "task_id": attempt.task,
        "ended_at": attempt.ended_at,
        "message": attempt.message,
        "work": attempt.work,
        "engine": attempt.engine,
    }


def store_values(owner: Values, results: Iterable[StoreResult]) -> list[Values]:
    """The stores of a job or an attempt; `owner` names it."""
    return [
        {**owner, "position": position, "store_id": entry.store, "result": entry.result, "reason": entry.reason}
        for position, entry in enumerate(results)
    ]


def failure_values(failure: Failure) -> Values:
    return {
        "image_id": failure.image,
        "store_id": failure.store,
        "attempts": failure.attempts,
        "error": failure.error,
        "remedy": failure.remedy,
        "failed_at": failure.failed_at,
        "next_try": failure.next_try,
    }


def scope_values(image: ImageId | None, store: StoreId | None) -> Values:
    """What a pause covers; both together are its key."""
    return {"image_id": image or "", "store_id": store or ""}


def pause_values(pause: Pause) -> Values:
    scope = scope_values(pause.image, pause.store)
    return {**scope, "by": pause.by, "reason": pause.reason, "since": pause.since}


def digests_values(image: ImageId, known: KnownDigests, packed: bytes) -> Values:
    return {
        "image_id": image,
        "hash_algo": known.hash_algo,
        "hash_value": known.hash_value,
        "size": known.digests.size,
        "block": known.digests.block,
        "packed": packed,
    }


def verification_values(image: ImageId, store: StoreId, verification: Verification) -> Values:
    return {
        "image_id": image,
        "store_id": store,
        "at": verification.at,
        "sound": verification.sound,
        "damage": verification.damage,
        "rbd_id": verification.rbd_id,
    }


def event_values(event: Event) -> Values:
    return {
        "at": event.at,
        "kind": event.kind,
        "message": event.message,
        "image_id": event.image,
        "store_id": event.store,
        "job_id": event.job,
    }


def to_results(rows: Iterable[Sequence[Any]]) -> dict[str, tuple[StoreResult, ...]]:
    """From (owner, store, result, reason) in order of position: the results of each owner."""
    results: dict[str, list[StoreResult]] = defaultdict(list)
    for owner, store, result, reason in rows:
        results[owner].append(StoreResult(store=store, result=result, reason=reason))
    return {owner: tuple(entries) for owner, entries in results.items()}


def to_job(row: Row[Any], stores: tuple[StoreResult, ...]) -> Job:
    return Job(
        id=row.id,
        image=row.image_id,
        image_name=row.image_name,
        origin=row.origin,
        requested_by=row.requested_by,
        allow_failure=row.allow_failure,
        priority=row.priority,
        state=row.state,
        stores=stores,
        created_at=row.created_at,
        ended_at=row.ended_at,
        work=row.work,
        urgent=row.urgent,
        source=row.source,
        engine=row.engine,
        deep=row.deep,
        mend=row.mend,
    )


def to_attempt(row: Row[Any], results: tuple[StoreResult, ...]) -> Attempt:
    told = row.ended_at is not None
    return Attempt(
        id=row.id,
        job=row.job_id,
        image=row.image_id,
        stores=tuple(entry.store for entry in results),
        allow_failure=row.allow_failure,
        started_at=row.started_at,
        task=row.task_id,
        ended_at=row.ended_at,
        results=tuple(entry for entry in results if told and entry.result is not CopyResult.PENDING),
        message=row.message,
        work=row.work,
        engine=row.engine,
    )


def to_failure(row: Row[Any]) -> Failure:
    return Failure(
        image=row.image_id,
        store=row.store_id,
        attempts=row.attempts,
        error=row.error,
        remedy=row.remedy,
        failed_at=row.failed_at,
        next_try=row.next_try,
    )


def to_pause(row: Row[Any]) -> Pause:
    return Pause(image=row.image_id or None, store=row.store_id or None, by=row.by, reason=row.reason, since=row.since)


def to_known_digests(row: Row[Any]) -> KnownDigests | None:
    """None where they can't be read any more. Not for the event loop: see `packing`."""
    values = unpack(row.packed, -(-row.size // row.block))
    if values is None:
        return None
    digests = Digests(size=row.size, block=row.block, values=values)
    return KnownDigests(hash_algo=row.hash_algo, hash_value=row.hash_value, digests=digests)


def to_verification(row: Row[Any]) -> Verification:
    return Verification(at=row.at, sound=row.sound, damage=row.damage, rbd_id=row.rbd_id)


def to_event(row: Row[Any]) -> Event:
    return Event(
        at=row.at,
        kind=row.kind,
        message=row.message,
        image=row.image_id,
        store=row.store_id,
        job=row.job_id,
        seq=row.seq,
    )
