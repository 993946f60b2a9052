"""Records for the tests, with everything filled in that a test does not care about."""

from __future__ import annotations

import random
from array import array
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from edgesync.domain.blocks import SMALLEST_BLOCK, Digests, KnownDigests
from edgesync.domain.copy import Failure
from edgesync.domain.image import ImageId
from edgesync.domain.job import (
    Attempt,
    AttemptId,
    CopyResult,
    Event,
    EventKind,
    HistoryFilter,
    Job,
    JobId,
    JobState,
    Origin,
    StoreResult,
    Verdict,
)
from edgesync.domain.store import StoreId
from edgesync.journal import SqlJournal

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
IMAGE = ImageId("7f1c2a34-0000-4000-8000-000000000001")
OTHER_IMAGE = ImageId("7f1c2a34-0000-4000-8000-000000000002")
A, B, C = StoreId("dcn0"), StoreId("dcn1"), StoreId("dcn2")

_numbers = count(1)


def make_job(*stores: StoreId, **fields: Any) -> Job:
    values: dict[str, Any] = {
        "id": JobId(f"job-{next(_numbers)}"),
        "image": IMAGE,
        "image_name": "cirros",
        "origin": Origin.PERSON,
        "requested_by": "ana",
        "allow_failure": True,
        "priority": 0,
        "state": JobState.QUEUED,
        "stores": tuple(StoreResult(store=store) for store in stores),
        "created_at": NOON,
    }
    return Job(**(values | fields))


def make_attempt(job: Job, *stores: StoreId, **fields: Any) -> Attempt:
    """An attempt for all stores of the job, or for those named."""
    values: dict[str, Any] = {
        "id": AttemptId(f"attempt-{next(_numbers)}"),
        "job": job.id,
        "image": job.image,
        "stores": stores or tuple(entry.store for entry in job.stores),
        "allow_failure": job.allow_failure,
        "started_at": NOON,
        "work": job.work,
    }
    return Attempt(**(values | fields))


def make_verdict(*, message: str = "", **results: str) -> Verdict:
    """`make_verdict(dcn0="copied", dcn1="failed")`; what is bad gets a reason."""
    entries = [
        StoreResult(store=StoreId(store), result=result, reason="no space" if result.bad else "")
        for store, result in ((store, CopyResult(word)) for store, word in results.items())
    ]
    return Verdict(results=tuple(entries), message=message)


def make_failure(store: StoreId, **fields: Any) -> Failure:
    values: dict[str, Any] = {
        "image": IMAGE,
        "store": store,
        "attempts": 1,
        "error": "no space left",
        "remedy": "Free space in the pool.",
        "failed_at": NOON,
        "next_try": LATER,
    }
    return Failure(**(values | fields))


def make_event(kind: EventKind = EventKind.COPY_DONE, **fields: Any) -> Event:
    values: dict[str, Any] = {"at": NOON, "kind": kind, "message": "It happened.", "image": IMAGE, "store": A}
    return Event(**(values | fields))


def make_known(size: int = SMALLEST_BLOCK, *, seed: int = 0) -> KnownDigests:
    """Digests of an image of so many bytes, and of no zeros."""
    count = -(-size // SMALLEST_BLOCK)
    values = array("Q", random.Random(seed).randbytes(8 * count))
    return KnownDigests(
        hash_algo="sha512",
        hash_value="c0ffee" * 21,
        digests=Digests(size=size, block=SMALLEST_BLOCK, values=values),
    )


async def finish(journal: SqlJournal, job: Job, **results: str) -> bool:
    """One attempt of an open job for the stores named, from start to verdict: `finish(journal, job, dcn0="copied")`."""
    attempt = make_attempt(job, *(StoreId(store) for store in results))
    await journal.start_attempt(attempt)
    return await journal.finish_attempt(attempt.id, make_verdict(**results), [], at=LATER)


async def told(journal: SqlJournal, kind: EventKind) -> list[str]:
    """What history says of one kind, oldest first."""
    events = reversed(await journal.history(HistoryFilter(limit=10_000)))
    return [event.message for event in events if event.kind is kind]


def results_of(job: Job) -> dict[str, str]:
    return {entry.store: entry.result.value for entry in job.stores}
