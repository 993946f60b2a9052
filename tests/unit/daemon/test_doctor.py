"""Doctor's round: whatever doesn't answer is a finding, and keeps nothing else from being looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import cast

import pytest

from edgesync.clients.checkup import Checkup
from edgesync.clients.glance import GlanceClient
from edgesync.clients.keystone import OpenStackAuth
from edgesync.config import Settings, load
from edgesync.daemon.doctor import examine
from edgesync.daemon.doctor_cloud import Cloud, Desk, look_at_cloud
from edgesync.domain.checkup import Identity
from edgesync.errors import EdgesyncError, PermanentError
from edgesync.plan.diagnosis import Diagnosis, Grade
from tests.fakes.glance import FakeGlance, Fault, FixedAuth, RealClock, VirtualClock, status

ADMIN = Identity(user="edgesync", project="service", roles=frozenset({"admin"}))


class KnownAuth(FixedAuth):
    """A log-in of which Keystone would tell this; the fake Glance stands for Keystone's clock, too."""

    def __init__(self, endpoint: str, known: Identity | EdgesyncError) -> None:
        super().__init__(endpoint)
        self._known = known

    async def identity(self) -> Identity:
        if isinstance(self._known, EdgesyncError):
            raise self._known
        return self._known

    async def keystone(self) -> str:
        return await self.endpoint()


@pytest.fixture
async def fake() -> AsyncIterator[FakeGlance]:
    async with FakeGlance(clock=VirtualClock()) as glance:
        yield glance


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Every way leads nowhere: no clouds.yaml, no conf, no key, no daemon, no staging."""
    file = tmp_path / "edgesync.yaml"
    file.write_text(
        f"""\
cloud: nowhere
clouds_file: {tmp_path}/clouds.yaml
hub: central
stores:
  central: {{ceph: {{conf: {tmp_path}/central.conf, user: edgesync}}}}
  dcn0: {{ceph: {{conf: {tmp_path}/dcn0.conf, user: edgesync}}}}
policies: [{{name: golden, match: {{tags: [golden]}}, stores: all}}]
glance: {{staging: {tmp_path}/staging}}
journal: {{url: "sqlite+aiosqlite:///{tmp_path}/journal.db"}}
api: {{listen: "127.0.0.1:1"}}
"""
    )
    return load(file, {})


async def look(fake: FakeGlance, settings: Settings, known: Identity | EdgesyncError = ADMIN) -> Cloud:
    auth = cast("OpenStackAuth", KnownAuth(fake.url, known))
    checkup = Checkup(auth, deadline=5)
    async with GlanceClient(auth, deadline=5, attempts=1) as glance:
        try:
            return await look_at_cloud(Desk(glance=glance, checkup=checkup), settings, RealClock())
        finally:
            await checkup.close()


def bad(diagnoses: Iterable[Diagnosis]) -> dict[str, Grade]:
    return {entry.title: entry.grade for entry in diagnoses if entry.grade is not Grade.OK}


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_a_cloud_that_is_well_has_no_finding(fake: FakeGlance, settings: Settings) -> None:
    fake.sim.show_locations = True
    image = fake.add_image(stores=["central"])
    cloud = await look(fake, settings)
    assert bad(cloud.diagnoses) == {}
    assert cloud.images is not None
    assert list(cloud.images) == [image]
    assert cloud.topology is not None
    assert cloud.locked == 0


async def test_a_lock_comes_with_its_task(fake: FakeGlance, settings: Settings) -> None:
    image = fake.add_image(stores=["central"])
    fake.dead("dcn0")
    task = fake.rival_import(image, ["dcn0"])
    assert task is not None
    cloud = await look(fake, settings)
    assert [(lock.image.id, lock.task and lock.task.id) for lock in cloud.locks] == [(image, task.id)]


async def test_without_a_log_in_nothing_is_asked_of_glance(fake: FakeGlance, settings: Settings) -> None:
    cloud = await look(fake, settings, PermanentError("Keystone refused.", remedy="Correct the password."))
    assert bad(cloud.diagnoses) == {"log-in": Grade.PROBLEM, "glance": Grade.UNKNOWN}
    assert fake.requests == []


async def test_a_glance_that_answers_nothing_is_one_problem(fake: FakeGlance, settings: Settings) -> None:
    fake.faults.add(Fault(operation="versions", kind=status(503), times=100))
    cloud = await look(fake, settings)
    assert bad(cloud.diagnoses)["glance"] is Grade.PROBLEM
    assert (cloud.images, cloud.topology) == (None, None)


async def test_a_list_that_fails_hides_nothing_else(fake: FakeGlance, settings: Settings) -> None:
    fake.faults.add(Fault(operation="images", kind=status(500), times=100))
    found = bad((cloud := await look(fake, settings)).diagnoses)
    assert found["images"] is Grade.PROBLEM
    assert "stores" not in found
    assert cloud.topology is not None


async def test_a_glance_without_copy_image_is_looked_at_all_the_same(fake: FakeGlance, settings: Settings) -> None:
    fake.settings.import_methods = ("glance-direct", "web-download")
    cloud = await look(fake, settings)
    assert bad(cloud.diagnoses)["glance"] is Grade.PROBLEM
    assert cloud.images is not None


async def test_when_every_way_leads_nowhere_each_is_named_and_nothing_is_made(
    settings: Settings, tmp_path: Path
) -> None:
    before = files(tmp_path)
    found = await examine(settings, api="http://127.0.0.1:1")
    graded = bad(found)
    for title in ("log-in", "site central", "site dcn0", "staging"):
        assert graded[title] is Grade.PROBLEM, title
    assert graded["daemon"] is Grade.WARNING
    assert graded["images"] is Grade.UNKNOWN
    assert all(entry.remedy for entry in found if entry.grade in {Grade.PROBLEM, Grade.WARNING})
    assert files(tmp_path) == before
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
