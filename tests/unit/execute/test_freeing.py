"""Chains are kept short, and what nobody wants is freed of what is layered on it, by the sites' managers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import cast

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import EventKind
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Journal
from edgesync.domain.site import Breaker, BreakerState, Capacity, Site
from edgesync.domain.store import StoreId
from edgesync.execute import freeing
from edgesync.execute.freeing import Freeing, Scene
from edgesync.execute.tuning import Tuning
from edgesync.plan.layering import LayeringRules
from edgesync.plan.retry import Backoff
from tests.builders import NOW, image
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock
from tests.unit.daemon.paper import PaperJournal

CENTRAL, DCN0 = StoreId("central"), StoreId("dcn0")
NAMES = tuple(f"00000000-0000-4000-8000-00000000000{digit}" for digit in range(6))
TUNING = Tuning(
    poll=1,
    stall_after=60,
    trash_delay=timedelta(days=1),
    backoff=Backoff(first=60, ceiling=3600, attempts=5),
    layering=LayeringRules(max_depth=2),
)


@dataclass(kw_only=True)
class Bench:
    """A site with a chain of copies, and who looks after it."""

    blocks: FakeBlocks
    journal: PaperJournal
    scene: Scene | None
    freeing: Freeing = field(init=False)

    def __post_init__(self) -> None:
        blocks = cast("Mapping[StoreId, Blocks]", {DCN0: self.blocks, CENTRAL: None})
        self.freeing = Freeing(
            blocks,
            cast("Journal", self.journal),
            self.blocks.cluster.clock,
            TUNING,
            pools={DCN0: "images"},
            hub=CENTRAL,
            scene=lambda: self.scene,
        )

    def change(self, **changes: object) -> None:
        assert self.scene is not None
        self.scene = replace(self.scene, **changes)  # type: ignore[arg-type]

    @property
    def asked(self) -> list[str]:
        return list(self.blocks.flattening)

    @property
    def told(self) -> list[str]:
        assert all(event.kind is EventKind.FLATTEN_ASKED for event in self.journal.events)
        return [event.message for event in self.journal.events]


def copy_of(name: str) -> Image:
    return replace(image(stores=("central", "dcn0")), id=ImageId(name))


async def chained(*names: str, leaving: str = "") -> Bench:
    """Each on top of the one before."""
    blocks = FakeBlocks(FakeCluster("dcn0", clock=VirtualClock()))
    blocks.put(names[0], b"x" * MIB)
    for below, name in pairwise(names):
        await blocks.clone(below, name, object_size=64 * KIB)
        await blocks.seal(name)
    scene = Scene(
        images={ImageId(name): copy_of(name) for name in names},
        sites={},
        pauses=(),
        leaving={(ImageId(leaving), DCN0)} if leaving else frozenset(),
        shorten=True,
        max_fill={DCN0: 0.85},
    )
    return Bench(blocks=blocks, journal=PaperJournal(), scene=scene)


async def test_a_base_that_nobody_wants_is_freed() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    assert await at.freeing.turn()
    assert at.asked == [NAMES[1]]
    assert at.told == [
        f"the manager at dcn0 makes the copy independent of {NAMES[0]}: {NAMES[0]} below it is wanted no more"
    ]
    assert at.freeing.bases == {(NAMES[0], DCN0)}
    # Asked for once.
    assert await at.freeing.turn()
    assert len(at.told) == 1
    at.blocks.flatten_now()
    assert not await at.freeing.turn()
    assert at.freeing.bases == frozenset()
    # The data went over no line of ours.
    assert (at.blocks.sent, at.blocks.fetched) == ([], 0)


async def test_a_chain_that_is_too_long_is_cut_where_that_takes_least() -> None:
    at = await chained(*NAMES[:5])
    assert await at.freeing.turn()
    assert at.asked == [NAMES[2]]
    assert "a chain of 3" in at.told[0]
    at.blocks.flatten_now()
    assert not await at.freeing.turn()


async def test_where_edgesync_layers_nothing_no_chain_is_shortened() -> None:
    at = await chained(*NAMES[:5])
    at.change(shorten=False)
    assert not await at.freeing.turn()
    assert at.asked == []


async def test_a_manager_is_given_little_at_a_time() -> None:
    at = await chained(*NAMES[:1], leaving=NAMES[0])
    for name in NAMES[1:]:
        await at.blocks.clone(NAMES[0], name, object_size=64 * KIB)
        await at.blocks.seal(name)
    at.change(images={ImageId(name): copy_of(name) for name in NAMES})
    turns = 0
    while await at.freeing.turn():
        assert len(at.asked) <= freeing.MOST_TASKS
        at.blocks.flatten_now()
        turns += 1
    assert (turns, len(at.told)) == (3, 5)


async def test_disks_are_peoples_and_keep_what_they_are_on() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    await at.blocks.disk(NAMES[0], "vms", "disk", object_size=8 * MIB)
    assert not await at.freeing.turn()
    assert at.asked == []


async def test_what_is_being_written_is_left_alone() -> None:
    at = await chained(*NAMES[:1], leaving=NAMES[0])
    await at.blocks.clone(NAMES[0], f"{NAMES[1]}.edgesync", object_size=64 * KIB)
    assert not await at.freeing.turn()
    assert at.asked == []


async def test_a_full_or_paused_or_silent_site_is_left_alone() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    full = Site(store=DCN0, capacity=Capacity(used=85 * MIB, available=15 * MIB))
    at.change(sites={DCN0: full})
    await at.freeing.turn()
    down = Site(store=DCN0, breaker=Breaker(state=BreakerState.OPEN))
    at.change(sites={DCN0: down})
    await at.freeing.turn()
    at.change(sites={}, pauses=(Pause(store=DCN0, by="alice", since=NOW),))
    await at.freeing.turn()
    assert at.asked == []
    at.change(pauses=())
    await at.freeing.turn()
    assert at.asked == [NAMES[1]]


async def test_trouble_at_a_site_passes() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    at.blocks.manages = False
    assert not await at.freeing.turn()
    at.blocks.manages = True
    at.blocks.cluster.down()
    assert not await at.freeing.turn()
    at.blocks.cluster.up()
    assert await at.freeing.turn()
    assert at.asked == [NAMES[1]]


async def test_before_the_first_look_at_glance_nothing_is_done() -> None:
    at = await chained(*NAMES[:5])
    at.scene = None
    assert await at.freeing.turn()
    assert (at.asked, at.freeing.bases) == ([], frozenset())
