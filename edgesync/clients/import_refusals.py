"""Glance's refusals to take new images, as errors that say what a person can do. See `refusals`."""

from __future__ import annotations

from collections.abc import Sequence

from edgesync.clients.refusals import copy_refused, gone, means_clones, refused, sentence
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, EdgesyncError, PermanentError, RequestError

_METHODS = "Add it to enabled_import_methods in glance-api.conf: [glance-direct,web-download,copy-image]."
_ANEW = "Delete the image and import it anew: Glance gives no second try to one that it has begun with."
_STAGING_FULL = (
    "Make room in the folder of [os_glance_staging_store] on the glance-api host: it holds every image that is being "
    "imported or copied, whole."
)


def create_refused(image: ImageId, status: int, said: str) -> EdgesyncError:
    what = f"create image {image}"
    if status == 400:
        return RequestError(
            sentence(what, status, said),
            remedy="Correct what Glance names: formats, names and properties must suit its schema "
            "(`openstack image schema show`, disk_formats in glance-api.conf).",
        )
    if status == 403 and "reserved" in said:
        return RequestError(sentence(what, status, said), remedy="Leave properties out that begin with os_glance.")
    if status == 409:
        return ConflictError(
            f"The id {image} was an image's that has been deleted; Glance gives no id twice.",
            remedy="Import it anew, with another id.",
        )
    policy = "publicize_image" if "publicize" in said else "add_image"
    return refused(what, status, said, policy=policy)


def stage_refused(image: ImageId, status: int, said: str) -> EdgesyncError:
    what = f"send the data of image {image}"
    if status == 404 and "not available" in said:
        return PermanentError("This Glance does not offer glance-direct.", remedy=_METHODS)
    if status == 404:
        return gone(image)
    if status == 409:
        return not_waiting(image)
    if status == 413 and "full" in said:
        return PermanentError(sentence(what, status, said), remedy=_STAGING_FULL)
    if status == 413 and "too large" in said:
        return PermanentError(sentence(what, status, said), remedy="Raise image_size_cap in glance-api.conf.")
    return refused(what, status, said, policy="modify_image")


def not_waiting(image: ImageId) -> EdgesyncError:
    """It has data, or has been given some."""
    return ConflictError(f"Image {image} no longer waits for its data.", remedy=_ANEW)


def import_refused(image: ImageId, stores: Sequence[StoreId], status: int, said: str) -> EdgesyncError:
    what = f"import image {image} to {', '.join(stores)}"
    if status == 400 and "filtering" in said:
        return RequestError(
            f"Glance does not fetch from that address: {said}",
            remedy="Use http or https and a host that glance-api may ask: [import_filtering_opts] allowed_schemes, "
            "allowed_hosts and allowed_ports in glance-image-import.conf. Glance must be able to resolve the name, and "
            "private and loopback addresses must be named there.",
        )
    if status == 400 and "import method" in said:
        return PermanentError(sentence(what, status, said), remedy=_METHODS)
    if status == 409 and "needs to be staged" in said:
        return ConflictError(f"The data of image {image} has not been sent, or was sent before.", remedy=_ANEW)
    if status == 409 and ("state to use" in said or "cannot be target" in said):
        return not_waiting(image)
    if status == 403:
        return refused(what, status, said, policy="modify_image")
    if status in {404, 409}:
        # The lock, stores, an image that is gone: as with copies.
        return copy_refused(image, stores, status, said)
    return refused(what, status, said)


def deletion_refused(image: ImageId, status: int, said: str) -> EdgesyncError:
    what = f"delete image {image}"
    if status == 404:
        return gone(image)
    if status == 403 and "protected" in said:
        return PermanentError(
            f"Image {image} is protected against deletion.",
            remedy=f"Take the protection off first: `openstack image set --unprotected {image}`.",
        )
    if (status == 409 and "in use" in said) or means_clones(said):
        return ConflictError(
            f"Image {image} is in use at a site, so Glance keeps it; its copies at other sites may be gone already.",
            remedy="Flatten or delete the disks that were cloned from it: `rbd children` on its snapshot names them.",
        )
    return refused(what, status, said, policy="delete_image")
