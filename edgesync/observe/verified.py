"""How copies were found when they were last compared with their images: what the journal knows, at hand.

A verification is of one RBD image. When another one lies under the copy's name, nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edgesync.domain.blocks import Verification
from edgesync.domain.image import ImageId
from edgesync.domain.ports import Journal
from edgesync.domain.site import RbdImage
from edgesync.domain.store import StoreId

_NOTHING: Mapping[ImageId, Verification] = MappingProxyType({})


class Verified:
    """Of all stores; each is read once, and written through."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[StoreId, dict[ImageId, Verification]] = {}

    async def load(self, store: StoreId) -> Mapping[ImageId, Verification]:
        """What is known of a store's copies; raises what the journal raises."""
        if store not in self._known:
            found = await self._journal.verified(store)
            # What was noted meanwhile is newer.
            self._known[store] = {**found, **self._known.get(store, {})}
        return self._known[store]

    def of(self, store: StoreId) -> Mapping[ImageId, Verification]:
        """As far as it was read; it goes on changing."""
        return self._known.get(store, _NOTHING)

    async def note(self, image: ImageId, store: StoreId, verification: Verification) -> None:
        """Remember how a copy was found; durable when it returns."""
        await self.load(store)
        await self._journal.add_verification(image, store, verification)
        self._known[store][image] = verification

    def forget(self, image: ImageId, store: StoreId) -> None:
        """There is no such copy any more, or another one."""
        self._known.get(store, {}).pop(image, None)

    def lost(self, image: ImageId) -> None:
        """The image is gone."""
        for store in self._known:
            self.forget(image, store)

    async def damage(self, image: ImageId, store: StoreId, rbd: RbdImage) -> str:
        """What is wrong with the data of this very RBD image; empty: nothing that is known."""
        found = (await self.load(store)).get(image)
        if found is None:
            return ""
        if found.rbd_id and found.rbd_id != rbd.id:
            self.forget(image, store)
            return ""
        return "" if found.sound else found.damage
