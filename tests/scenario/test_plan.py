"""`edgesync plan` beside a daemon: it says what the daemon is about to do, down to the last reason for a wait."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

from edgesync.clients.glance import GlanceClient
from edgesync.daemon.service import planned
from edgesync.domain.blocks import KIB, MIB
from edgesync.domain.copy import WaitReason
from edgesync.domain.image import ImageId
from edgesync.domain.job import Engine, EventKind, Work
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId
from edgesync.expose.jobs import job_view
from edgesync.expose.picture import Picture
from edgesync.expose.planned import plan_rows
from edgesync.expose.requests import CopyRequest
from edgesync.journal import open_journal
from tests.scenario.blocks import BLOCK, EDGES, noise
from tests.scenario.stage import GOLDEN, STORES, Stage, set_stage

LENT = Policy(name="lent", match=Match(tags=frozenset({"lent"})), stores=frozenset({StoreId("dcn0")}), prune=True)
LAYERED = "to dcn1: 128 KiB on top of rhel-9.4 instead of 2.0 MiB"


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


def found(stage: Stage, store: str) -> Collection[ImageId]:
    """What audits have found at a store by now."""
    return stage.running.sites.sites([StoreId(store)])[StoreId(store)].findings.keys()


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
        await daemon.freeing.turn(StoreId("dcn0"))
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
        first, _second = sorted(stage.add_raw(name) for name in ("new-1", "new-2"))
        await stage.until(lambda: {*found(stage, "dcn0"), *found(stage, "dcn1")} == {mended, whole}, "audited")
        await stage.clock.sleep(60)
        assert stage.clock.now() - repaired.at < timedelta(minutes=5)

        beside, own = await plan_beside(stage), await daemon.cycle.plan()
        assert beside.plan == own
        assert {(start.image, start.work, start.engine) for start in beside.plan.starts} == {
            (first, Work.COPY, Engine.RBD),
            (whole, Work.SEAL, Engine.COPY_IMAGE),
        }
        assert {waiting.reason for waiting in beside.plan.waiting} == {WaitReason.BUDGET}


async def test_what_will_be_sent_is_told_beforehand_as_the_engine_tells_it_then(tmp_path: Path) -> None:
    older = noise(2 * MIB)
    newer = older[: 5 * BLOCK] + noise(2 * BLOCK, seed=2) + older[7 * BLOCK :]
    async with set_stage(tmp_path, blocks=True) as stage:
        async with stage.life() as daemon:
            await stage.until_at(stage.add_raw("rhel-9.4", data=older), *EDGES)
            image = stage.add_raw("rhel-9.5", data=newer, tags=())
            await stage.until(lambda: image in stage.picture.world.images, "seen")
            unknown = await daemon.intake.copy(CopyRequest(image=image, stores=("dcn0",), dry_run=True))
            assert unknown.foreseen is not None
            assert unknown.foreseen.ways == {}, "nobody has taken its digests yet"
            await stage.ended((await daemon.intake.copy(CopyRequest(image=image, stores=("dcn0",)))).jobs[0])
            fetched = stage.blocks["central"].fetched
            known = await daemon.intake.copy(CopyRequest(image=image, stores=("dcn1",), dry_run=True))
            (row,) = job_view(known.jobs[0], known.foreseen).stores
            assert (row.engine, row.waiting) == ("rbd", "")
            assert row.way == f"rbd: the image is raw, and edgesync reaches the clusters of central and dcn1; {LAYERED}"
        stage.fake.change_image(image, tags=["golden"])
        (planned_row,) = plan_rows(await plan_beside(stage))
        assert (planned_row.engine, planned_row.bytes, planned_row.way) == ("rbd", 2 * BLOCK, row.way)
        assert stage.blocks["central"].fetched == fetched, "the journal knows"
        async with stage.life():
            await stage.until_at(image, *EDGES)
            told = [event.message for event in await stage.events(EventKind.COPY_PLANNED)]
            assert told == [LAYERED.replace("dcn1", "dcn0"), LAYERED]
