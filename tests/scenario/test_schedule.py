"""When copies start: windows, waves, pauses, budgets, fairness. Hours pass in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edgesync.domain.copy import WaitReason
from edgesync.domain.job import Attempt, CopyResult, EventKind, JobState
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId
from edgesync.expose.requests import CopyRequest, PauseRequest, Scope
from tests.scenario.stage import GOLDEN, Stage, set_stage

HOUR = 3600.0
FIVE = ("central", "dcn0", "dcn1", "dcn2", "dcn3")


def waves(*steps: set[str], stop_after_failures: int = 1) -> Policy:
    return replace(
        GOLDEN,
        waves=tuple(frozenset(StoreId(store) for store in step) for step in steps),
        stop_after_failures=stop_after_failures,
    )


def at(stage: Stage, moment: datetime) -> None:
    """Let the story begin then."""
    stage.clock.advance((moment - stage.clock.now()).total_seconds())


async def sleep_until(stage: Stage, moment: datetime) -> None:
    await stage.clock.sleep((moment - stage.clock.now()).total_seconds())


async def attempts(stage: Stage, *images: str) -> list[Attempt]:
    """Oldest first."""
    found = [attempt for image in images for attempt in await stage.attempts(image)]
    return sorted(found, key=lambda attempt: attempt.started_at)


# Windows.


@pytest.mark.parametrize(
    ("begins", "opens"),
    [
        # Madrid is an hour ahead of UTC in winter, two in summer; the clock goes forward on 2027-03-28, back on 10-31.
        (datetime(2027, 1, 15, 12, tzinfo=UTC), datetime(2027, 1, 15, 21, tzinfo=UTC)),
        (datetime(2027, 3, 27, 12, tzinfo=UTC), datetime(2027, 3, 27, 21, tzinfo=UTC)),
        (datetime(2027, 3, 28, 12, tzinfo=UTC), datetime(2027, 3, 28, 20, tzinfo=UTC)),
        (datetime(2027, 10, 30, 12, tzinfo=UTC), datetime(2027, 10, 30, 20, tzinfo=UTC)),
        (datetime(2027, 10, 31, 12, tzinfo=UTC), datetime(2027, 10, 31, 21, tzinfo=UTC)),
    ],
)
async def test_a_copy_starts_when_the_clock_at_the_site_says_so(
    tmp_path: Path, begins: datetime, opens: datetime
) -> None:
    async with set_stage(tmp_path, ceph=False) as stage:
        stage.document["stores"] = {"dcn0": {"windows": ["22:00-06:00"], "timezone": "Europe/Madrid"}}
        at(stage, begins)
        image = stage.add_golden()
        async with stage.life():
            await stage.until_at(image, "dcn1")
            await stage.until(lambda: stage.waits(image, "dcn0", WaitReason.WINDOW), "shut")
            (waiting,) = [entry for entry in stage.picture.plan.waiting if "dcn0" in entry.stores]
            assert waiting.until == opens
            await sleep_until(stage, opens)
            await stage.until_at(image, "dcn0")
            started = (await attempts(stage, image))[-1].started_at
            assert opens <= started < opens.replace(minute=1), "and at once, not at some later look"


@pytest.mark.parametrize("overrun", ["finish", "stop"])
async def test_what_would_run_beyond_its_window_is_begun_or_not(tmp_path: Path, overrun: str) -> None:
    """A copy of 15 GiB takes a minute; the first one, a small one, tells how fast the site is."""
    async with set_stage(tmp_path, ceph=False) as stage:
        stage.document["stores"] = {"dcn0": {"windows": ["22:00-06:00"], "overrun": overrun}}
        at(stage, datetime(2026, 1, 2, 5, 50, tzinfo=UTC))
        first = stage.add_golden("small")
        async with stage.life():
            await stage.until_at(first, "dcn0", "dcn1")
            await sleep_until(stage, datetime(2026, 1, 2, 5, 59, 20, tzinfo=UTC))
            large = stage.add_golden("large", mebibytes=15 * 1024)
            await stage.until_at(large, "dcn1")
            begun = "dcn0" in stage.imports(large)
            assert begun is (overrun == "finish")
            if not begun:
                assert stage.waits(large, "dcn0", WaitReason.WINDOW)
                await sleep_until(stage, datetime(2026, 1, 2, 22, tzinfo=UTC))
            await stage.until_at(large, "dcn0")


async def test_who_says_urgent_need_not_wait_for_a_window(tmp_path: Path) -> None:
    async with set_stage(tmp_path, ceph=False) as stage:
        stage.document["stores"] = {"dcn0": {"windows": ["22:00-06:00"]}}
        at(stage, datetime(2026, 1, 2, 12, tzinfo=UTC))
        image = stage.add_golden()
        async with stage.life():
            await stage.until(lambda: stage.waits(image, "dcn0", WaitReason.WINDOW), "shut")
            await stage.running.intake.copy(CopyRequest(image=image, stores=("dcn0",), urgent=True))
            await stage.until_at(image, "dcn0")


# Waves.


async def test_a_rollout_goes_wave_by_wave_and_stops_at_a_failure(tmp_path: Path) -> None:
    policy = waves({"dcn0"}, {"dcn1", "dcn2"})
    async with set_stage(tmp_path, ceph=False, stores=FIVE, policies=[policy]) as stage:
        image = stage.add_golden()
        stage.fake.failing("dcn1")
        async with stage.life():
            await stage.until(lambda: stage.waits(image, "dcn3", WaitReason.WAVE), "the last wave")
            await stage.until_at(image, "dcn0")
            await stage.clock.sleep(300)
            assert stage.imports(image)[0] == "dcn0"
            failed = await stage.running.journal.ledger()
            assert [store for _, store in failed.failures] == ["dcn1"]
            assert set(stage.imports(image)) == {"dcn0", "dcn1"}
            (why,) = {entry.why for entry in stage.picture.plan.waiting if "dcn3" in entry.stores}
            assert why == "the rollout of policy golden has stopped: dcn1 failed"
            stage.fake.healthy("dcn1")
            await stage.until_at(image, "dcn1", "dcn2", "dcn3")


async def test_one_failure_fewer_than_it_takes_lets_the_rollout_go_on(tmp_path: Path) -> None:
    policy = waves({"dcn0", "dcn1"}, stop_after_failures=2)
    async with set_stage(tmp_path, ceph=False, stores=FIVE, policies=[policy]) as stage:
        image = stage.add_golden()
        stage.fake.failing("dcn0")
        async with stage.life():
            await stage.until_at(image, "dcn1", "dcn2", "dcn3")


async def test_a_paused_canary_holds_the_rollout_and_both_say_so(tmp_path: Path) -> None:
    async with set_stage(tmp_path, ceph=False, policies=[waves({"dcn0"})]) as stage:
        async with stage.life():
            await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
            await stage.running.intake.pause(PauseRequest(store="dcn0"))
            image = stage.add_golden()
            await stage.until(lambda: stage.waits(image, "dcn1", WaitReason.WAVE), "held")
            assert stage.waits(image, "dcn0", WaitReason.PAUSED)
            (why,) = [entry.why for entry in stage.picture.plan.waiting if "dcn1" in entry.stores]
            assert "dcn0" in why
        assert stage.imports(image) == []


# Pauses.


@pytest.mark.parametrize(
    "scope", [{"all": True}, {"store": "dcn0"}, {"image": "rhel"}, {"image": "rhel", "store": "dcn0"}]
)
async def test_a_pause_survives_a_restart_and_ends_when_somebody_resumes(stage: Stage, scope: dict[str, Any]) -> None:
    async with stage.life():
        image = stage.fake.add_image(name="rhel", tags=[])
        await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
        await stage.running.intake.pause(PauseRequest(**scope))
        stage.fake.change_image(image, tags=["golden"])
    async with stage.life():
        await stage.until(lambda: stage.waits(image, "dcn0", WaitReason.PAUSED), "paused")
        await stage.clock.sleep(HOUR)
        assert "dcn0" not in stage.imports(image)
        assert ("dcn1" in stage.imports(image)) is ("store" in scope)
        await stage.running.intake.resume(Scope(**scope))
        await stage.until_at(image, "dcn0", "dcn1")


# Budgets and fairness.


async def test_a_site_where_everything_fails_is_not_retried_more_than_its_budget_allows(tmp_path: Path) -> None:
    retry = {"first": "1s", "ceiling": "2s", "per_store": 10}
    slowly = {"active": "5s", "idle": "30s"}
    async with set_stage(tmp_path, ceph=False, retry=retry, breaker={"failures": 100}, polling=slowly) as stage:
        images = [stage.add_golden(f"img{number}", mebibytes=1) for number in range(4)]
        stage.fake.failing("dcn0")
        async with stage.life():
            await stage.until(lambda: stage.waits(images[0], "dcn0", WaitReason.RETRY_BUDGET), "spent", within=HOUR)
            tried = len([store for image in images for store in stage.imports(image) if store == "dcn0"])
            assert tried == len(images) + 10
            stage.fake.healthy("dcn0")
            await stage.clock.sleep(HOUR)
            await stage.until_at(images[0], "dcn0")


async def test_a_site_with_much_to_do_does_not_hold_up_one_with_little(tmp_path: Path) -> None:
    """Twenty images for dcn0 alone, one for both: with one slot, dcn1 has its turn at once."""
    async with set_stage(tmp_path, ceph=False, limits={"imports": 1}) as stage:
        many = [
            stage.fake.add_image(name=f"img{number:02}", tags=["golden"], size=64 << 20, stores=["central", "dcn1"])
            for number in range(20)
        ]
        few = stage.add_golden("zebra")
        async with stage.life():
            for image in (*many, few):
                await stage.until_at(image, "dcn0", "dcn1")
            order = [(attempt.image, attempt.stores) for attempt in await attempts(stage, *many, few)]
        assert (few, ("dcn1",)) in order[:2]


async def test_a_full_pool_waits_with_the_figures_and_goes_on_when_there_is_room(sites: Stage) -> None:
    sites.pool("dcn0").fill(0.849)
    image = sites.add_golden(mebibytes=512)
    sites.pool("dcn0").total = 100 << 30
    sites.pool("dcn0").fill(0.849)
    async with sites.life():
        await sites.until_at(image, "dcn1")
        await sites.until(lambda: sites.waits(image, "dcn0", WaitReason.CAPACITY), "no room")
        (why,) = [entry.why for entry in sites.picture.plan.waiting if "dcn0" in entry.stores]
        assert why == ("its pool holds 84.9 GiB of 100.0 GiB (85%); 512.0 MiB more would pass max_pool_fill, 85%")
        await sites.clock.sleep(HOUR)
        assert "dcn0" not in sites.imports(image)
        sites.pool("dcn0").fill(0.5)
        await sites.until_at(image, "dcn0")
        assert await sites.events(EventKind.COPY_FAILED) == []


# Cancelled in the middle.


async def test_a_job_cancelled_in_the_middle_starts_nothing_more(stage: Stage) -> None:
    image = stage.fake.add_image(size=2048 << 20)
    async with stage.life():
        job = await stage.ask(image, "dcn0", "dcn1")
        await stage.until(lambda: stage.imports(image) == ["dcn0"], "the first import")
        taken = await stage.running.intake.cancel(job.id, "alice")
        assert "can't be stopped" in taken.notes[0]
        ended = await stage.ended(job)
        assert ended.state is JobState.CANCELLED
        assert {entry.store: entry.result for entry in ended.stores} == {
            "dcn0": CopyResult.COPIED,
            "dcn1": CopyResult.CANCELLED,
        }
        await stage.clock.sleep(HOUR)
    assert stage.imports(image) == ["dcn0"]
    assert set(stage.fake.image(image).stores) == {"central", "dcn0"}
