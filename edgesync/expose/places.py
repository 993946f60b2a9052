"""Which images have a copy in some state.

Of a million copies almost all are as they should be. So a copy is looked at only where it can be in that state: where a
failure is remembered, something was found, a copy is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set

from edgesync.domain.copy import CopyState
from edgesync.domain.image import Image, ImageId
from edgesync.domain.store import StoreId
from edgesync.expose.matrix import copy_view
from edgesync.expose.picture import Picture
from edgesync.plan.wants import NOWHERE


class Places:
    """Where copies can be in a state: more than there are, and few of all."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._stores = frozenset(picture.world.topology.stores)
        self._failed = _by_image(picture.ledger.failures)
        found = ((image, store) for store, site in picture.world.sites.items() for image in site.findings)
        self._found = _by_image(found)
        self._rules: Mapping[CopyState, Callable[[Image], Iterable[StoreId]]] = {
            CopyState.ABSENT: lambda image: self._stores - image.stores,
            CopyState.WAITING: lambda image: picture.due(image.id) - image.stores,
            CopyState.COPYING: self._moving,
            CopyState.PRESENT: lambda image: image.stores,
            CopyState.FAILED: lambda image: self._failed.get(image.id, ()),
            CopyState.STALLED: self._moving,
            CopyState.BROKEN: lambda image: self._found.get(image.id, ()),
            CopyState.ORPHAN: lambda image: self._found.get(image.id, ()),
            CopyState.UNWANTED: lambda image: image.stores,
        }

    def has(self, image: Image, states: Set[CopyState], stores: Set[StoreId]) -> bool:
        """Whether one of the image's copies in these stores is in one of the states."""
        possible = NOWHERE.union(*(self._rules[state](image) for state in states)) & stores
        return any(copy_view(self._picture, image, store).state in states for store in possible)

    def _moving(self, image: Image) -> Iterable[StoreId]:
        attempt = self._picture.attempts.get(image.id)
        return image.importing_to.union(attempt.stores if attempt else ())


def _by_image(copies: Iterable[tuple[ImageId, StoreId]]) -> Mapping[ImageId, set[StoreId]]:
    found: defaultdict[ImageId, set[StoreId]] = defaultdict(set)
    for image, store in copies:
        found[image].add(store)
    return found
