"""What commands show is, to the letter, what the files in `golden` hold; `pytest --golden` writes them anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from edgesync.cli.context import Context
from edgesync.daemon import service
from edgesync.daemon.layers import Place
from edgesync.domain.blocks import KIB, MIB, Flattening, Verification
from edgesync.domain.copy import Progress
from edgesync.domain.job import Event, EventKind, JobId
from edgesync.domain.store import StoreId
from edgesync.expose.picture import Picture
from tests.builders import NOW, attempt, failure, image, job, policy, situation
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock
from tests.unit.cli.conftest import Same
from tests.unit.cli.running import terminal
from tests.unit.expose.pictures import picture_of
from tests.unit.expose.test_problems import sick

EVERYWHERE = ("central", "dcn0", "dcn1")
RHEL, FEDORA = image("rhel-9.4", stores=EVERYWHERE), image("fedora-41", stores=EVERYWHERE, size=20 << 30)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def healthy() -> Picture:
    case = situation(RHEL, FEDORA, policies=[policy()])
    stores = {
        store: replace(known, fsid=f"fsid-{store}", pool="images")
        for store, known in case.world.topology.stores.items()
    }
    return picture_of(replace(case, world=replace(case.world, topology=replace(case.world.topology, stores=stores))))


def busy() -> Picture:
    """One image on its way, one that failed, one that has not begun."""
    moving, failed, new = image("moving"), image("failed", stores=("central", "dcn0")), image("new")
    case = situation(
        moving,
        failed,
        new,
        policies=[policy()],
        attempts=[attempt(moving, "dcn0")],
        jobs=[job(moving, "dcn0")],
        failures=[failure(failed, "dcn1", next_in=600, attempts=2)],
    )
    progress = Progress(
        image=moving.id,
        store=StoreId("dcn0"),
        bytes_done=1 << 29,
        bytes_total=1 << 30,
        rate=float(1 << 24),
        since=NOW,
    )
    return picture_of(case, progress)


@pytest.mark.parametrize(
    ("name", "picture", "arguments"),
    [
        ("status-healthy", healthy, ("status",)),
        ("status-sick", sick, ("status",)),
        ("status-busy", busy, ("status",)),
        ("stores-healthy", healthy, ("stores",)),
        ("stores-sick", sick, ("stores",)),
        ("locations", healthy, ("locations", "rhel-9.4")),
    ],
)
async def test_what_is_seen_of_a_cloud(
    name: str,
    picture: Callable[[], Picture],
    arguments: tuple[str, ...],
    same: Same,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with terminal(picture(), capsys, monkeypatch) as shell:
        found = Verification(at=NOW, sound=True, damage="", rbd_id="x")
        await shell.at.journal.add_verification(RHEL.id, StoreId("dcn0"), found)
        said = await shell.edgesync(*arguments)
        assert said.code == 0, said.err
        same(name, said.out)


async def test_jobs_and_one_of_them_store_by_store(
    same: Same, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with terminal(busy(), capsys, monkeypatch) as shell:
        for number, name in (("1a", "moving"), ("2b", "new")):
            await shell.at.journal.add_job(replace(job(image(name), "dcn0", "dcn1"), id=JobId(number)))
        same("jobs", (await shell.edgesync("jobs")).out)
        same("job", (await shell.edgesync("jobs", "1a")).out)


async def test_the_history(same: Same, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async with terminal(healthy(), capsys, monkeypatch) as shell:
        begun = Event(at=NOW, kind=EventKind.COPY_STARTED, message="the import was asked for", image=RHEL.id, seq=1)
        ended = Event(at=NOW, kind=EventKind.COPY_DONE, message="1.0 GiB", image=RHEL.id, store=StoreId("dcn0"), seq=2)
        await shell.at.journal.add_events([begun, ended])
        same("history", (await shell.edgesync("history", "rhel-9.4")).out)


async def test_layers(same: Same, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = FakeBlocks(FakeCluster("dcn0", clock=VirtualClock()))
    blocks.put("id-rhel-9.4", b"x" * 16 * MIB)
    await blocks.clone("id-rhel-9.4", "id-fedora-41", object_size=64 * KIB)
    await blocks.seal("id-fedora-41")
    await blocks.disk("id-fedora-41", "vms", "disk", object_size=8 * MIB)
    blocks.flattening["id-fedora-41"] = Flattening(image="id-fedora-41", running=True, progress=0.4)
    places = {StoreId("dcn0"): Place(pool="images", cluster=blocks.cluster, blocks=blocks)}
    async with terminal(healthy(), capsys, monkeypatch, places=places) as shell:
        same("layers", (await shell.edgesync("layers")).out)


async def test_the_plan(same: Same, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def planned(_settings: Any) -> Picture:
        return busy()

    monkeypatch.setattr(service, "plan", planned)
    monkeypatch.setattr(Context, "settings_for_work", lambda _context, **_more: None)
    async with terminal(busy(), capsys, monkeypatch) as shell:
        same("plan", (await shell.edgesync("plan")).out)
