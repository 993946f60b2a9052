"""Where Glance's locations of an image lead."""

from __future__ import annotations

from urllib.parse import quote

from edgesync.domain.image import Image
from edgesync.domain.store import StoreId
from edgesync.expose.picture import Picture


def location_of(picture: Picture, image: Image, store: StoreId) -> str:
    """As Glance's RBD driver writes it; empty: no copy there, or Glance doesn't tell the cluster's id or pool."""
    known = picture.world.topology.stores[store]
    if store not in image.stores or not known.fsid or not known.pool:
        return ""
    return f"rbd://{known.fsid}/{quote(known.pool)}/{quote(image.id)}/snap"
