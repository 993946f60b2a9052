"""What an open RBD image tells of itself. Everything here blocks."""

from __future__ import annotations

import rbd

from edgesync.clients.ceph_refusals import SNAPSHOT

NO_MAP = rbd.RBD_FLAG_OBJECT_MAP_INVALID | rbd.RBD_FLAG_FAST_DIFF_INVALID


def has_map(image: rbd.Image) -> bool:
    """Whether it knows which objects it has: 1 TiB in 22 ms."""
    return bool(image.features() & rbd.RBD_FEATURE_FAST_DIFF) and not image.flags() & NO_MAP


def has_snapshot(image: rbd.Image) -> bool:
    return any(entry["name"] == SNAPSHOT for entry in image.list_snaps())


def held(image: rbd.Image, offset: int, length: int, *, parents: bool) -> int:
    """Bytes of whole objects that exist there, those of its parents with them or not: by its map, if it has one."""
    total = 0

    def count(_: int, extent: int, exists: bool) -> None:
        nonlocal total
        total += extent if exists else 0

    image.diff_iterate(offset, length, None, count, include_parent=parents, whole_object=True)
    return total
