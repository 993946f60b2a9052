"""Which copies of a store deserve a closer look, judged by the names in its pool alone.

To list the names costs a site one short answer; to look at one RBD image costs it a dozen round trips over the WAN.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edgesync.domain.image import ASIDE, REPAIR, UNFINISHED, Image, ImageId
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.plan.audit import is_image_id

# Up to so many copies may be missing, or left over from deleted images, without a doubt whether we look at the right
# pool and as the right user. More than that and more than half of all copies, and a human has to say.
FEW = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubts:
    """Why a whole kind of findings may come from wrong settings; empty: it doesn't look like it."""

    missing: str = ""
    gone: str = ""


def names_of_images(names: Collection[str]) -> frozenset[ImageId]:
    """Those of the RBD images in a pool that may be Glance's."""
    return frozenset(ImageId(name) for name in names if is_image_id(name))


def unfinished_copies(names: Collection[str]) -> frozenset[ImageId]:
    """Images of which there is a copy, or the replacement of one, that edgesync has begun, and not finished."""
    begun = {ImageId(name.removesuffix(UNFINISHED).removesuffix(REPAIR)) for name in names if name.endswith(UNFINISHED)}
    return names_of_images(begun)


def kept_aside(names: Collection[str]) -> frozenset[str]:
    """Damaged images that a repair has put aside."""
    return frozenset(name for name in names if ASIDE in name and is_image_id(name.partition(ASIDE)[0]))


def listed_at(images: Mapping[ImageId, Image], store: StoreId) -> frozenset[ImageId]:
    """What Glance says is there."""
    return frozenset(image.id for image in images.values() if store in image.stores)


def suspects(
    there: frozenset[ImageId], listed: frozenset[ImageId], findings: Mapping[ImageId, Finding], *, full: bool
) -> frozenset[ImageId]:
    """Which images to look at in a full pass (all), or in a quick one: those that may be other than last time.

    `there` is what is in the pool, `listed` what Glance says is there. A finding that only a human can clear is not
    looked at again before the next full pass, unless the names tell that it has been cleared.
    """
    if full:
        return there | listed | findings.keys()
    differ = there ^ listed
    lasting = {image for image, finding in findings.items() if finding.obstacle and not finding.passing}
    cleared = {
        image
        for image, finding in findings.items()
        if (finding.defect is Defect.ORPHAN and image not in there - listed)
        or (finding.defect is Defect.NO_IMAGE and image not in listed - there)
        or (finding.defect not in {Defect.ORPHAN, Defect.NO_IMAGE} and image not in there & listed)
    }
    return (differ - lasting) | (findings.keys() - lasting) | cleared


def doubts_about(there: frozenset[ImageId], listed: frozenset[ImageId], left: Collection[ImageId]) -> Doubts:
    """Compare the pool as a whole with Glance. `left`: what we had copied here, of images that Glance no longer lists.

    A wrong pool in the settings looks like copies lost, a lost admin role like images deleted, and to mend either by
    the rules for single copies would destroy good data.
    """
    missing = len(listed - there)
    much = missing > FEW and 2 * missing > len(listed)
    many = len(left) > FEW and len(left) > len(listed)
    return Doubts(
        missing=f"{missing} of {len(listed)} copies are missing at once, as if this were not the store's pool"
        if much
        else "",
        gone=f"Glance hides or has lost {len(left)} images at once, as if edgesync might not see all of them any more"
        if many
        else "",
    )
