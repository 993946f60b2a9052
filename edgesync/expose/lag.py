"""How long wanted copies have been missing: what the lag objectives of the policies are about.

What a daemon knows of the time before its start is what its journal tells it: what an earlier one has kept there, and
of copies that none has seen to be missing, open jobs and failures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt
from edgesync.domain.lag import Epochs
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from edgesync.expose.picture import Picture
from edgesync.plan.wants import Wants, targets_of

NONE: frozenset[StoreId] = frozenset()


@dataclass(kw_only=True, slots=True)
class Lags:
    """Since when each wanted copy has been missing, from picture to picture."""

    _seen: Wants | None = None
    # Of the images that miss a copy. Another mapping whenever one of them may have changed.
    _gaps: Mapping[ImageId, Epochs] = field(default_factory=dict)

    @property
    def gaps(self) -> Mapping[ImageId, Epochs]:
        return self._gaps

    def recall(self, gaps: Mapping[ImageId, Epochs]) -> None:
        """Before the first picture: what was known at the last of an earlier daemon. It counts where it is so still."""
        self._gaps = gaps

    def update(self, picture: Picture) -> None:
        """Take the next picture in; costs nothing where no image and no policy has changed."""
        if picture.wants is self._seen:
            return
        told = _asked(picture.ledger) if self._seen is None else {}
        images, now = picture.world.images, picture.world.at
        before = self._seen.gaps if self._seen is not None else {}
        # One for all that are in the same position: a store's id for each copy that there might be is much.
        shared: dict[tuple[Epochs, int], Epochs] = {}
        gaps: dict[ImageId, Epochs] = {}
        for image, want in picture.wants.gaps.items():
            # An image without data misses nothing yet.
            if image not in images or not images[image].active:
                continue
            known = self._gaps.get(image, ())
            if known and before.get(image) is want:
                gaps[image] = known
            elif image in told:
                gaps[image] = _epochs(known, want.missing, told[image], now)
            else:
                position = (known, id(want))
                gaps[image] = shared.get(position) or shared.setdefault(position, _epochs(known, want.missing, {}, now))
        self._gaps, self._seen = gaps, picture.wants

    def since(self, image: ImageId, store: StoreId) -> datetime | None:
        """None: nothing was missing there at the last look."""
        return next((since for since, stores in self._gaps.get(image, ()) if store in stores), None)

    def oldest(self, picture: Picture) -> Mapping[tuple[StoreId, str], datetime]:
        """By store and policy: since when the copy has been missing that has been missing for the longest."""
        wants = self._seen.gaps if self._seen is not None else {}
        # Thousands of images are in the same position: each position is looked at once, the oldest first.
        positions = {
            (since, id(wants[image]), stores): wants[image]
            for image, epochs in self._gaps.items()
            if image in wants
            for since, stores in epochs
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


def _epochs(known: Epochs, missing: frozenset[StoreId], told: Mapping[StoreId, datetime], now: datetime) -> Epochs:
    """Since when these copies of an image have been missing, by what was known, else was told, else since now."""
    left = [(since, stores & missing) for since, stores in known]
    news = missing.difference(*(stores for _, stores in left))
    begun: defaultdict[datetime, set[StoreId]] = defaultdict(set)
    for store in news:
        begun[told.get(store, now)].add(store)
    left += [(since, frozenset(begun[since])) for since in sorted(begun)]
    epochs = tuple(epoch for epoch in left if epoch[1])
    return known if epochs == known else epochs


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


def _asked(ledger: Ledger) -> dict[ImageId, dict[StoreId, datetime]]:
    """The earliest that the journal tells of copies that are still wanted, by its failures and open jobs."""
    told: defaultdict[ImageId, dict[StoreId, datetime]] = defaultdict(dict)
    for (image, store), failure in ledger.failures.items():
        told[image][store] = failure.failed_at
    for job in ledger.jobs:
        for store in job.pending:
            told[job.image][store] = min(job.created_at, told[job.image].get(store, job.created_at))
    return told
