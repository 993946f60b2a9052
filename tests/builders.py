"""Short ways to write images, jobs and worlds in tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from edgesync.domain.copy import Failure
from edgesync.domain.image import Image, ImageId, TaskId
from edgesync.domain.job import Attempt, AttemptId, Job, JobId, JobState, Origin, StoreResult
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import Store, StoreId, StoreSettings, Topology
from edgesync.domain.world import Ledger, World
from edgesync.plan.budget import Budget
from edgesync.plan.situation import Rules, Situation
from edgesync.plan.wants import Wants, update_wants

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CENTRAL = StoreId("central")


def store_ids(*names: str) -> frozenset[StoreId]:
    return frozenset(StoreId(name) for name in names)


def topology(*edges: str) -> Topology:
    names = ("central", *(edges or ("dcn0", "dcn1")))
    return Topology(hub=CENTRAL, stores={StoreId(name): Store(id=StoreId(name), type="rbd") for name in names})


def image(
    name: str = "img",
    *,
    stores: Iterable[str] = ("central",),
    importing_to: Iterable[str] = (),
    failed: Iterable[str] = (),
    lock: str | None = None,
    status: str = "active",
    tags: Iterable[str] = ("golden",),
    visibility: str = "public",
    size: int | None = 1 << 30,
    properties: dict[str, str] | None = None,
    hidden: bool = False,
    disk_format: str = "raw",
    owner: str = "project",
) -> Image:
    return Image(
        id=ImageId(f"id-{name}"),
        name=name,
        status=status,
        visibility=visibility,
        owner=owner,
        hidden=hidden,
        disk_format=disk_format,
        size=size,
        tags=frozenset(tags),
        properties=properties or {},
        stores=store_ids(*stores),
        importing_to=store_ids(*importing_to),
        failed=store_ids(*failed),
        lock=TaskId(lock) if lock else None,
        hash_algo="sha512",
        hash_value="00",
        updated_at=NOW,
    )


def policy(
    name: str = "golden",
    *,
    stores: Iterable[str] | None = None,
    allow_failure: bool = True,
    priority: int = 0,
    match: Match | None = None,
) -> Policy:
    return Policy(
        name=name,
        match=match or Match(tags=frozenset({"golden"})),
        stores=None if stores is None else store_ids(*stores),
        allow_failure=allow_failure,
        priority=priority,
    )


def job(
    of: Image,
    *stores: str,
    number: int = 1,
    allow_failure: bool = True,
    origin: Origin = Origin.PERSON,
    priority: int = 0,
) -> Job:
    return Job(
        id=JobId(f"job-{number}"),
        image=of.id,
        image_name=of.name,
        origin=origin,
        requested_by="alice",
        allow_failure=allow_failure,
        priority=priority,
        state=JobState.QUEUED,
        stores=tuple(StoreResult(store=StoreId(store)) for store in stores),
        created_at=NOW + timedelta(seconds=number),
    )


def attempt(of: Image, *stores: str, allow_failure: bool = True, task: str | None = None, number: int = 1) -> Attempt:
    return Attempt(
        id=AttemptId(f"attempt-{number}"),
        job=JobId(f"job-{number}"),
        image=of.id,
        stores=tuple(StoreId(store) for store in stores),
        allow_failure=allow_failure,
        started_at=NOW,
        task=TaskId(task) if task else None,
    )


def failure(of: Image, store: str, *, next_in: float = 60, attempts: int = 1) -> Failure:
    return Failure(
        image=of.id,
        store=StoreId(store),
        attempts=attempts,
        error="it broke",
        remedy="mend it",
        failed_at=NOW - timedelta(seconds=30),
        next_try=NOW + timedelta(seconds=next_in),
    )


def world(*images: Image, stores: Topology | None = None) -> World:
    return World(topology=stores or topology(), images={entry.id: entry for entry in images}, changed=None, at=NOW)


def situation(
    *images: Image,
    policies: Iterable[Policy] = (),
    jobs: Iterable[Job] = (),
    attempts: Iterable[Attempt] = (),
    failures: Iterable[Failure] = (),
    followed: Iterable[str] | None = None,
    stores: Topology | None = None,
    imports: int = 100,
    per_store: int = 100,
    forgive_before: datetime | None = None,
    rules: Rules | None = None,
) -> Situation:
    """Attempts count as followed by this process unless `followed` says otherwise."""
    seen = world(*images, stores=stores)
    open_attempts = tuple(attempts)
    ids = [entry.id for entry in open_attempts] if followed is None else [AttemptId(name) for name in followed]
    return Situation(
        world=seen,
        wants=update_wants(Wants(), seen, tuple(policies)),
        ledger=Ledger(
            jobs=tuple(jobs),
            attempts=open_attempts,
            failures={(entry.image, entry.store): entry for entry in failures},
        ),
        budget=Budget(imports=imports, default=StoreSettings(max_concurrent=per_store)),
        rules=rules or Rules(),
        now=NOW,
        followed=frozenset(ids),
        forgive_before=forgive_before,
    )


def changed_only(seen: World, *images: Image) -> World:
    """The world after these images changed."""
    return replace(
        seen,
        images={**seen.images, **{entry.id: entry for entry in images}},
        changed=frozenset(entry.id for entry in images),
    )
