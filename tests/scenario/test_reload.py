"""SIGHUP while everything is at work: taken over whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edgesync.config import Settings
from edgesync.daemon.compose import Daemon
from edgesync.daemon.reloading import Reloader
from edgesync.daemon.wishes import wishes_of
from edgesync.domain.copy import WaitReason
from edgesync.domain.job import EventKind
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId
from edgesync.observe.sites import Sites
from tests.scenario.stage import GOLDEN, Stage, set_stage

BARE = Policy(name="bare", match=Match(tags=frozenset({"bare"})), stores=None)


def reloader(stage: Stage, read: Callable[[], Settings] | None = None) -> Reloader:
    """As the daemon has one, with what it was started with."""
    return Reloader(stage.running, stage.settings(), read or stage.settings)


async def first_look(stage: Stage) -> Daemon:
    await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
    return stage.running


async def test_a_new_policy_is_followed_and_what_runs_goes_on(stage: Stage) -> None:
    image = stage.add_golden(mebibytes=2048)
    other = stage.fake.add_image(name="other", tags=["bare"])
    async with stage.life():
        reloading = reloader(stage)
        await stage.until(lambda: stage.imports(image) == ["dcn0"], "the copy")
        stage.policies = (BARE,)
        assert await reloading.reload()
        await stage.until_at(other, "dcn0", "dcn1")
        await stage.until_at(image, "dcn0")
        assert len(await stage.events(EventKind.CONFIG_RELOADED)) == 1
    assert stage.imports(image) == ["dcn0"], "nobody wants it at dcn1 any more"


async def test_a_bad_file_changes_nothing_and_says_why_until_it_is_put_right(stage: Stage) -> None:
    image = stage.add_golden()
    async with stage.life() as daemon:
        await first_look(stage)
        reloading = reloader(stage)
        stage.document["polling"] = {"active": "never"}
        assert not await reloading.reload()
        assert "polling.active" in daemon.showcase.health.config.error
        (refused,) = await stage.events(EventKind.CONFIG_REFUSED)
        assert "the old one goes on" in refused.message
        await stage.until_at(image, "dcn0", "dcn1")
        del stage.document["polling"]
        assert await reloading.reload()
        assert daemon.showcase.health.config.error == ""


async def test_a_site_whose_ceph_is_taken_out_needs_a_restart_and_is_watched_until_then(sites: Stage) -> None:
    async with sites.life() as daemon:
        await first_look(sites)
        reloading = reloader(sites)
        sites.ceph = frozenset({"central", "dcn1"})
        assert not await reloading.reload()
        assert "stores.dcn0" in daemon.showcase.health.config.error
        sites.cut("dcn0")
        image = sites.add_golden()
        await sites.until(lambda: sites.waits(image, "dcn0", WaitReason.STORE_DOWN), "dcn0 is probed as before")
        sites.heal("dcn0")
        await sites.until_at(image, "dcn0")


async def test_a_limit_that_changes_while_copies_run_holds_for_the_next(stage: Stage) -> None:
    images = [stage.add_golden(f"img{number}", mebibytes=1024) for number in range(4)]
    async with stage.life():
        await stage.until(lambda: len(stage.fake.accepted) == 4, "two for each site")
        reloading = reloader(stage)
        stage.document["limits"] = {"imports": 1}
        assert await reloading.reload()
        begun = stage.clock.now()
        for image in images:
            await stage.until_at(image, "dcn0", "dcn1")
        later = [attempt for image in images for attempt in await stage.attempts(image) if attempt.started_at > begun]
        spans = sorted((attempt.started_at, attempt.ended_at) for attempt in later)
        assert len(spans) == 4
        assert all(end is not None and end <= start for (_, end), (start, _) in pairwise(spans))


async def test_after_a_reload_that_broke_off_the_next_one_is_heard(stage: Stage) -> None:
    answers: list[Callable[[], Settings]] = [lambda: 1 / 0, stage.settings]  # type: ignore[list-item, return-value]
    async with stage.life() as daemon:
        await first_look(stage)
        reloading = reloader(stage, lambda: answers.pop(0)())
        listening = asyncio.create_task(reloading.run())
        try:
            for left in (1, 0):
                reloading.ask()
                await stage.until(lambda left=left: len(answers) == left, "it was read")  # type: ignore[misc]
            await stage.until(lambda: daemon.showcase.health.config.loaded_at is not None, "reloaded")
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


async def test_nothing_is_pruned_by_policies_that_come_in_the_middle_of_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(GOLDEN, prune=True)
    narrow = replace(GOLDEN, stores=frozenset({StoreId("dcn0")}))
    async with set_stage(tmp_path, policies=[wide]) as stage:
        image = stage.add_golden()
        async with stage.life():
            await stage.until_at(image, "dcn0", "dcn1")
        stage.policies = (narrow,)
        async with stage.life() as daemon:
            stage.policies = (wide,)
            first = Sites.first

            async def overtaken(sites: Sites, *, audit: bool = False) -> None:
                daemon.cycle.configure(wishes_of(stage.settings()))
                await first(sites, audit=audit)

            monkeypatch.setattr(Sites, "first", overtaken)
            await first_look(stage)
            await stage.clock.sleep(1200)
            assert await stage.events(EventKind.COPY_REMOVED) == []
    assert stage.fake.count("delete_from_store") == 0
