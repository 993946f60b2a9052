"""Who wants which copies: persons' jobs and policies, as one ordered list of demands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.image import ImageId
from edgesync.domain.job import Job, JobId, Origin
from edgesync.domain.store import StoreId, Topology
from edgesync.domain.world import Ledger
from edgesync.plan.wants import Want, Wants


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Copies of one image wanted by one job or one policy."""

    image: ImageId
    stores: frozenset[StoreId]
    allow_failure: bool
    origin: Origin
    requested_by: str
    priority: int
    job: JobId | None = None
    asked_at: datetime | None = None

    @property
    def order(self) -> tuple[bool, int, str, str]:
        """Sorts persons before policies, then by priority, then first come first served."""
        asked = self.asked_at.isoformat() if self.asked_at else ""
        return (self.origin is not Origin.PERSON, -self.priority, asked, self.image)

    @property
    def who(self) -> str:
        if self.origin is Origin.POLICY:
            return f"policy {self.requested_by} wants it"
        return f"{self.requested_by} asked for it (job {self.job})"


def demands(ledger: Ledger, wants: Wants, topology: Topology) -> list[Demand]:
    """All demands, most urgent first. A copy that a job asks for is not asked for again by a policy."""
    found = [_of_job(job) for job in ledger.jobs if job.pending]
    claimed: dict[ImageId, set[StoreId]] = {}
    for demand in found:
        claimed.setdefault(demand.image, set()).update(demand.stores)
    for image, want in wants.gaps.items():
        found.extend(_of_policies(image, want, topology, claimed.get(image, set())))
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
        job=job.id,
        asked_at=job.created_at,
    )


def _of_policies(image: ImageId, want: Want, topology: Topology, claimed: set[StoreId]) -> Iterator[Demand]:
    left = want.missing - claimed
    for policy in want.policies:
        stores = policy.targets(topology.writable) & left
        if stores:
            left -= stores
            yield Demand(
                image=image,
                stores=stores,
                allow_failure=policy.allow_failure,
                origin=Origin.POLICY,
                requested_by=policy.name,
                priority=policy.priority,
            )
