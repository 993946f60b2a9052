"""How likely two images have blocks in common, by what Glance and RBD say of them: a hint at where to look first."""

from __future__ import annotations

import re
from enum import IntEnum

from edgesync.domain.image import Image, ImageId

# What an image's name begins with: `rhel` of rhel-9.4-20260901.
_STEM = re.compile(r"[^\W\d_]{2,}")


class Kinship(IntEnum):
    """The closest comes first."""

    PARENT = 0  # the new image is a clone of it at the hub
    ORIGIN = 1  # Nova made the new image from an instance of it (`base_image_ref`)
    NAMESAKE = 2
    FAMILY = 3  # the same `os_distro`, or a name that begins alike
    STRANGER = 4


def kinship(image: Image, other: Image, *, parent: ImageId | None = None) -> Kinship:
    """`parent`: of the new image's RBD image at the hub."""
    if other.id == parent:
        return Kinship.PARENT
    if image.properties.get("base_image_ref") == other.id:
        return Kinship.ORIGIN
    if image.name and image.name == other.name:
        return Kinship.NAMESAKE
    return Kinship.FAMILY if _related(image, other) else Kinship.STRANGER


def _related(image: Image, other: Image) -> bool:
    distros = image.properties.get("os_distro"), other.properties.get("os_distro")
    if all(distros):
        return distros[0] == distros[1]
    stems = _STEM.match(image.name.lower()), _STEM.match(other.name.lower())
    return stems[0] is not None and stems[1] is not None and stems[0][0] == stems[1][0]
