"""What planning costs for 10,000 images at 100 stores: `python -m tests.bench.plans`.

Plans are made each second while something moves, on the loop that also answers requests: they have to be quick when
there is nothing to do, and bearable when everything is missing.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import time as clock
from statistics import median
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table

from edgesync.domain.action import Plan
from edgesync.domain.copy import Failure
from edgesync.domain.image import Image, ImageId
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Match, Policy
from edgesync.domain.site import Breaker, BreakerState, Capacity, Site
from edgesync.domain.store import StoreId, StoreSettings
from edgesync.domain.window import Window, Windows
from edgesync.domain.world import Ledger, World
from edgesync.plan.budget import Budget
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Situation
from edgesync.plan.wants import Wants, update_wants
from tests.builders import CENTRAL, NOW, image, topology

TIB = 1 << 40
EVERYTHING = Policy(name="everything", match=Match(), stores=None)
NIGHTS = Windows(
    windows=(Window(days=frozenset(range(5)), start=clock(22), end=clock(6)),), zone=ZoneInfo("Europe/Madrid")
)
ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured kind of plan."""

    what: str
    # Milliseconds: the median of some rounds, and the worst.
    usual: float
    worst: float
    starts: int
    waiting: int


class Cloud:
    """Images and stores, and what may be the matter with them."""

    def __init__(self, images: int, stores: int) -> None:
        self.edges = [StoreId(f"dcn{number}") for number in range(stores - 1)]
        self._topology = topology(*self.edges)
        self._images = images

    def images(self, *, everywhere: bool) -> list[Image]:
        where = self._topology.stores if everywhere else [CENTRAL]
        shared = image(stores=where)
        names = (f"{number:05}" for number in range(self._images))
        return [replace(shared, id=ImageId(name), name=name) for name in names]

    def sites(self, breaker: Breaker | None = None, *, used: int = TIB) -> dict[StoreId, Site]:
        capacity = Capacity(used=used, available=100 * TIB - used)
        edges = {edge: Site(store=edge, breaker=breaker or Breaker(), capacity=capacity) for edge in self.edges}
        return {CENTRAL: Site(store=CENTRAL), **edges}

    def situation(
        self,
        images: list[Image],
        *,
        slots: int = 4,
        policy: Policy = EVERYTHING,
        sites: Mapping[StoreId, Site] | None = None,
        settings: StoreSettings | None = None,
        ledger: Ledger | None = None,
    ) -> Situation:
        world = World(
            topology=self._topology,
            images={entry.id: entry for entry in images},
            changed=None,
            at=NOW,
            sites=self.sites() if sites is None else sites,
        )
        stores = {} if settings is None else dict.fromkeys(self.edges, settings)
        return Situation(
            world=world,
            wants=update_wants(Wants(), world, (policy,)),
            ledger=ledger or Ledger(),
            budget=Budget(imports=slots, stores=stores),
            now=NOW,
        )


@click.command()
@click.option("--images", default=10_000, show_default=True)
@click.option("--stores", default=100, show_default=True)
def main(images: int, stores: int) -> None:
    """Measure plans for a cloud at rest, for one where every copy is missing, and for some where much is wrong."""
    rows = [_measured(what, situation) for what, situation in cases(Cloud(images, stores)).items()]
    table = Table(title=f"{images} images x {stores} stores, {ROUNDS} plans each", title_justify="left", box=None)
    for column in ("", "ms", "worst ms", "starts", "waiting"):
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        table.add_row(row.what, f"{row.usual:.1f}", f"{row.worst:.1f}", str(row.starts), str(row.waiting))
    Console(width=120).print(table)


def cases(cloud: Cloud) -> dict[str, Callable[[], Situation]]:
    down = Breaker(state=BreakerState.OPEN, since=NOW, cause="no answer within 5 s")
    waves = replace(EVERYTHING, waves=(frozenset(cloud.edges[:1]), frozenset(cloud.edges[1:5])))
    nights = StoreSettings(windows=NIGHTS)

    def missing(**settings: object) -> Callable[[], Situation]:
        return lambda: cloud.situation(cloud.images(everywhere=False), **settings)  # type: ignore[arg-type]

    return {
        "at rest": lambda: cloud.situation(cloud.images(everywhere=True)),
        "at rest, outside of all windows": lambda: cloud.situation(cloud.images(everywhere=True), settings=nights),
        "everything missing, 4 slots": missing(),
        "everything missing, 64 slots": missing(slots=64),
        "everything missing, all edges down": missing(sites=cloud.sites(down)),
        "everything missing, outside of all windows": missing(settings=nights),
        "everything missing, in waves": missing(policy=waves),
        "everything missing, all or nothing": missing(policy=replace(EVERYTHING, allow_failure=False)),
        "everything failed an instant ago": missing(ledger=Ledger(failures=_failures(cloud))),
        "everything missing, 100 images paused": missing(ledger=Ledger(pauses=_pauses())),
        "everything missing, every pool full": missing(sites=cloud.sites(used=90 * TIB)),
    }


def _failures(cloud: Cloud) -> dict[tuple[ImageId, StoreId], Failure]:
    return {
        (entry.id, edge): Failure(
            image=entry.id, store=edge, attempts=1, error="", remedy="", failed_at=NOW, next_try=NOW.replace(hour=23)
        )
        for entry in cloud.images(everywhere=False)
        for edge in cloud.edges
    }


def _pauses() -> tuple[Pause, ...]:
    return tuple(Pause(image=ImageId(f"{number:05}"), by="alice", since=NOW) for number in range(100))


def _measured(what: str, make: Callable[[], Situation]) -> Row:
    situation = make()
    gc.collect()
    plan, times = Plan(), []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        plan = make_plan(situation)
        times.append((time.perf_counter() - began) * 1e3)
    waiting = sum(len(wait.stores) for wait in plan.waiting)
    return Row(what=what, usual=median(times), worst=max(times), starts=len(plan.starts), waiting=waiting)


if __name__ == "__main__":
    main()
