"""Each copy in its turn, and what could not be compared later: no site is asked about it all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest

from edgesync.daemon.scrub import LATER, Scrub, ScrubRules
from edgesync.domain.blocks import MIB, Verification
from edgesync.domain.image import ImageId
from edgesync.domain.job import CopyResult, StoreResult
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.comparison import Found
from edgesync.execute.rbd.reference import Pace
from edgesync.expose.picture import Health, Showcase
from tests.builders import NOW, image, situation
from tests.fakes.glance import VirtualClock
from tests.unit.expose.pictures import picture_of, site

DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
ONE = image("one", stores=("central", "dcn0", "dcn1"))


@dataclass(kw_only=True)
class Looks:
    """Finds what it is told to, and reads so much at the hub before."""

    clock: VirtualClock
    found: Mapping[StoreId, CopyResult]
    reads: int = 0
    seen: list[tuple[float, StoreId]] = field(default_factory=list)
    known: dict[StoreId, dict[ImageId, Verification]] = field(default_factory=dict)

    async def look(self, image: ImageId, store: StoreId, *, pace: Pace) -> Found:
        for _ in range(self.reads // MIB):
            await pace(MIB)
        self.seen.append(((self.clock.now() - NOW).total_seconds(), store))
        result = self.found[store]
        recorded = result is CopyResult.SOUND
        if recorded:
            self.known.setdefault(store, {})[image] = Verification(at=self.clock.now(), sound=True)
        return Found(result=StoreResult(store=store, result=result, reason=""), recorded=recorded)

    async def verifications(self, store: StoreId) -> Mapping[ImageId, Verification]:
        return self.known.get(store, {})


async def scrubbed(clock: VirtualClock, looks: Looks, *, hours: float) -> None:
    picture = picture_of(situation(ONE), sites=[site("dcn0"), site("dcn1")])
    showcase = Showcase(health=Health(started_at=NOW), picture=picture)
    rules = ScrubRules(every=timedelta(days=30).total_seconds(), bandwidth=MIB)
    task = asyncio.create_task(Scrub(showcase, looks, looks, clock, rules, looks.found).run())
    await clock.sleep(hours * 3600)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("result", [CopyResult.DAMAGED, CopyResult.FAILED], ids=["broken", "not compared"])
async def test_what_leaves_no_record_is_looked_at_again_later_and_not_all_the_time(result: CopyResult) -> None:
    clock = VirtualClock()
    looks = Looks(clock=clock, found={DCN0: result})
    await scrubbed(clock, looks, hours=2.5)
    times = [at for at, _ in looks.seen]
    assert len(times) == 3
    assert all(later - before >= LATER.total_seconds() for before, later in pairwise(times))


async def test_what_is_sound_is_left_alone_for_its_time() -> None:
    clock = VirtualClock()
    looks = Looks(clock=clock, found={DCN0: CopyResult.SOUND})
    await scrubbed(clock, looks, hours=10)
    assert len(looks.seen) == 1


async def test_the_hub_is_read_within_the_scrubs_bandwidth_for_all_sites_together() -> None:
    clock = VirtualClock()
    looks = Looks(clock=clock, found={DCN0: CopyResult.SOUND, DCN1: CopyResult.SOUND}, reads=60 * MIB)
    began = (clock.now() - NOW).total_seconds()
    await scrubbed(clock, looks, hours=1)
    assert max(at for at, _ in looks.seen) - began >= 2 * 60 - 2, "at 1 MiB/s"
