"""Who wants which copies: persons' jobs and policies, as one ordered list of demands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.image import ImageId
from edgesync.domain.job import Job, JobId, Origin, Work
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId, Topology
from edgesync.domain.world import Ledger
from edgesync.plan.wants import Want, Wants, targets_of

# Sorts urgent requests first, then persons (and repairs) before policies, then by priority.
Tier = tuple[bool, bool, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Copies of one image wanted by one job or one policy."""

    image: ImageId
    stores: frozenset[StoreId]
    allow_failure: bool
    origin: Origin
    requested_by: str
    priority: int
    urgent: bool = False
    job: JobId | None = None
    asked_at: datetime | None = None
    # The policy itself, for its waves.
    policy: Policy | None = None

    @property
    def tier(self) -> Tier:
        """Demands of one tier share the slots fairly between the sites; a higher tier goes first."""
        return (not self.urgent, self.origin is Origin.POLICY, -self.priority)

    @property
    def order(self) -> tuple[Tier, str, str]:
        """Within a tier: first come, first served."""
        return (self.tier, self.asked_at.isoformat() if self.asked_at else "", self.image)

    @property
    def who(self) -> str:
        if self.origin is Origin.POLICY:
            return f"policy {self.requested_by} wants it"
        if self.origin is Origin.REPAIR:
            return f"the copy that was there was broken (job {self.job})"
        return f"{self.requested_by} asked for it (job {self.job})"


def demands(ledger: Ledger, wants: Wants, topology: Topology, *, edge_origin: bool = True) -> list[Demand]:
    """All demands for copies, most urgent first. What a job asks for is not asked for again by a policy."""
    found = [demand_of(job) for job in ledger.jobs if job.pending and copies(job)]
    claimed: dict[ImageId, set[StoreId]] = {}
    for demand in found:
        claimed.setdefault(demand.image, set()).update(demand.stores)
    for image, want in wants.gaps.items():
        found.extend(_of_policies(image, want, topology, claimed.get(image, set()), edge_origin=edge_origin))
    found.sort(key=lambda demand: demand.order)
    return found


def copies(job: Job) -> bool:
    """Whether what the job has pending is copied from the hub: not while an import has yet to bring the data."""
    return job.work.brings and job.imported


def demand_of(job: Job) -> Demand:
    return Demand(
        image=job.image,
        stores=job.pending,
        allow_failure=job.allow_failure,
        origin=job.origin,
        requested_by=job.requested_by,
        priority=job.priority,
        urgent=job.urgent,
        job=job.id,
        asked_at=job.created_at,
    )


def _of_policies(
    image: ImageId, want: Want, topology: Topology, claimed: set[StoreId], *, edge_origin: bool
) -> Iterator[Demand]:
    left = want.missing - claimed
    for policy in want.policies:
        stores = targets_of(policy, topology, edge_origin=edge_origin) & left
        if stores:
            left -= stores
            yield Demand(
                image=image,
                stores=stores,
                allow_failure=policy.allow_failure,
                origin=Origin.POLICY,
                requested_by=policy.name,
                priority=policy.priority,
                policy=policy,
            )


def removals(ledger: Ledger) -> list[Job]:
    """Open jobs that ask for a copy to be deleted, in the order in which they came."""
    return [job for job in ledger.jobs if job.work is Work.REMOVE and job.pending]


def imports(ledger: Ledger) -> list[Job]:
    """Open jobs whose image has yet to get its data, most urgent first."""
    found = [job for job in ledger.jobs if job.work is Work.IMPORT and not job.imported and job.pending]
    return sorted(found, key=lambda job: (not job.urgent, -job.priority, job.created_at))
