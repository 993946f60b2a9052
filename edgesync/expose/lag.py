"""How long wanted copies have been missing: what the lag objectives of the policies are about.

Kept in memory. What a daemon knows of the time before its start is what its journal tells it: open jobs and failures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.expose.picture import Picture
from edgesync.plan.wants import Want, Wants, targets_of

Copy = tuple[ImageId, StoreId]
NONE: frozenset[StoreId] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gap:
    """The missing copies of one image."""

    want: Want
    # Few: copies that went missing at the same time share one.
    epochs: tuple[tuple[datetime, frozenset[StoreId]], ...]

    def since(self, store: StoreId) -> datetime | None:
        return next((since for since, stores in self.epochs if store in stores), None)


@dataclass(kw_only=True, slots=True)
class Lags:
    """Since when each wanted copy has been missing, from picture to picture."""

    _seen: Wants | None = None
    _gaps: dict[ImageId, _Gap] = field(default_factory=dict)

    def update(self, picture: Picture) -> None:
        """Take the next picture in; costs nothing where no image and no policy has changed."""
        if picture.wants is self._seen:
            return
        before = _asked(picture.ledger) if self._seen is None else {}
        images = picture.world.images
        self._gaps = {
            image: self._gap(image, want, picture.world.at, before)
            for image, want in picture.wants.gaps.items()
            # An image without data misses nothing yet.
            if image in images and images[image].active
        }
        self._seen = picture.wants

    def since(self, image: ImageId, store: StoreId) -> datetime | None:
        """None: nothing was missing there at the last look."""
        gap = self._gaps.get(image)
        return gap.since(store) if gap is not None else None

    def oldest(self, picture: Picture) -> Mapping[tuple[StoreId, str], datetime]:
        """By store and policy: since when the copy has been missing that has been missing for the longest."""
        # Thousands of images are in the same position: each position is looked at once, the oldest first.
        positions = {
            (since, id(gap.want), stores): gap.want for gap in self._gaps.values() for since, stores in gap.epochs
        }
        found: dict[tuple[StoreId, str], datetime] = {}
        # Where each policy wants its images, and nothing older was found yet.
        left = {policy.name: wanted_at(policy, picture) for policy in policies_of(picture)}
        for (since, _, stores), want in sorted(positions.items(), key=lambda entry: entry[0][0]):
            for policy in want.policies:
                if news := stores & left.get(policy.name, NONE):
                    left[policy.name] -= news
                    found |= dict.fromkeys(((store, policy.name) for store in news), since)
        return found

    def _gap(self, image: ImageId, want: Want, now: datetime, before: Mapping[Copy, datetime]) -> _Gap:
        known = self._gaps.get(image)
        if known is not None and known.want is want:
            return known
        epochs = [(since, stores & want.missing) for since, stores in known.epochs] if known is not None else []
        news = want.missing.difference(*(stores for _, stores in epochs))
        told = {store: before[image, store] for store in news if (image, store) in before} if before else {}
        epochs += [(since, frozenset({store})) for store, since in told.items()]
        epochs.append((now, news.difference(told)))
        return _Gap(want=want, epochs=tuple(epoch for epoch in epochs if epoch[1]))


def policies_of(picture: Picture) -> Iterator[Policy]:
    """Those that match an image, by name."""
    wants = {id(want): want for want in picture.wants.images.values()}
    found = {policy.name: policy for want in wants.values() for policy in want.policies}
    return (found[name] for name in sorted(found))


def wanted_at(policy: Policy, picture: Picture) -> frozenset[StoreId]:
    return targets_of(policy, picture.world.topology, edge_origin=picture.rules.edge_origin)


def asked_at(picture: Picture, attempt: Attempt) -> datetime | None:
    """When a person asked for what an attempt does; None: a policy did, or it is not known any more."""
    return next((job.created_at for job in picture.ledger.jobs if job.id == attempt.job), None)


def _asked(ledger: Ledger) -> dict[Copy, datetime]:
    """The earliest that the journal tells of copies that are still wanted."""
    told = {copy: failure.failed_at for copy, failure in ledger.failures.items()}
    for job in ledger.jobs:
        for store in job.pending:
            told[job.image, store] = min(job.created_at, told.get((job.image, store), job.created_at))
    return told
