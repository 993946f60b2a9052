"""Short ways to write images, jobs and worlds in tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from edgesync.domain.action import Plan, Start
from edgesync.domain.copy import Failure, WaitReason
from edgesync.domain.image import Image, ImageId, ImportTask, TaskId, TaskStatus
from edgesync.domain.job import (
    Attempt,
    AttemptId,
    CopyResult,
    Engine,
    EngineChoice,
    ImportSource,
    Job,
    JobId,
    JobState,
    Origin,
    StoreResult,
    Work,
)
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Match, Policy, Repair
from edgesync.domain.site import Breaker, BreakerState, Capacity, Defect, Finding, Site
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
    container_format: str = "bare",
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
        container_format=container_format,
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
    waves: Iterable[Iterable[str]] = (),
    stop_after_failures: int = 1,
    prune_limit: int = 10,
    repair: Repair | None = None,
    engine: EngineChoice = EngineChoice.AUTO,
    lag_objective: timedelta | None = None,
) -> Policy:
    return Policy(
        name=name,
        match=match or Match(tags=frozenset({"golden"})),
        stores=None if stores is None else store_ids(*stores),
        allow_failure=allow_failure,
        priority=priority,
        waves=tuple(store_ids(*wave) for wave in waves),
        stop_after_failures=stop_after_failures,
        prune_limit=prune_limit,
        repair=repair,
        engine=engine,
        lag_objective=lag_objective,
    )


def job(
    of: Image,
    *stores: str,
    number: int = 1,
    allow_failure: bool = True,
    origin: Origin = Origin.PERSON,
    priority: int = 0,
    work: Work = Work.COPY,
    urgent: bool = False,
    source: ImportSource | None = None,
    copied: Iterable[str] = (),
    engine: EngineChoice = EngineChoice.AUTO,
) -> Job:
    """`copied` has ended already; `stores` are pending."""
    there = tuple(StoreResult(store=StoreId(store), result=CopyResult.COPIED) for store in copied)
    return Job(
        id=JobId(f"job-{number}"),
        image=of.id,
        image_name=of.name,
        origin=origin,
        requested_by="alice",
        allow_failure=allow_failure,
        priority=priority,
        state=JobState.QUEUED,
        stores=(*there, *(StoreResult(store=StoreId(store)) for store in stores)),
        created_at=NOW + timedelta(seconds=number),
        work=work,
        urgent=urgent,
        source=source,
        engine=engine,
    )


def attempt(
    of: Image,
    *stores: str,
    allow_failure: bool = True,
    task: str | None = None,
    number: int = 1,
    work: Work = Work.COPY,
) -> Attempt:
    return Attempt(
        id=AttemptId(f"attempt-{number}"),
        job=JobId(f"job-{number}"),
        image=of.id,
        stores=tuple(StoreId(store) for store in stores),
        allow_failure=allow_failure,
        started_at=NOW,
        task=TaskId(task) if task else None,
        work=work,
    )


def pause(*, of: Image | None = None, store: str | None = None, reason: str = "") -> Pause:
    return Pause(
        image=of.id if of else None, store=StoreId(store) if store else None, by="alice", reason=reason, since=NOW
    )


def site(
    store: str,
    state: BreakerState = BreakerState.CLOSED,
    *,
    since: datetime = NOW,
    used: int | None = None,
    available: int = 0,
    findings: Iterable[Finding] = (),
    unfinished: Iterable[Image] = (),
) -> Site:
    """The pool's room is known when `used` is given (bytes)."""
    return Site(
        store=StoreId(store),
        breaker=Breaker(state=state, since=since, cause="no answer within 5 s"),
        capacity=None if used is None else Capacity(used=used, available=available),
        findings={entry.image: entry for entry in findings},
        unfinished=frozenset(entry.id for entry in unfinished),
    )


def finding(of: Image, store: str, defect: Defect, *, obstacle: str = "") -> Finding:
    return Finding(
        image=of.id, store=StoreId(store), defect=defect, detail=f"{defect} at {store}", obstacle=obstacle, seen_at=NOW
    )


def task(name: str, *, updated: datetime = NOW, status: TaskStatus = TaskStatus.PROCESSING) -> ImportTask:
    return ImportTask(id=TaskId(name), status=status, message="", stores=(), created_at=updated, updated_at=updated)


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


def world(
    *images: Image,
    stores: Topology | None = None,
    sites: Iterable[Site] = (),
    locks: Mapping[ImageId, ImportTask] | None = None,
) -> World:
    return World(
        topology=stores or topology(),
        images={entry.id: entry for entry in images},
        changed=None,
        at=NOW,
        sites={entry.store: entry for entry in sites},
        locks=locks or {},
    )


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
    sites: Iterable[Site] = (),
    locks: Mapping[ImageId, ImportTask] | None = None,
    pauses: Iterable[Pause] = (),
    settings: Mapping[str, StoreSettings] | None = None,
    upkeep: int = 8,
    stalled: Iterable[str] = (),
    retries: Mapping[str, int] | None = None,
    rates: Mapping[str, float] | None = None,
    served: Mapping[StoreId, datetime] | None = None,
    resting: Iterable[tuple[Image, str]] = (),
    bases: Iterable[tuple[Image, str]] = (),
    provable: Iterable[tuple[Image, str]] = (),
    checking: Iterable[tuple[Image, str]] = (),
    pruning: Iterable[Policy] = (),
    makers: Mapping[tuple[ImageId, StoreId], str] | None = None,
    locations: bool | None = None,
) -> Situation:
    """Attempts count as followed by this process unless `followed` says otherwise."""
    seen = world(*images, stores=stores, sites=sites, locks=locks)
    open_attempts = tuple(attempts)
    ids = [entry.id for entry in open_attempts] if followed is None else [AttemptId(name) for name in followed]
    return Situation(
        world=seen,
        wants=update_wants(Wants(), seen, tuple(policies)),
        ledger=Ledger(
            jobs=tuple(jobs),
            attempts=open_attempts,
            failures={(entry.image, entry.store): entry for entry in failures},
            pauses=tuple(pauses),
        ),
        budget=Budget(
            imports=imports,
            default=StoreSettings(max_concurrent=per_store),
            stores={StoreId(store): entry for store, entry in (settings or {}).items()},
            upkeep=upkeep,
        ),
        rules=rules or Rules(),
        now=NOW,
        followed=frozenset(ids),
        stalled=frozenset(AttemptId(name) for name in stalled),
        locations=locations,
        forgive_before=forgive_before,
        served=served or {},
        retries={StoreId(store): number for store, number in (retries or {}).items()},
        rates={(StoreId(store), Engine.COPY_IMAGE): rate for store, rate in (rates or {}).items()},
        resting=frozenset((of.id, StoreId(store)) for of, store in resting),
        bases=frozenset((of.id, StoreId(store)) for of, store in bases),
        provable=frozenset((of.id, StoreId(store)) for of, store in provable),
        checking=frozenset((of.id, StoreId(store)) for of, store in checking),
        pruning=tuple(pruning),
        makers=makers or {},
    )


def reasons(plan: Plan) -> dict[WaitReason, frozenset[str]]:
    """Which stores wait for what."""
    found: dict[WaitReason, frozenset[str]] = {}
    for waiting in plan.waiting:
        found[waiting.reason] = found.get(waiting.reason, frozenset()) | waiting.stores
    return found


def started(plan: Plan) -> set[tuple[str, str]]:
    """Image and store of everything that starts, as `name`, `store`."""
    return {(start.image.removeprefix("id-"), store) for start in plan.starts for store in start.stores}


def only_start(plan: Plan) -> Start:
    (start,) = plan.starts
    return start


def why(plan: Plan, reason: WaitReason) -> str:
    """The sentence that goes with a reason that is given once."""
    (waiting,) = [entry for entry in plan.waiting if entry.reason is reason]
    return waiting.why


def changed_only(seen: World, *images: Image) -> World:
    """The world after these images changed."""
    return replace(
        seen,
        images={**seen.images, **{entry.id: entry for entry in images}},
        changed=frozenset(entry.id for entry in images),
    )
