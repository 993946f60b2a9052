"""How the RBD images at one site lie on top of each other: what each holds itself, what it shows of the one below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgesync.domain.blocks import Flattening
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """An image in a store's pool, or a disk in another pool that was cloned from one."""

    pool: str
    name: str
    # RBD's own: an image that comes back under the name of one in the trash has another.
    id: str
    # Bytes.
    size: int
    # Bytes of the objects that it has itself, its snapshots' among them; None: it has no good object map.
    own: int | None = None
    # Bytes of the objects that it shows of its parent; None: no good object map.
    shared: int | None = None
    # What it is a clone of, as pool/name; None: of nothing.
    parent: str | None = None
    # RBD's own id of that.
    parent_id: str | None = None
    # Clones of it, as pool/name, those in a trash, too; None: our key may not look into a pool that has some.
    clones: tuple[str, ...] | None = ()
    # Whether it has RBD's feature deep-flatten: without it, its snapshot stays tied to the parent for good.
    flattens: bool = True

    @property
    def spec(self) -> str:
        """As Ceph's tools name it."""
        return f"{self.pool}/{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolLayers:
    """What a look at all of a store's pool has found."""

    # By name.
    layers: tuple[Layer, ...]
    # What is there and can't be looked at, as pool/name, and why.
    unseen: Mapping[str, str] = field(default_factory=dict)
    # How many disks were not looked at, because there are so many.
    left_out: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteLayers:
    """What there is at one site."""

    store: StoreId
    # That of Glance's images; what is in others are disks.
    pool: str
    layers: tuple[Layer, ...] = ()
    # As in `PoolLayers`.
    unseen: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0
    flattening: tuple[Flattening, ...] = ()
    # What can't be told, and why; empty: nothing.
    trouble: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flattened:
    """How far it is that a copy depends on no other."""

    image: ImageId
    store: StoreId
    # Of the image, in bytes.
    size: int
    # What it still is on top of, as pool/name; None: it is done.
    parent: str | None
    # What the site's manager does about it; None: nothing.
    task: Flattening | None = None
    # Why that is not known; empty: it is.
    trouble: str = ""
