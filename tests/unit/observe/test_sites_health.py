"""Which sites are alive: probes, breakers, and who has to wait for a dead one (nobody)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edgesync.domain.job import EventKind
from edgesync.domain.site import Breaker, BreakerState, Capacity
from edgesync.domain.store import StoreId
from edgesync.errors import PermanentError, UnreachableError
from edgesync.observe import sites as sites_module
from tests.builders import CENTRAL
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock
from tests.unit.observe.watched import AUDIT, DCN0, DCN1, PROBES, Cloud, watched


class Counted(FakeCluster):
    """Counts probes; may hang without a deadline of its own, or break in a way nobody thought of."""

    def __init__(self, store: str, *, clock: VirtualClock) -> None:
        super().__init__(store, clock=clock)
        self.probes = 0
        self.hangs = False
        self.breaks = False

    async def probe(self) -> Capacity | None:
        self.probes += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.breaks:
            raise ZeroDivisionError
        return await super().probe()


async def test_the_first_look_tells_of_every_site_and_a_dead_one_costs_its_deadline() -> None:
    async with watched(Cloud()) as cloud:
        cloud.pools[DCN0].down()
        began = cloud.clock.now()
        await cloud.sites.first()
        assert (cloud.clock.now() - began).total_seconds() == PROBES.deadline
        seen = cloud.sites.sites(cloud.stores)
        assert [seen[store].breaker.state for store in cloud.stores] == [
            BreakerState.CLOSED,
            BreakerState.OPEN,
            BreakerState.CLOSED,
        ]
        assert seen[CENTRAL].capacity == Capacity(used=0, available=100 * 2**30)
        assert seen[DCN0].capacity is None


async def test_a_site_that_never_answers_costs_no_more_than_one_that_says_so() -> None:
    cloud = Cloud("dcn0")
    pool = Counted("dcn0", clock=cloud.clock)
    pool.hangs = True
    await cloud.sites.configure({DCN0: pool}, probes=PROBES, audit=AUDIT)
    async with watched(cloud):
        await cloud.sites.first()
        assert cloud.state(DCN0) is BreakerState.OPEN
        assert "within 5 s" in cloud.sites.sites([DCN0])[DCN0].breaker.cause


async def test_a_site_goes_down_and_comes_back_without_a_command() -> None:
    async with watched(Cloud()) as cloud:
        await cloud.sites.first()
        assert cloud.told() == []
        cloud.pools[DCN0].down()
        await cloud.clock.sleep(60)
        assert cloud.state(DCN0) is BreakerState.OPEN
        assert cloud.told() == [(EventKind.STORE_DOWN, "dcn0")], "told once, not at each probe"
        cloud.pools[DCN0].up()
        await cloud.clock.sleep(120)
        assert cloud.state(DCN0) is BreakerState.CLOSED
        assert cloud.told() == [(EventKind.STORE_BACK, "dcn0")]
        assert cloud.told() == []


async def test_what_is_told_of_a_dead_site_says_why_and_what_will_happen() -> None:
    async with watched(Cloud()) as cloud:
        cloud.pools[DCN0].down()
        await cloud.sites.first()
        (event,) = cloud.sites.events()
        assert event.message.startswith("dcn0 does not answer since 00:00 UTC (Can't reach the monitors")
        assert "go on by themselves" in event.message


async def test_between_down_and_up_lies_half_open() -> None:
    async with watched(Cloud()) as cloud:
        cloud.pools[DCN0].down()
        await cloud.sites.first()
        cloud.pools[DCN0].up()
        await cloud.clock.sleep(2)
        await cloud.sites.check(DCN0)
        assert cloud.state(DCN0) is BreakerState.HALF_OPEN
        assert [kind for kind, _ in cloud.told()] == [EventKind.STORE_DOWN], "not back before it is sure"
        cloud.sites.outcome(DCN0, good=True)
        assert cloud.state(DCN0) is BreakerState.CLOSED


async def test_a_dead_site_is_probed_less_and_less() -> None:
    cloud = Cloud("dcn0")
    pool = Counted("dcn0", clock=cloud.clock)
    await cloud.sites.configure({DCN0: pool}, probes=PROBES, audit=AUDIT)
    async with watched(cloud):
        await cloud.sites.first()
        pool.down()
        await cloud.clock.sleep(3600)
        # Ten seconds and five, doubling, up to two and a half minutes between two probes of five seconds each.
        assert pool.probes <= 30
        assert pool.probes >= 3600 / 300


async def test_those_who_ask_at_the_same_time_share_one_probe() -> None:
    cloud = Cloud("dcn0")
    pool = Counted("dcn0", clock=cloud.clock)
    await cloud.sites.configure({DCN0: pool}, probes=PROBES, audit=AUDIT)
    async with watched(cloud):
        await asyncio.gather(*(cloud.sites.check(DCN0) for _ in range(50)))
        await cloud.sites.check(DCN0)
        assert pool.probes == 1, "a result of the last second will do"
        await cloud.clock.sleep(1)
        await cloud.sites.check(DCN0)
        assert pool.probes == 2


async def test_who_gives_up_waiting_for_a_probe_does_not_break_it_off_for_the_others() -> None:
    async with watched(Cloud()) as cloud:
        cloud.pools[DCN0].down()
        impatient, patient = (asyncio.create_task(cloud.sites.check(DCN0)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(UnreachableError, match="did not answer"):
            await patient
        assert impatient.cancelled()


async def test_a_check_raises_what_is_wrong_and_moves_the_breaker() -> None:
    async with watched(Cloud()) as cloud:
        await cloud.sites.check(DCN0)
        await cloud.clock.sleep(2)
        cloud.pools[DCN0].down()
        with pytest.raises(UnreachableError):
            await cloud.sites.check(DCN0)
        assert cloud.state(DCN0) is BreakerState.OPEN


async def test_a_site_that_refuses_us_is_not_down() -> None:
    async with watched(Cloud()) as cloud:
        await cloud.sites.first()
        cloud.pools[DCN0].permitted = False
        await cloud.clock.sleep(60)
        seen = cloud.sites.sites([DCN0])[DCN0]
        assert seen.breaker.state is BreakerState.CLOSED
        assert "client.edgesync may not" in seen.breaker.cause
        assert "client.edgesync may not" in seen.refusal
        assert seen.capacity is None, "what can't be asked is not known"
        with pytest.raises(PermanentError):
            await cloud.sites.check(DCN0)
        assert cloud.told() == []
        cloud.pools[DCN0].permitted = True
        await cloud.clock.sleep(60)
        seen = cloud.sites.sites([DCN0])[DCN0]
        assert (seen.breaker.cause, seen.refusal) == ("", "")


async def test_a_refusal_is_logged_once(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    async with watched(Cloud()) as cloud:
        cloud.pools[DCN0].permitted = False
        await cloud.sites.first()
        await cloud.clock.sleep(600)
    assert (capsys.readouterr().out + caplog.text).count("site can't be probed") == 1


async def test_a_store_without_ceph_is_judged_by_its_copies() -> None:
    async with watched(Cloud()) as cloud:
        plain = StoreId("plain")
        await cloud.sites.check(plain)
        assert cloud.sites.sites([plain])[plain].breaker == Breaker()
        for _ in range(3):
            cloud.sites.outcome(plain, good=False, cause="the import failed")
        assert cloud.state(plain) is BreakerState.OPEN
        assert cloud.told() == [(EventKind.STORE_DOWN, "plain")]
        cloud.sites.outcome(plain, good=True)
        assert cloud.told() == [(EventKind.STORE_BACK, "plain")]


async def test_a_failed_copy_has_its_site_probed_at_once() -> None:
    async with watched(Cloud()) as cloud:
        await cloud.sites.first()
        await cloud.clock.sleep(2)
        cloud.pools[DCN0].down()
        cloud.sites.outcome(DCN0, good=False, cause="the import failed")
        await cloud.clock.sleep(PROBES.deadline + 0.1)
        assert cloud.state(DCN0) is BreakerState.OPEN, "no need to wait for the next probe"


async def test_a_bug_in_one_watch_ends_neither_it_nor_the_others() -> None:
    cloud = Cloud("dcn0")
    pool = Counted("dcn0", clock=cloud.clock)
    await cloud.sites.configure({CENTRAL: cloud.pools[CENTRAL], DCN0: pool}, probes=PROBES, audit=AUDIT)
    async with watched(cloud):
        await cloud.sites.first()
        pool.breaks = True
        await cloud.clock.sleep(100)
        cloud.pools[CENTRAL].down()
        pool.breaks = False
        pool.down()
        await cloud.clock.sleep(100)
        assert cloud.state(CENTRAL) is BreakerState.OPEN
        assert cloud.state(DCN0) is BreakerState.OPEN, "it goes on after its rest"
    assert sites_module.REST < 100


async def test_new_settings_take_over_and_what_is_known_stays() -> None:
    async with watched(Cloud()) as cloud:
        cloud.pools[DCN0].down()
        await cloud.sites.first()
        fresh = Counted("dcn1", clock=cloud.clock)
        faster = replace(PROBES, every=1)
        clusters = {CENTRAL: cloud.pools[CENTRAL], DCN0: cloud.pools[DCN0], DCN1: fresh}
        await cloud.sites.configure(clusters, probes=faster, audit=AUDIT)
        assert cloud.state(DCN0) is BreakerState.OPEN
        await cloud.clock.sleep(100)
        assert fresh.probes > 90


async def test_a_store_that_loses_its_ceph_settings_is_not_down_for_ever() -> None:
    async with watched(Cloud()) as cloud:
        cloud.pools[DCN0].down()
        await cloud.sites.first()
        waiting = asyncio.create_task(cloud.sites.check(DCN0))
        await cloud.clock.sleep(1.5)
        await cloud.sites.configure({CENTRAL: cloud.pools[CENTRAL]}, probes=PROBES, audit=AUDIT)
        with pytest.raises(UnreachableError):
            await waiting
        assert cloud.state(DCN0) is BreakerState.CLOSED
        await cloud.sites.check(DCN0)


async def test_the_picture_does_not_change_under_who_holds_it() -> None:
    async with watched(Cloud()) as cloud:
        await cloud.sites.first()
        before = cloud.sites.sites(cloud.stores)
        kept = dict(before)
        cloud.pools[DCN0].down()
        await cloud.clock.sleep(60)
        assert dict(before) == kept
        assert before != cloud.sites.sites(cloud.stores)


async def test_events_nobody_takes_are_bounded() -> None:
    async with watched(Cloud()) as cloud:
        plain = StoreId("plain")
        for _ in range(600):
            for good in (False, False, False, True):
                cloud.sites.outcome(plain, good=good, cause="no")
        assert len(cloud.sites.events()) == sites_module.MOST_EVENTS
