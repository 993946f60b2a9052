"""Which copies of one store are layered on which, as far as audits have seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from edgesync.domain.image import ImageId
from edgesync.domain.site import RbdImage
from edgesync.plan.audit import is_image_id


class Layers:
    """RBD tells of each image what was cloned from it; people ask what one lies on."""

    def __init__(self) -> None:
        self._on_top: dict[ImageId, tuple[ImageId, ...]] = {}
        self._bases: Mapping[ImageId, ImageId] | None = None

    @property
    def bases(self) -> Mapping[ImageId, ImageId]:
        """What each layered copy was on top of. As it is now; later changes don't show in it."""
        if self._bases is None:
            self._bases = {image: base for base, images in self._on_top.items() for image in images}
        return self._bases

    def note(self, image: ImageId, rbd: RbdImage | None) -> None:
        """Disks that were cloned from it are left out: their names are no image's."""
        clones = (clone.rpartition("/")[2] for clone in rbd.children) if rbd is not None else ()
        self._set(image, tuple(ImageId(name) for name in clones if is_image_id(name)))

    def keep(self, there: Collection[ImageId]) -> None:
        """Nothing lies on what is not there any more."""
        for gone in self._on_top.keys() - there:
            self._set(gone, ())

    def _set(self, image: ImageId, on_top: tuple[ImageId, ...]) -> None:
        if on_top == self._on_top.get(image, ()):
            return
        self._bases = None
        if on_top:
            self._on_top[image] = on_top
        else:
            del self._on_top[image]
