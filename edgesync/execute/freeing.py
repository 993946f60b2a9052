"""Keeps chains of copies at the sites short, and frees those that nobody wants any more of what is layered on them.

The sites' managers do the work; here it is only asked for, a little at a time, in the background, of each site by
itself. A copy that is free goes the usual way: pruning deletes it in a later pass. What a manager refuses or gives up
is asked of it again after a rest, and keeps nothing else from being flattened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Event, EventKind
from edgesync.domain.layers import Layer
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.site import Site
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, UnreachableError
from edgesync.execute.tuning import Tuning
from edgesync.plan.audit import is_image_id
from edgesync.plan.breaker import admits
from edgesync.plan.chains import bases_of, members_of
from edgesync.plan.lineage import Flatten, Lineage

log = structlog.get_logger(__name__)

# Seconds between two looks at a site, and while something is being flattened there; and until Glance was looked at.
EVERY, SOON, FIRST = 600.0, 30.0, 1.0
# What was asked for and not done is asked for again after so long, then twice as long each time, up to the longest.
REST, LONGEST_REST = timedelta(minutes=10), timedelta(days=1)
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


@dataclass(kw_only=True, slots=True)
class _Asked:
    """How often a manager was asked to flatten an image, and when it may be next."""

    times: int
    again_at: datetime


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
        # Copies that were leaving already when their site was last looked at.
        self._judged: dict[StoreId, Set[ImageId]] = {}
        # By store and name; of a store as a whole under no name.
        self._asked: dict[tuple[StoreId, str], _Asked] = {}
        self._said: dict[tuple[StoreId, str], str] = {}

    @property
    def bases(self) -> frozenset[tuple[ImageId, StoreId]]:
        """Copies that others were layered on when their site was last looked at."""
        return frozenset((ImageId(name), store) for store, names in self._bases.items() for name in names)

    def held(self, leaving: Set[tuple[ImageId, StoreId]]) -> frozenset[tuple[ImageId, StoreId]]:
        """Those that must not go yet: others are layered on them, or nobody has looked since they began to leave."""
        bases = self.bases
        return frozenset(copy for copy in leaving if copy in bases or self._unjudged(*copy))

    async def run(self) -> None:
        """For ever; a site that hangs costs only itself."""
        async with asyncio.TaskGroup() as group:
            for store in sorted(self._blocks):
                group.create_task(self._watch(store), name=f"chains at {store}")

    async def turn(self, store: StoreId) -> bool:
        """Look at a site once; True when something is under way, so that another look should come soon."""
        scene = self._scene()
        if scene is None:
            return True
        site = scene.sites.get(store)
        if site is not None and not admits(site.breaker, self._clock.now(), running=0):
            return False
        # A site that can't tell keeps nothing back for ever: to delete what is in use is refused in the end.
        self._judged[store] = {image for image, where in scene.leaving if where == store}
        try:
            busy = await self._site(store, self._blocks[store], scene)
        except EdgesyncError as error:
            self._say(store, "", error.message)
            return False
        self._say(store, "", "")
        return busy

    async def _watch(self, store: StoreId) -> None:
        while self._scene() is None:
            await self._clock.sleep(FIRST)
        while True:
            busy = await self.turn(store)
            await self._idle(store, SOON if busy else EVERY)

    async def _idle(self, store: StoreId, seconds: float) -> None:
        """Until then, or until more copies are leaving."""
        ends = self._clock.now() + timedelta(seconds=seconds)
        while (left := (ends - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(min(SOON, left))
            scene = self._scene()
            if scene is not None and any(
                self._unjudged(image, where) for image, where in scene.leaving if where == store
            ):
                return

    def _unjudged(self, image: ImageId, store: StoreId) -> bool:
        return store in self._blocks and image not in self._judged.get(store, ())

    async def _site(self, store: StoreId, blocks: Blocks, scene: Scene) -> bool:
        copies = {image.id for image in scene.images.values() if store in image.stores and is_image_id(image.id)}
        leaving = self._judged[store]
        seen = await blocks.layers(measured=False)
        layers = {layer.name: layer for layer in seen.layers if layer.pool == self._pools[store]}
        members = members_of(layers.values(), pool=self._pools[store], copies=copies, leaving=leaving)
        self._bases[store] = bases_of(members)
        longest = self._tuning.layering.max_depth if scene.shorten else len(members)
        steps = Lineage(members).steps(longest)
        wanted = [step for step in steps if isinstance(step, Flatten)]
        self._forget(store, {step.name for step in wanted})
        if not wanted:
            return False
        under_way = {task.image for task in await blocks.tasks()}
        self._put_off(store, under_way)
        for step in wanted:
            if len(under_way) >= MOST_TASKS:
                break
            if step.name in under_way or self._rests(store, step.name):
                continue
            if self._may(layers[step.name], store, scene) and await self._ask(step, store, blocks):
                under_way.add(step.name)
        return bool(under_way)

    async def _ask(self, step: Flatten, store: StoreId, blocks: Blocks) -> bool:
        """Whether the manager does it. UnreachableError when nobody answers: then nobody is asked for others either."""
        asked = self._asked.setdefault((store, step.name), _Asked(times=0, again_at=self._clock.now()))
        asked.times += 1
        self._put_off(store, {step.name})
        try:
            await blocks.flatten(step.name)
            await self._tell(step, store)
        except UnreachableError:
            raise
        except EdgesyncError as refusal:
            self._say(store, step.name, refusal.message)
            return False
        self._say(store, step.name, "")
        return True

    def _rests(self, store: StoreId, name: str) -> bool:
        """Whether it was asked for, and not done, a short while ago."""
        asked = self._asked.get((store, name))
        if asked is None or self._clock.now() >= asked.again_at:
            return False
        if not self._said.get((store, name)):
            self._say(store, name, "the manager was asked for it, and has given it up")
        return True

    def _put_off(self, store: StoreId, names: Iterable[str]) -> None:
        """Let the rest begin now: they are under way, or were just asked for."""
        for name in names:
            if (asked := self._asked.get((store, name))) is not None:
                asked.again_at = self._clock.now() + min(LONGEST_REST, REST * 2 ** min(asked.times - 1, 10))

    def _forget(self, store: StoreId, wanted: Set[str]) -> None:
        """What need not be flattened any more."""
        for known in (self._asked, self._said):
            for of, name in list(known):
                if of == store and name and name not in wanted:
                    del known[of, name]

    def _may(self, layer: Layer, store: StoreId, scene: Scene) -> bool:
        """Whether it has room for blocks of its own, and nobody paused it."""
        if any(pause.covers(ImageId(layer.name), store) for pause in scene.pauses):
            return False
        site = scene.sites.get(store)
        if site is None or site.capacity is None:
            return True
        if site.capacity.fill(layer.size) > scene.max_fill[store]:
            self._say(store, layer.name, "there is no room for blocks of its own")
            return False
        return True

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

    def _say(self, store: StoreId, name: str, trouble: str) -> None:
        """Log what keeps the site, or one image there, from being looked after: once."""
        if trouble and self._said.get((store, name)) != trouble:
            what = "not flattened" if name else "cannot look after chains of copies"
            log.warning(what, **({"image": name} if name else {}), store=store, why=trouble)
        self._said[store, name] = trouble
