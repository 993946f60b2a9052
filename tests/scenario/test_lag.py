"""How long copies have been missing, whatever becomes of the daemon meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edgesync.domain.store import StoreId
from edgesync.expose.requests import PauseRequest, Scope
from tests.scenario.cutting import Scissors
from tests.scenario.stage import GOLDEN, STORES, Outside, Stage, set_stage
from tests.scenario.test_api import Client, get, served

NIGHTLY = replace(GOLDEN, lag_objective=timedelta(hours=24))
DCN0 = StoreId("dcn0")
HOUR = 3600


@pytest.fixture
async def nightly(tmp_path: Path) -> AsyncIterator[Stage]:
    """A daemon whose policy allows a day."""
    async with set_stage(tmp_path, policies=[NIGHTLY], ceph=False) as ready:
        yield ready


async def lag(client: Client, store: str) -> float:
    async with client.get("/metrics") as answer:
        shown = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if not line.startswith("#"))
    return float(shown[f'edgesync_lag_seconds{{policy="golden",store="{store}"}}'])


async def paused(stage: Stage, request: PauseRequest) -> None:
    """From the first turn of the next life on."""
    async with served(stage):
        await stage.running.intake.pause(request)


async def late(client: Client, store: str) -> bool:
    rows = (await get(client, "/v1/stores"))["stores"]
    return any(entry["late"] for row in rows if row["id"] == store for entry in row["lags"])


async def test_lag_grows_while_a_site_is_dead_and_ends_with_its_copy(sites: Stage) -> None:
    image = sites.add_golden()
    sites.cut("dcn0")
    async with served(sites) as client:
        await sites.until_at(image, "dcn1")
        await sites.clock.sleep(120)
        assert await lag(client, "dcn0") >= 60
        assert await lag(client, "dcn1") == 0
        sites.heal("dcn0")
        await sites.until_at(image, "dcn0")
        await sites.until(lambda: not sites.picture.wants.gaps, "the copy is seen")
        assert await lag(client, "dcn0") == 0
        async with client.get("/metrics") as answer:
            assert "edgesync_queue_wait_seconds_count 2.0" in (await answer.text()).splitlines()


async def test_a_daemon_that_is_restarted_every_night_breaks_an_objective_of_a_day_all_the_same(nightly: Stage) -> None:
    # Nothing fails, and nobody asks for anything: no job and no failure tells of it.
    await paused(nightly, PauseRequest(store="dcn0"))
    image = nightly.add_golden()
    seen = []
    for _ in range(3):
        async with served(nightly) as client:
            await nightly.until_at(image, "dcn1")
            assert (await nightly.running.journal.ledger()).jobs == ()
            seen.append((await lag(client, "dcn0"), await late(client, "dcn0")))
            await nightly.clock.sleep(9 * HOUR)
        nightly.fake.advance(HOUR)
    assert [is_late for _, is_late in seen] == [False, False, False]
    assert [hours // HOUR for hours, _ in seen] == [0, 10, 20]
    async with served(nightly) as client:
        assert await lag(client, "dcn0") >= 30 * HOUR
        assert await late(client, "dcn0")
        assert await lag(client, "dcn1") == 0
        await nightly.running.intake.resume(Scope(store="dcn0"))
        await nightly.until_at(image, "dcn0")
        await nightly.until(lambda: not nightly.picture.wants.gaps, "the copy is seen")
        await nightly.clock.sleep(60)
        assert await lag(client, "dcn0") == 0
        assert await nightly.running.journal.gaps() == {}


async def test_what_was_mended_while_the_daemon_was_away_is_not_late(nightly: Stage) -> None:
    await paused(nightly, PauseRequest(all=True))
    made, gone, left = (nightly.add_golden(name) for name in ("made", "gone", "left"))
    async with served(nightly) as client:
        assert await lag(client, "dcn0") == 0
        await nightly.clock.sleep(60)
    nightly.fake.advance(30 * HOUR)
    nightly.fake.change_image(made, stores=list(STORES))
    nightly.fake.delete_image(gone)
    nightly.fake.change_image(left, tags=[])
    late_comer = nightly.add_golden("late-comer")
    async with served(nightly) as client:
        assert await lag(client, "dcn0") < 60
        await nightly.clock.sleep(60)
        assert (await nightly.running.journal.gaps()).keys() == {late_comer}


@pytest.mark.parametrize("where", ["before keep_gaps", "after keep_gaps"])
async def test_a_death_costs_no_more_than_what_its_turn_has_found(nightly: Stage, where: str) -> None:
    """A first image's gap is kept; then the life ends at the moment when that of a second is written."""
    await paused(nightly, PauseRequest(all=True))
    first = nightly.add_golden("first")
    async with served(nightly):
        await nightly.clock.sleep(60)
        known = (await nightly.running.journal.gaps())[first]
    second = nightly.add_golden("second")
    nightly.outside = cut = CutAt(where)
    async with nightly.life():
        await cut.fall()
        found = nightly.clock.now()
    nightly.outside = Outside()
    nightly.fake.advance(HOUR)
    async with served(nightly):
        gaps = await nightly.running.journal.gaps()
        assert gaps[first] == known
        ((since, stores),) = gaps[second]
        assert stores == {"dcn0", "dcn1"}
        assert (since <= found) is (where == "after keep_gaps")
        assert since - found < timedelta(hours=1, minutes=1)


class CutAt(Scissors):
    """Cuts a life off at the first step of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(at=0)
        self._name = name

    async def step(self, where: str) -> None:
        if where == self._name:
            self.at = self.passed + 1
        await super().step(where)
