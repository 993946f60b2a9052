"""Who wants which copies: persons' jobs and policies, as one ordered list of demands."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import EngineChoice, Job, Origin, Work
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId, Topology
from edgesync.domain.world import Ledger
from edgesync.plan.wants import NOWHERE, Wants

# Sorts urgent requests first, then persons (and repairs) before policies, then by priority.
Tier = tuple[bool, bool, int]
# Policies have always wanted what they want; jobs of theirs that were begun go first.
LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Copies of one image wanted by one job or one policy."""

    image: ImageId
    stores: frozenset[StoreId]
    allow_failure: bool
    origin: Origin
    requested_by: str
    priority: int
    # Who asks: an open job, or the policy itself.
    job: Job | None = None
    policy: Policy | None = None

    @property
    def engine(self) -> EngineChoice:
        """What whoever asks says of that."""
        if self.job is not None:
            return self.job.engine
        return self.policy.engine if self.policy is not None else EngineChoice.AUTO

    @property
    def urgent(self) -> bool:
        return self.job is not None and self.job.urgent

    @property
    def tier(self) -> Tier:
        """Demands of one tier share the slots fairly between the sites; a higher tier goes first."""
        return (not self.urgent, self.origin is Origin.POLICY, -self.priority)

    @property
    def order(self) -> tuple[Tier, datetime, str]:
        """Within a tier: first come, first served."""
        return (self.tier, LAST if self.job is None else self.job.created_at, self.image)

    @property
    def why(self) -> str:
        """One sentence for people: who wants it."""
        if self.job is None:
            return f"policy {self.requested_by} wants it"
        if self.origin is Origin.REPAIR:
            return f"the copy that was there was broken (job {self.job.id})"
        if self.origin is Origin.POLICY:
            return f"policy {self.requested_by} wants it (job {self.job.id})"
        return f"{self.requested_by} asked for it (job {self.job.id})"


def demands(ledger: Ledger, wants: Wants, *, stuck: Callable[[Demand], Set[StoreId]]) -> list[Demand]:
    """All demands for copies, most urgent first. What a job asks for is not asked for again by a policy.

    `stuck`: the stores of a job that wait for an engine which can't go there. They keep no policy's copy away.
    """
    found = [_of_job(job) for job in ledger.jobs if job.work.brings and job.pending]
    claimed: dict[ImageId, set[StoreId]] = {}
    for demand in found:
        claimed.setdefault(demand.image, set()).update(demand.stores - stuck(demand))
    for image, want in wants.gaps.items():
        claims = claimed.get(image, NOWHERE)
        for policy, share in want.shares:
            if stores := share - claims:
                found.append(_of_policy(image, policy, stores))
    found.sort(key=lambda demand: demand.order)
    return found


def _of_job(job: Job) -> Demand:
    return Demand(
        image=job.image,
        stores=job.pending,
        allow_failure=job.allow_failure,
        origin=job.origin,
        requested_by=job.requested_by,
        priority=job.priority,
        job=job,
    )


def _of_policy(image: ImageId, policy: Policy, stores: frozenset[StoreId]) -> Demand:
    return Demand(
        image=image,
        stores=stores,
        allow_failure=policy.allow_failure,
        origin=Origin.POLICY,
        requested_by=policy.name,
        priority=policy.priority,
        policy=policy,
    )


def engine_wished(image: ImageId, store: StoreId, *, ledger: Ledger, wants: Wants, topology: Topology) -> EngineChoice:
    """What whoever wants that copy most urgently says of the engine; nobody: as edgesync sees fit."""
    jobs = (job for job in ledger.jobs if job.work.brings and job.image == image and store in job.pending)
    asking = [_of_job(job) for job in jobs]
    want = wants.images.get(image)
    wanting = [policy for policy in want.policies if store in policy.targets(topology.writable)] if want else []
    asking += [_of_policy(image, policy, frozenset({store})) for policy in wanting]
    return min(asking, key=lambda demand: demand.order).engine if asking else EngineChoice.AUTO


def awaits_data(job: Job | None, image: Image | None) -> bool:
    """True while the image that a job brings in has none; from then on, what is pending is copied."""
    return job is not None and not job.imported and (image is None or not (image.active or image.stores))


def removals(ledger: Ledger) -> list[Job]:
    """Open jobs by which somebody asks for a copy to be deleted, most urgent first.

    Those that edgesync itself has begun (pruning) are not among them: see `settlement`.
    """
    found = [job for job in ledger.jobs if job.work is Work.REMOVE and job.origin is Origin.PERSON and job.pending]
    return sorted(found, key=lambda job: (not job.urgent, -job.priority, job.created_at))
