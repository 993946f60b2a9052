"""Which images belong where, by policy. Kept up to date from pass to pass, since almost nothing changes in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgesync.domain.image import Image, ImageId
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId, Topology
from edgesync.domain.world import World

NOWHERE: frozenset[StoreId] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Want:
    """What the policies say of an image; one object serves all images in the same position."""

    # Those that match, most urgent first.
    policies: tuple[Policy, ...]
    stores: frozenset[StoreId]
    # Those of `stores` where the image is not.
    missing: frozenset[StoreId]
    # Who has which of them brought: each by the most urgent policy that wants it.
    shares: tuple[tuple[Policy, frozenset[StoreId]], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wants:
    """The wants of all images that any policy matches."""

    images: Mapping[ImageId, Want] = field(default_factory=dict)
    # Only those that miss a copy: in a cloud at rest, none.
    gaps: Mapping[ImageId, Want] = field(default_factory=dict)

    def stores(self, image: ImageId) -> frozenset[StoreId]:
        want = self.images.get(image)
        return NOWHERE if want is None else want.stores


class Wisher:
    """Applies the policies to images; remembers the few distinct answers there are."""

    def __init__(self, policies: Iterable[Policy], topology: Topology, *, edge_origin: bool) -> None:
        # Sorted once, so that the matching ones of every image are in order.
        self._policies = sorted(policies, key=lambda policy: -policy.priority)
        self._topology = topology
        self._edge_origin = edge_origin
        self._known: dict[tuple[tuple[str, ...], frozenset[StoreId]], Want] = {}

    def want(self, image: Image) -> Want | None:
        matched = tuple(policy for policy in self._policies if policy.match.accepts(image))
        if not matched:
            return None
        key = (tuple(policy.name for policy in matched), image.stores)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._made(matched, image.stores)
        return known

    def _made(self, matched: tuple[Policy, ...], present: frozenset[StoreId]) -> Want:
        stores, shares = NOWHERE, []
        for policy in matched:
            targets = targets_of(policy, self._topology, edge_origin=self._edge_origin)
            if share := targets - stores - present:
                shares.append((policy, share))
            stores |= targets
        return Want(policies=matched, stores=stores, missing=stores - present, shares=tuple(shares))


def targets_of(policy: Policy, topology: Topology, *, edge_origin: bool) -> frozenset[StoreId]:
    """Where a policy wants its images: with `edge_origin` the hub is always among them, as every copy comes from it."""
    stores = policy.targets(topology.writable)
    return stores | {topology.hub} if edge_origin else stores


def update_wants(before: Wants, world: World, policies: Sequence[Policy], *, edge_origin: bool = True) -> Wants:
    """The wants in this world, looking only at the images that changed since `before` was made."""
    if world.changed is not None and not world.changed:
        return before
    everything = world.changed is None
    wisher = Wisher(policies, world.topology, edge_origin=edge_origin)
    images = {} if everything else dict(before.images)
    gaps = {} if everything else dict(before.gaps)
    for image_id in world.images if world.changed is None else world.changed:
        image = world.images.get(image_id)
        want = None if image is None else wisher.want(image)
        _put(images, image_id, want)
        _put(gaps, image_id, want if want is not None and want.missing else None)
    return Wants(images=images, gaps=gaps)


def _put(wants: dict[ImageId, Want], image: ImageId, want: Want | None) -> None:
    if want is None:
        wants.pop(image, None)
    else:
        wants[image] = want
