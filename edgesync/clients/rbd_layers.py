"""What an open RBD image shares with the one that it is a clone of. Everything here blocks."""

from __future__ import annotations

import rbd

from edgesync.clients.rbd_look import has_map, held
from edgesync.clients.rbd_trash import children_of
from edgesync.domain.layers import Layer


def layer_of(image: rbd.Image, *, pool: str, name: str, clones: bool, measured: bool) -> Layer:
    """By its object map, and its parent's: nothing is read. Without a map, nothing is counted.

    With `clones`, EPERM where there is one in a pool that our key may not look into (tried).
    """
    parent = parent_of(image)
    own = shared = None
    if measured and has_map(image):
        own = held(image, 0, image.size(), parents=False)
        shared = held(image, 0, image.size(), parents=True) - own if parent is not None else 0
    return Layer(
        pool=pool,
        name=name,
        id=image.id(),
        size=image.size(),
        own=own,
        shared=shared,
        parent=parent,
        parent_id=image.parent_id() if parent is not None else None,
        clones=children_of(image) if clones else None,
        flattens=bool(image.features() & rbd.RBD_FEATURE_DEEP_FLATTEN),
    )


def parent_of(image: rbd.Image) -> str | None:
    """As pool/name; one in the trash has the name that it had."""
    try:
        pool, name, _ = image.parent_info()
    except rbd.ImageNotFound:
        return None
    return f"{pool}/{name}"
