"""`edgesync plan` beside a daemon: it says what the daemon is about to do, down to the last reason for a wait."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from edgesync.clients.glance import GlanceClient
from edgesync.daemon.service import planned
from edgesync.domain.blocks import KIB
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import Engine, EventKind, Work
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId
from edgesync.expose.picture import Picture
from edgesync.journal import open_journal
from tests.scenario.stage import GOLDEN, STORES, Stage, set_stage

LENT = Policy(name="lent", match=Match(tags=frozenset({"lent"})), stores=frozenset({StoreId("dcn0")}), prune=True)


async def plan_beside(stage: Stage) -> Picture:
    """What `edgesync plan` sees, with a log-in, eyes and a journal of its own."""
    settings = stage.settings()
    journal = await open_journal(settings.journal.url, readonly=True)
    clusters = {StoreId(store): stage.pools[store] for store in sorted(stage.ceph)}
    blocks = {StoreId(store): pool for store, pool in stage.blocks.items()}
    try:
        async with GlanceClient(stage.fake.auth("plan"), sleep=stage.clock.sleep) as glance:
            return await planned(settings, glance, clusters, blocks, journal, stage.clock)
    finally:
        await journal.close()


async def lent_on_top_of_each_other(stage: Stage) -> tuple[ImageId, ImageId]:
    base, upper = (stage.add_raw(name, tags=("lent",)) for name in ("base", "upper"))
    await stage.until_at(base, "dcn0")
    await stage.until_at(upper, "dcn0")
    stage.pool("dcn0").remove(upper)
    await stage.blocks["dcn0"].clone(base, upper, object_size=64 * KIB)
    await stage.blocks["dcn0"].seal(upper)
    return base, upper


async def test_plan_says_what_the_daemon_is_about_to_do(tmp_path: Path) -> None:
    often: dict[str, Any] = {
        "polling": {"full_pass": "1m"},
        "audit": {"every": "1m"},
        "limits": {"imports_per_store": 1},
    }
    async with set_stage(tmp_path, policies=(GOLDEN, LENT), blocks=True, **often) as stage, stage.life() as daemon:
        whole, mended = stage.add_raw("whole"), stage.add_raw("mended")
        base, _ = await lent_on_top_of_each_other(stage)
        for image in (whole, mended):
            await stage.until_at(image, *STORES)
        await daemon.freeing.turn()
        stage.pool("dcn0").image(mended).protected = False
        await stage.until(lambda: stage.pool("dcn0").image(mended).protected, "mended")
        await stage.until_recorded()
        (repaired,) = await stage.events(EventKind.COPY_REPAIRED)
        daemon.loop.stop()
        # What the daemon remembers, what it sees in the pools, what its journal knows, how Glance is set up.
        stage.pool("dcn0").image(mended).protected = False
        stage.fake.change_image(base, tags=[])
        whole_copy = stage.pool("dcn1").image(whole)
        whole_copy.snapshot = whole_copy.protected = False
        first, _second = stage.add_raw("new-1"), stage.add_raw("new-2")
        await stage.clock.sleep(90)
        assert stage.clock.now() - repaired.at < timedelta(minutes=5)

        beside, own = await plan_beside(stage), await daemon.cycle.plan()
        assert beside.plan == own
        assert {(start.image, start.work, start.engine) for start in beside.plan.starts} == {
            (first, Work.COPY, Engine.RBD),
            (whole, Work.SEAL, Engine.COPY_IMAGE),
        }
        assert {waiting.reason for waiting in beside.plan.waiting} == {WaitReason.BUDGET}
