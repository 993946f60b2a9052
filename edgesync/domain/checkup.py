"""What only `doctor` asks of Keystone and of a site's Ceph: facts, not yet judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Whom Keystone takes us for."""

    user: str
    project: str
    # As Keystone spells them; their case does not matter to OpenStack's policies.
    roles: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitored:
    """What a cluster's monitors tell of it, reached the way edgesync is configured to."""

    fsid: str
    # Ceph's word for what the pool is used for includes rbd.
    for_rbd: bool
    # HEALTH_OK, HEALTH_WARN or HEALTH_ERR.
    health: str
    # Ceph's health checks that nobody has muted: code (such as POOL_NEARFULL) and sentence.
    troubles: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """What our key may do to objects in the pool, beyond reading them."""

    write: bool
    # RBD's own operations on the OSDs that read, and those that change: snapshots, protection, trash.
    rbd_read: bool
    rbd_change: bool
