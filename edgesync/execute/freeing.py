"""Keeps chains of copies at the sites short, and frees those that nobody wants any more of what is layered on them.

The sites' managers do the work; here it is only asked for, a little at a time, in the background. A copy that is free
goes the usual way: pruning deletes it in a later pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Event, EventKind
from edgesync.domain.layers import Layer
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.site import Site
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError
from edgesync.execute.tuning import Tuning
from edgesync.plan.audit import is_image_id
from edgesync.plan.breaker import admits
from edgesync.plan.chains import bases_of, members_of
from edgesync.plan.lineage import Flatten, Lineage

log = structlog.get_logger(__name__)

# Seconds between two looks at all sites, and while something is being flattened.
EVERY, SOON = 600.0, 30.0
# What one site's manager is given to do at a time; it does one after the other, and people's come after ours.
MOST_TASKS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What there is to go by."""

    images: Mapping[ImageId, Image]
    sites: Mapping[StoreId, Site]
    pauses: tuple[Pause, ...]
    # Copies that no policy wants, and that a pruning policy had made.
    leaving: Set[tuple[ImageId, StoreId]]
    # Whether chains are shortened: not where edgesync makes none.
    shorten: bool
    # How full a store's pool may become, between 0 and 1.
    max_fill: Mapping[StoreId, float]


class Freeing:
    """Looks at the pools of the edges; the hub's copies are layered on nothing of ours."""

    def __init__(
        self,
        blocks: Mapping[StoreId, Blocks],
        journal: Journal,
        clock: Clock,
        tuning: Tuning,
        *,
        pools: Mapping[StoreId, str],
        hub: StoreId,
        scene: Callable[[], Scene | None],
    ) -> None:
        """`scene`: as things are now; None before the first look at Glance."""
        self._blocks = {store: pool for store, pool in blocks.items() if store != hub}
        self._journal = journal
        self._clock = clock
        self._tuning = tuning
        self._pools = pools
        self._scene = scene
        self._bases: dict[StoreId, frozenset[str]] = {}
        self._said: dict[StoreId, str] = {}

    @property
    def bases(self) -> frozenset[tuple[ImageId, StoreId]]:
        """Copies that others were layered on when their site was last looked at."""
        return frozenset((ImageId(name), store) for store, names in self._bases.items() for name in names)

    async def run(self) -> None:
        """For ever."""
        while True:
            busy = await self.turn()
            await self._clock.sleep(SOON if busy else EVERY)

    async def turn(self) -> bool:
        """Look at each site once; True when something is under way, so that another look should come soon."""
        scene = self._scene()
        if scene is None:
            return True
        busy = False
        for store, blocks in self._blocks.items():
            site = scene.sites.get(store)
            if site is not None and not admits(site.breaker, self._clock.now(), running=0):
                continue
            try:
                busy = await self._site(store, blocks, scene) or busy
            except EdgesyncError as error:
                self._say(store, error.message)
            else:
                self._say(store, "")
        return busy

    async def _site(self, store: StoreId, blocks: Blocks, scene: Scene) -> bool:
        copies = {image.id for image in scene.images.values() if store in image.stores and is_image_id(image.id)}
        leaving = {image for image, where in scene.leaving if where == store}
        seen = await blocks.layers(measured=False)
        layers = {layer.name: layer for layer in seen.layers if layer.pool == self._pools[store]}
        members = members_of(layers.values(), pool=self._pools[store], copies=copies, leaving=leaving)
        self._bases[store] = bases_of(members)
        longest = self._tuning.layering.max_depth if scene.shorten else len(members)
        steps = Lineage(members).steps(longest)
        wanted = [step for step in steps if isinstance(step, Flatten)]
        if not wanted:
            return False
        under_way = {task.image for task in await blocks.tasks()}
        for step in wanted:
            if len(under_way) >= MOST_TASKS:
                break
            if step.name not in under_way and self._may(layers[step.name], store, scene):
                await blocks.flatten(step.name)
                under_way.add(step.name)
                await self._tell(step, store)
        return bool(under_way)

    def _may(self, layer: Layer, store: StoreId, scene: Scene) -> bool:
        """Whether it has room for blocks of its own, and nobody paused it."""
        if any(pause.covers(ImageId(layer.name), store) for pause in scene.pauses):
            return False
        site = scene.sites.get(store)
        if site is None or site.capacity is None:
            return True
        room = site.capacity.fill(layer.size) <= scene.max_fill[store]
        if not room:
            log.warning("not flattened: no room at the site", image=layer.name, store=store)
        return room

    async def _tell(self, step: Flatten, store: StoreId) -> None:
        message = f"the manager at {store} makes the copy independent of {step.parent}: {step.why}"
        event = Event(
            at=self._clock.now(),
            kind=EventKind.FLATTEN_ASKED,
            message=message,
            image=ImageId(step.name),
            store=store,
        )
        await self._journal.add_events([event])
        log.info(message, image=step.name, store=store)

    def _say(self, store: StoreId, trouble: str) -> None:
        """Log what keeps it from working, once."""
        if trouble and self._said.get(store) != trouble:
            log.warning("cannot look after chains of copies", store=store, why=trouble)
        self._said[store] = trouble
