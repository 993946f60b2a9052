"""Parts the copies that lack nothing but a slot from those that have to wait for something else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgesync.domain.action import Waiting
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image
from edgesync.domain.job import Engine, EngineChoice, Work
from edgesync.domain.store import StoreId
from edgesync.plan.demand import Demand, awaits_data, demands
from edgesync.plan.engine_choice import Engines, Share, question_of
from edgesync.plan.gates import Gates, Obstacle
from edgesync.plan.settlement import promised_until
from edgesync.plan.situation import Situation

Stores = frozenset[StoreId]
ALL_OR_NOTHING = "all or nothing: it starts when all of its stores can"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Copies of one image that one demand asks for and into whose stores nothing but a slot is missing."""

    demand: Demand
    ready: Stores
    # Those of them without which none is started.
    needs: Stores
    # Bytes; 0 while unknown.
    size: int
    work: Work = Work.COPY
    engine: Engine = Engine.COPY_IMAGE
    # Why that engine, for people.
    moved: str = ""

    @property
    def alone(self) -> bool:
        """It goes as one import of its own, with no other demand's copies in it."""
        return bool(self.needs)


class Sieve:
    """Takes up the demands one by one."""

    def __init__(self, situation: Situation, gates: Gates, engines: Engines) -> None:
        self._situation = situation
        self._gates = gates
        self._hub = situation.world.topology.hub
        self._engines = engines
        self._attempts = {attempt.image: attempt for attempt in situation.ledger.attempts if attempt.work.brings}
        self._candidates: list[Candidate] = []
        self._waiting: list[Waiting] = []

    def run(self) -> tuple[list[Candidate], list[Waiting]]:
        """The candidates are in the order of the demands: most urgent first."""
        for demand in demands(self._situation.ledger, self._situation.wants, stuck=self._stuck):
            image = self._situation.world.images.get(demand.image)
            stores = demand.stores
            if attempt := self._attempts.get(demand.image):
                stores -= frozenset(attempt.stores)
            if awaits_data(demand.job, image):
                self._import(demand, image, stores)
            elif image is not None:
                self._copy(demand, image, stores - image.stores)
        return self._candidates, self._waiting

    def _copy(self, demand: Demand, image: Image, stores: Stores) -> None:
        if not stores:
            return
        if self._situation.rules.edge_origin and image.stores and self._hub not in image.stores:
            stores |= {self._hub}
        if not image.active:
            why = f"the image is {image.status}; only an active image can be copied"
            self._wait(demand, stores, Obstacle(reason=WaitReason.NOT_ACTIVE, why=why))
            return
        ready, obstacles = self._part(demand, image, stores)
        # Each wave is all or nothing by itself, and so is the way to the hub.
        whole = not demand.allow_failure and ready != {self._hub}
        missed = [obstacle for obstacle in obstacles if obstacle.reason is not WaitReason.WAVE]
        if whole and missed:
            self._wait(demand, ready, Obstacle(reason=missed[-1].reason, why=ALL_OR_NOTHING))
        elif ready:
            for share in self._shares(demand, image, ready):
                self._share(demand, image, share)

    def _stuck(self, demand: Demand) -> Stores:
        """Those of its stores that only wait for the engine that was asked for by name."""
        image = self._situation.world.images.get(demand.image)
        if demand.engine is not EngineChoice.RBD or image is None:
            return frozenset()
        shares = self._shares(demand, image, demand.stores)
        return frozenset[StoreId]().union(*(share.stores for share in shares if share.engine is None))

    def _shares(self, demand: Demand, image: Image, ready: Stores) -> tuple[Share, ...]:
        """The ready stores by the engine that copies to them."""
        return self._engines.shares(question_of(demand, image, ready, self._hub))

    def _share(self, demand: Demand, image: Image, share: Share) -> None:
        if share.engine is None:
            self._wait(demand, share.stores, Obstacle(reason=WaitReason.ENGINE, why=f"engine rbd: {share.why}"))
            return
        needs = frozenset[StoreId]() if demand.allow_failure else share.stores
        self._candidates.append(
            Candidate(
                demand=demand,
                ready=share.stores,
                needs=needs,
                size=image.size or 0,
                engine=share.engine,
                moved=share.why,
            )
        )

    def _import(self, demand: Demand, image: Image | None, stores: Stores) -> None:
        """A new image's data is written to the hub and whatever else can be written now; the rest is copied later."""
        until = promised_until(demand.job, self._situation) if demand.job else None
        if until is not None and demand.image not in self._attempts:
            obstacle = Obstacle(reason=WaitReason.UPLOAD, why="its data has not been sent yet", until=until)
            self._wait(demand, stores if until > self._situation.now else (), obstacle)
            return
        ready, obstacles = self._part(demand, image, stores, new=True)
        first = stores & {self._hub}
        if obstacles and not demand.allow_failure:
            self._wait(demand, ready, Obstacle(reason=obstacles[-1].reason, why=ALL_OR_NOTHING))
        elif obstacles and not first <= ready:
            self._wait(demand, ready, Obstacle(reason=obstacles[-1].reason, why=f"{self._hub} comes first"))
        elif ready:
            needs = first if first and demand.allow_failure else ready
            self._candidates.append(Candidate(demand=demand, ready=ready, needs=needs, size=0, work=Work.IMPORT))

    def _part(
        self, demand: Demand, image: Image | None, stores: Stores, *, new: bool = False
    ) -> tuple[Stores, list[Obstacle]]:
        """Those of the stores that are ready; what the others meet is noted, and returned."""
        if obstacle := self._gates.of_image(demand.image, image):
            self._wait(demand, stores, obstacle)
            return frozenset(), [obstacle]
        obstacles = []
        for held, obstacle in self._gates.of_stores(demand, None if new else image, stores):
            stores -= held
            obstacles.append(obstacle)
            self._wait(demand, held, obstacle)
        return stores, obstacles

    def _wait(self, demand: Demand, stores: Iterable[StoreId], obstacle: Obstacle) -> None:
        if held := frozenset(stores):
            self._waiting.append(
                Waiting(image=demand.image, stores=held, reason=obstacle.reason, why=obstacle.why, until=obstacle.until)
            )
