"""What journals on paper know of images block by block; a contract test compares them with the real one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from edgesync.domain.blocks import KnownDigests, Verification
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId


@dataclass(kw_only=True)
class BlockNotes:
    """The part of a journal that has digests and verifications."""

    kept_digests: dict[ImageId, KnownDigests] = field(default_factory=dict)
    verified: dict[ImageId, dict[StoreId, Verification]] = field(default_factory=dict)

    async def keep_digests(self, image: ImageId, known: KnownDigests) -> None:
        self.kept_digests[image] = known

    async def digests(self, image: ImageId) -> KnownDigests | None:
        return self.kept_digests.get(image)

    async def digested(self, images: Collection[ImageId]) -> frozenset[ImageId]:
        return frozenset(images) & self.kept_digests.keys()

    async def forget_image(self, image: ImageId) -> None:
        self.kept_digests.pop(image, None)
        self.verified.pop(image, None)

    async def forget_copies(self, copies: Collection[tuple[ImageId, StoreId]]) -> None:
        for image, store in copies:
            self.verified.get(image, {}).pop(store, None)

    async def add_verification(self, image: ImageId, store: StoreId, verification: Verification) -> None:
        self.verified.setdefault(image, {})[store] = verification

    async def verifications(self, image: ImageId) -> Mapping[StoreId, Verification]:
        return dict(self.verified.get(image, {}))
