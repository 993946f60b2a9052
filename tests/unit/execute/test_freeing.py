"""Chains are kept short, and what nobody wants is freed of what is layered on it, by the sites' managers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import cast

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import EventKind
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Journal
from edgesync.domain.site import Breaker, BreakerState, Capacity, Site
from edgesync.domain.store import StoreId
from edgesync.errors import PermanentError, UnreachableError
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

CENTRAL, DCN0, DCN1 = StoreId("central"), StoreId("dcn0"), StoreId("dcn1")
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
    began: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.blocks.cluster.clock.now()
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
    def now(self) -> timedelta:
        """Since it began."""
        return self.blocks.cluster.clock.now() - self.began

    async def turn(self) -> bool:
        return await self.freeing.turn(DCN0)

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


async def fanned(*, leaving: str) -> Bench:
    """All on top of the first."""
    at = await chained(*NAMES[:1], leaving=leaving)
    for name in NAMES[1:]:
        await at.blocks.clone(NAMES[0], name, object_size=64 * KIB)
        await at.blocks.seal(name)
    at.change(images={ImageId(name): copy_of(name) for name in NAMES})
    return at


async def test_a_base_that_nobody_wants_is_freed() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    assert await at.turn()
    assert at.asked == [NAMES[1]]
    assert at.told == [
        f"the manager at dcn0 makes the copy independent of {NAMES[0]}: {NAMES[0]} below it is wanted no more"
    ]
    assert at.freeing.bases == {(NAMES[0], DCN0)}
    # Asked for once.
    assert await at.turn()
    assert len(at.told) == 1
    at.blocks.flatten_now()
    assert not await at.turn()
    assert at.freeing.bases == frozenset()
    # The data went over no line of ours.
    assert (at.blocks.sent, at.blocks.fetched) == ([], 0)


async def test_a_chain_that_is_too_long_is_cut_where_that_takes_least() -> None:
    at = await chained(*NAMES[:5])
    assert await at.turn()
    assert at.asked == [NAMES[2]]
    assert "a chain of 3" in at.told[0]
    at.blocks.flatten_now()
    assert not await at.turn()


async def test_where_edgesync_layers_nothing_no_chain_is_shortened() -> None:
    at = await chained(*NAMES[:5])
    at.change(shorten=False)
    assert not await at.turn()
    assert at.asked == []


async def test_a_manager_is_given_little_at_a_time() -> None:
    at = await fanned(leaving=NAMES[0])
    turns = 0
    while await at.turn():
        assert len(at.asked) <= freeing.MOST_TASKS
        at.blocks.flatten_now()
        turns += 1
    assert (turns, len(at.told)) == (3, 5)


async def test_disks_are_peoples_and_keep_what_they_are_on() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    await at.blocks.disk(NAMES[0], "vms", "disk", object_size=8 * MIB)
    assert not await at.turn()
    assert at.asked == []


async def test_what_is_being_written_is_left_alone() -> None:
    at = await chained(*NAMES[:1], leaving=NAMES[0])
    await at.blocks.clone(NAMES[0], f"{NAMES[1]}.edgesync", object_size=64 * KIB)
    assert not await at.turn()
    assert at.asked == []


async def test_a_full_or_paused_or_silent_site_is_left_alone() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    full = Site(store=DCN0, capacity=Capacity(used=85 * MIB, available=15 * MIB))
    at.change(sites={DCN0: full})
    await at.turn()
    down = Site(store=DCN0, breaker=Breaker(state=BreakerState.OPEN))
    at.change(sites={DCN0: down})
    await at.turn()
    at.change(sites={}, pauses=(Pause(store=DCN0, by="alice", since=NOW),))
    await at.turn()
    assert at.asked == []
    at.change(pauses=())
    await at.turn()
    assert at.asked == [NAMES[1]]


async def test_trouble_at_a_site_passes() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    at.blocks.manages = False
    assert not await at.turn()
    at.blocks.manages = True
    at.blocks.cluster.down()
    assert not await at.turn()
    at.blocks.cluster.up()
    assert await at.turn()
    assert at.asked == [NAMES[1]]


async def test_what_one_image_is_refused_keeps_no_other_from_being_flattened() -> None:
    at = await fanned(leaving=NAMES[0])
    refused = NAMES[1]
    tried = []

    async def refuse(method: str, name: str) -> None:
        if method == "flatten" and name == refused:
            tried.append(at.now)
            raise PermanentError("it has a feature that the manager does not know")

    at.blocks.before = refuse
    with structlog.testing.capture_logs() as logs:
        while at.now < timedelta(hours=3):
            await at.turn()
            at.blocks.flatten_now()
            await at.blocks.cluster.clock.sleep(30)
    assert len(at.told) == len(NAMES) - 2
    rests = [later - before for before, later in pairwise(tried)]
    assert [rest // freeing.REST for rest in rests] == [1, 2, 4, 8], "twice as long each time"
    warned = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [(entry["image"], entry["store"]) for entry in warned] == [(refused, DCN0)], "once"


async def test_what_a_manager_gives_up_is_asked_of_it_again_after_a_rest() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    asked = []
    with structlog.testing.capture_logs() as logs:
        while at.now < timedelta(hours=3):
            await at.turn()
            if at.asked:
                asked.append(at.now)
                at.blocks.flattening.clear()
            await at.blocks.cluster.clock.sleep(30)
    assert [(later - before) // freeing.REST for before, later in pairwise(asked)] == [1, 2, 4, 8]
    warned = [entry["why"] for entry in logs if entry["log_level"] == "warning"]
    assert len(warned) == len(asked)
    assert all("given it up" in why for why in warned)


async def test_a_manager_that_takes_its_time_has_given_up_nothing() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    for _ in range(2000):
        assert await at.turn()
        await at.blocks.cluster.clock.sleep(30)
    assert len(at.told) == 1
    at.blocks.flatten_now()
    assert not await at.turn()


async def test_a_silent_manager_is_not_asked_about_one_image_after_the_other() -> None:
    at = await fanned(leaving=NAMES[0])
    tried = []

    async def silent(method: str, name: str) -> None:
        if method == "flatten":
            tried.append(name)
            raise UnreachableError("cut")

    at.blocks.before = silent
    assert not await at.turn()
    assert not await at.turn()
    assert tried == list(NAMES[1:3]), "another one the next time"


async def test_a_full_site_is_warned_of_once() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    at.change(sites={DCN0: Site(store=DCN0, capacity=Capacity(used=85 * MIB, available=15 * MIB))})
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await at.turn()
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["not flattened"]


async def test_a_site_that_hangs_holds_up_no_other() -> None:
    at, other = await chained(*NAMES[:2], leaving=NAMES[0]), await chained(*NAMES[:2], leaving=NAMES[0])
    hangs = asyncio.Event()

    async def hang(_method: str, _name: str) -> None:
        await hangs.wait()

    other.blocks.before = hang
    at.change(leaving={(ImageId(NAMES[0]), store) for store in (DCN0, DCN1)})
    both = Freeing(
        cast("Mapping[StoreId, Blocks]", {DCN1: other.blocks, DCN0: at.blocks}),
        cast("Journal", at.journal),
        at.blocks.cluster.clock,
        TUNING,
        pools={DCN0: "images", DCN1: "images"},
        hub=CENTRAL,
        scene=lambda: at.scene,
    )
    running = asyncio.create_task(both.run())
    await at.blocks.cluster.clock.sleep(1)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert at.asked == [NAMES[1]]


async def test_before_the_first_look_at_glance_nothing_is_done() -> None:
    at = await chained(*NAMES[:5])
    at.scene = None
    assert await at.turn()
    assert (at.asked, at.freeing.bases) == ([], frozenset())


async def test_right_after_the_first_look_at_glance_a_site_has_its_own() -> None:
    """Nobody has to wait for what is layered there, and for what is to be done about it."""
    at = await chained(*NAMES[:2], leaving=NAMES[0])
    scene, at.scene = at.scene, None
    running = asyncio.create_task(at.freeing.run())
    await at.blocks.cluster.clock.sleep(1)
    at.scene = scene
    await at.blocks.cluster.clock.sleep(freeing.FIRST + 1)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert at.asked == [NAMES[1]]
    assert at.freeing.bases == {(ImageId(NAMES[0]), DCN0)}


async def test_what_begins_to_leave_is_held_until_its_site_was_looked_at() -> None:
    at = await chained(*NAMES[:3])
    going = frozenset((ImageId(name), DCN0) for name in (NAMES[0], NAMES[2]))
    elsewhere = frozenset({(ImageId(NAMES[0]), CENTRAL)})
    running = asyncio.create_task(at.freeing.run())
    await at.blocks.cluster.clock.sleep(60)
    assert at.freeing.held(going | elsewhere) == going, "whatever was seen before: of the hub's there is nothing to see"
    at.change(leaving=going)
    await at.blocks.cluster.clock.sleep(freeing.SOON + 1)
    assert at.freeing.held(going | elsewhere) == {(ImageId(NAMES[0]), DCN0)}, "soon: another is layered on it"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_site_that_can_not_tell_holds_nothing_for_ever() -> None:
    at = await chained(*NAMES[:2], leaving=NAMES[0])

    async def refuse(method: str, _: str) -> None:
        if method == "layers":
            raise PermanentError("its key may not")

    at.blocks.before = refuse
    assert not await at.turn()
    assert at.scene is not None
    assert at.freeing.held(at.scene.leaving) == frozenset()
