"""What lies on what at each site, as a tree: the lowest images first, what is on top of each beneath it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from pydantic import BaseModel

from edgesync.domain.blocks import Flattening
from edgesync.domain.image import Image, ImageId
from edgesync.domain.layers import Flattened, Layer, SiteLayers


class Kind(StrEnum):
    IMAGE = "image"  # in the pool of Glance's images
    DISK = "disk"  # in another pool: of an instance, a volume
    TRASH = "trash"  # of that pool, and gone from it; what is on top needs it still


class FlatteningView(BaseModel):
    """What a site's manager does about a clone."""

    # False: it waits for its turn.
    running: bool
    # Between 0 and 1.
    progress: float
    trouble: str


class LayerView(BaseModel):
    """An image or a disk, and what is on top of it."""

    kind: Kind
    pool: str
    name: str
    # Glance's name of it; empty where Glance doesn't show such an image.
    image_name: str = ""
    # How many are below it.
    depth: int
    # Bytes; null: not known.
    size: int | None = None
    own: int | None = None
    shared: int | None = None
    flattening: FlatteningView | None = None
    # False: there may be more on top of it, in pools that edgesync may not look into.
    complete: bool = True
    layers: list[LayerView]


class SiteLayersView(BaseModel):
    store: str
    trouble: str
    remedy: str
    # What is there and can't be looked at, as pool/name, and why.
    unseen: dict[str, str]
    # How many disks were not looked at: they are among the layers, without their sizes.
    left_out: int
    layers: list[LayerView]


class FlattenedView(BaseModel):
    image: str
    store: str
    # Of the image, in bytes.
    size: int
    # True: it depends on no other.
    done: bool
    parent: str | None
    flattening: FlatteningView | None
    trouble: str


def flattened_view(flattened: Flattened) -> FlattenedView:
    return FlattenedView(
        image=flattened.image,
        store=flattened.store,
        size=flattened.size,
        done=flattened.parent is None,
        parent=flattened.parent,
        flattening=_flattening_view(flattened.task),
        trouble=flattened.trouble,
    )


def site_layers_view(site: SiteLayers, images: Mapping[ImageId, Image]) -> SiteLayersView:
    return SiteLayersView(
        store=site.store,
        trouble=site.trouble,
        remedy=site.remedy,
        unseen=dict(site.unseen),
        left_out=site.left_out,
        layers=_Tree(site, images).roots(),
    )


class _Tree:
    def __init__(self, site: SiteLayers, images: Mapping[ImageId, Image]) -> None:
        self._site = site
        self._images = images
        self._known = {layer.spec: layer for layer in site.layers}
        self._tasks = {task.image: task for task in site.flattening}
        # By what they are on top of; what is not there any more is told from what has its name now.
        self._children: dict[tuple[str, bool], set[str]] = {}
        for layer in site.layers:
            if layer.parent is not None:
                self._children.setdefault((layer.parent, self._there(layer)), set()).add(layer.spec)
            for clone in layer.clones or ():
                # One that was looked at says itself what it is on top of, by now.
                if clone not in self._known:
                    self._children.setdefault((layer.spec, True), set()).add(clone)

    def roots(self) -> list[LayerView]:
        above = {spec for children in self._children.values() for spec in children}
        lowest = [layer.spec for layer in self._site.layers if layer.parent is None]
        lowest += self._site.unseen.keys() - above
        gone = [spec for spec, there in self._children if not there]
        return [*(self._gone(spec) for spec in sorted(gone)), *(self._view(spec, 0) for spec in sorted(lowest))]

    def _there(self, layer: Layer) -> bool:
        """Whether its parent is, as far as anybody can look."""
        if layer.parent in self._site.unseen:
            return True
        parent = self._known.get(layer.parent or "")
        return parent is not None and parent.id == layer.parent_id

    def _gone(self, spec: str) -> LayerView:
        pool, _, name = spec.partition("/")
        kind = Kind.TRASH if pool == self._site.pool else Kind.DISK
        return LayerView(kind=kind, pool=pool, name=name, depth=0, layers=list(self._above((spec, False), 0)))

    def _view(self, spec: str, depth: int) -> LayerView:
        layer = self._known.get(spec)
        pool, _, name = spec.partition("/")
        image = self._images.get(ImageId(name)) if pool == self._site.pool else None
        return LayerView(
            kind=Kind.IMAGE if pool == self._site.pool else Kind.DISK,
            pool=pool,
            name=name,
            image_name=image.name if image is not None else "",
            depth=depth,
            size=layer.size if layer is not None else None,
            own=layer.own if layer is not None else None,
            shared=layer.shared if layer is not None else None,
            flattening=_flattening_view(self._tasks.get(name)) if pool == self._site.pool else None,
            complete=spec not in self._site.unseen and (layer is None or layer.clones is not None),
            layers=list(self._above((spec, True), depth)),
        )

    def _above(self, below: tuple[str, bool], depth: int) -> Iterator[LayerView]:
        for child in sorted(self._children.get(below, ())):
            yield self._view(child, depth + 1)


def _flattening_view(task: Flattening | None) -> FlatteningView | None:
    if task is None:
        return None
    return FlatteningView(running=task.running, progress=task.progress, trouble=task.trouble)
