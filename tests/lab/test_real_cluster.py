"""A real Ceph cluster passes the contract that the fake is built on; and what only a real one can show."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
import rados
import rbd

from deploy.lab import ceph, faults, images, upload
from deploy.lab import cluster as daemons
from deploy.lab.api import login
from deploy.lab.layout import ROOT, Lab, Site
from edgesync.clients.cluster import THREADS, CephCluster
from edgesync.domain.ports import Cluster
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import NotFoundError, PermanentError, UnreachableError
from tests.contract.cluster.driver import MIB, OBJECT, SIZE, until
from tests.contract.cluster.suite import ClusterContract
from tests.lab.writers import write_and_die

DEADLINE = 3.0
# As glance_store makes images: layering, exclusive-lock, object-map, fast-diff, deep-flatten; objects of 8 MiB.
FEATURES = 61
ORDER = 23
BLOCK = b"edge" * (OBJECT // 4)
T = TypeVar("T")


class LabDriver:
    """Moves dcn0 of the lab, by clients of its own. Satisfies `Driver`."""

    def __init__(self, lab: Lab, stack: AsyncExitStack, folder: Path) -> None:
        self.site = lab.site("dcn0")
        self._lab = lab
        self._stack = stack
        self._folder = folder
        self._handles = ExitStack()
        connection = self._handles.enter_context(ceph.connect(self.site))
        self._pool = self._handles.enter_context(connection.open_ioctx("images"))
        self._volumes = self._handles.enter_context(connection.open_ioctx("volumes"))
        self._admin = connection
        self._writers: dict[str, rbd.Image] = {}

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def make(
        self, name: str, *, written: int = SIZE, snapshot: bool = True, protected: bool = True, size: int = SIZE
    ) -> None:
        await asyncio.to_thread(self._make, name, size, written, snapshot, protected, FEATURES)

    async def make_without_map(self, name: str, size: int, written: int) -> None:
        await asyncio.to_thread(self._make, name, size, written, False, False, rbd.RBD_FEATURE_LAYERING)

    async def open(self, name: str) -> None:
        self._writers[name] = await asyncio.to_thread(rbd.Image, self._pool, name)
        await asyncio.to_thread(self._writers[name].lock_acquire, rbd.RBD_LOCK_MODE_EXCLUSIVE)

    async def write(self, name: str, written: int) -> None:
        await asyncio.to_thread(_write, self._writers[name], written)

    async def leave(self, name: str) -> None:
        await asyncio.to_thread(self._writers.pop(name).close)

    async def clone(self, name: str, *, trashed: bool = False) -> str:
        child = f"{'trashed' if trashed else 'clone'}-of-{name}"

        def clone() -> None:
            rbd.RBD().clone(self._pool, name, "snap", self._volumes, child)
            if trashed:
                rbd.RBD().trash_move(self._volumes, child, 0)

        await asyncio.to_thread(clone)
        return f"volumes/{child}"

    async def trash(self) -> dict[str, timedelta]:
        entries = await asyncio.to_thread(lambda: list(rbd.RBD().trash_list(self._pool)))
        return {entry["name"]: entry["deferment_end_time"] - entry["deletion_time"] for entry in entries}

    async def silence(self) -> None:
        await asyncio.to_thread(faults.break_site, self._lab, "dcn0", faults.How.PAUSE_OSD)

    async def heal(self) -> None:
        await asyncio.to_thread(faults.heal_site, self._lab, "dcn0")

    async def fill(self) -> None:
        await asyncio.to_thread(faults.break_site, self._lab, "dcn0", faults.How.FULL_POOL)

    async def stop_manager(self) -> None:
        def stop() -> None:
            # Half a minute by default. Below the monitors' own tick of 5 s it never ends.
            ceph.ask(self._admin, "config set", who="mon", name="mon_mgr_beacon_grace", value="8")
            manager = daemons.daemon(self.site, "mgr")
            assert manager is not None
            manager.kill()
            until_noticed = time.monotonic() + 60
            while ceph.ask(self._admin, "status")["mgrmap"]["available"]:
                assert time.monotonic() < until_noticed
                time.sleep(0.1)
            ceph.ask(self._admin, "config rm", who="mon", name="mon_mgr_beacon_grace")

        await asyncio.to_thread(stop)

    def client(self, **settings: str) -> CephCluster:
        return self._client(self.site, **settings)

    def client_elsewhere(self) -> Cluster:
        return self._client(self._lab.site("dcn1"))

    def client_without_caps(self) -> Cluster:
        caps = ["mon", "profile rbd", "osd", "profile rbd pool=vms"]
        (entity,) = ceph.ask(self._admin, "auth get-or-create", entity="client.blind", caps=caps)
        keyring = self._folder / "blind.keyring"
        keyring.write_text(f"[client.blind]\n key = {entity['key']}\n")
        return self.client(user="blind", keyring=str(keyring))

    def objects(self) -> set[str]:
        """The pool as RADOS sees it."""
        return {entry.key for entry in self._pool.list_objects()}

    async def clean_up(self) -> None:
        await self.heal()
        await asyncio.to_thread(self._remove_everything)
        await asyncio.to_thread(self._handles.close)

    def _client(self, site: Site, **settings: str) -> CephCluster:
        known = {"conf": str(site.conf), "user": "edgesync", **settings}
        client = CephCluster(StoreId(site.name), CephSettings(**known), deadline=DEADLINE)
        self._stack.push_async_callback(client.close)
        return client

    def _make(self, name: str, size: int, written: int, snapshot: bool, protected: bool, features: int) -> None:
        rbd.RBD().create(self._pool, name, size, order=ORDER, features=features)
        with rbd.Image(self._pool, name) as image:
            _write(image, written)
            if snapshot:
                image.create_snap("snap")
                if protected:
                    image.protect_snap("snap")

    def _remove_everything(self) -> None:
        for image in self._writers.values():
            image.close()
        for pool in (self._volumes, self._pool):
            for entry in rbd.RBD().trash_list(pool):
                rbd.RBD().trash_restore(pool, entry["id"], f"{entry['name']}-{entry['id']}")
            for name in rbd.RBD().list(pool):
                if "contract-" in name:
                    _remove(pool, name)


def _write(image: rbd.Image, written: int) -> None:
    for offset in range(0, written, OBJECT):
        image.write(BLOCK, offset)


def _remove(pool: rados.Ioctx, name: str) -> None:
    with rbd.Image(pool, name) as image:
        for snapshot in [entry["name"] for entry in image.list_snaps()]:
            if image.is_protected_snap(snapshot):
                image.unprotect_snap(snapshot)
            image.remove_snap(snapshot)
    rbd.RBD().remove(pool, name)


@pytest.fixture
async def driver(breakable: Lab, tmp_path: Path) -> AsyncIterator[LabDriver]:
    async with AsyncExitStack() as stack:
        driver = LabDriver(breakable, stack, tmp_path)
        stack.push_async_callback(driver.clean_up)
        yield driver


@pytest.fixture
def cluster(driver: LabDriver) -> Cluster:
    return driver.client()


class TestRealCluster(ClusterContract):
    """The real one does what edgesync relies on."""


async def test_a_probe_writes_nothing(driver: LabDriver, cluster: Cluster) -> None:
    await driver.make("contract-probe")
    before = await asyncio.to_thread(driver.objects)
    await cluster.probe()
    assert await asyncio.to_thread(driver.objects) == before


async def test_images_without_an_object_map_are_measured_object_by_object(driver: LabDriver, cluster: Cluster) -> None:
    await driver.make_without_map("contract-mapless", 4096 * MIB, 3 * OBJECT)
    assert await cluster.written("contract-mapless") == 3 * OBJECT


@pytest.mark.parametrize(
    ("settings", "said", "remedy"),
    [
        ({"conf": "/nonesuch/ceph.conf"}, "/nonesuch/ceph.conf", "readable for the user"),
        ({"keyring": "/nonesuch/keyring"}, "/nonesuch/keyring", "readable for the user"),
        ({"user": "nobody"}, "client.nobody", "ceph auth get client.nobody"),
        ({"pool": "nonesuch"}, "no pool nonesuch", "rbd_store_pool"),
        ({"user": "glance", "pool": "vms"}, "client.glance may not", "ceph auth caps client.glance"),
    ],
    ids=["conf", "keyring", "user", "pool", "caps"],
)
async def test_what_is_not_set_up_is_said(driver: LabDriver, settings: dict[str, str], said: str, remedy: str) -> None:
    with pytest.raises(PermanentError, match=said) as refused:
        await driver.client(**settings).probe()
    assert "dcn0" in refused.value.message
    assert remedy in refused.value.remedy


async def test_hung_calls_take_no_more_than_their_threads(driver: LabDriver, cluster: Cluster) -> None:
    await cluster.probe()
    await driver.silence()
    calls = [asyncio.create_task(cluster.names()) for _ in range(50)]
    await asyncio.sleep(0.5)
    assert [thread.name for thread in threading.enumerate()].count("ceph-dcn0") == THREADS
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(failure) for failure in failures} == {UnreachableError}


GOES_DOWN = """
import asyncio, sys
from edgesync.clients.cluster import CephCluster
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import UnreachableError

async def main():
    cluster = CephCluster(StoreId("dcn0"), CephSettings(conf=sys.argv[1], user="edgesync"), deadline=1.0)
    try:
        await cluster.names()
    except UnreachableError:
        await cluster.close()
        print("closed", flush=True)

asyncio.run(main())
"""


async def test_a_process_with_hung_calls_can_end(driver: LabDriver) -> None:
    await driver.silence()
    command = [sys.executable, "-c", GOES_DOWN, str(driver.site.conf)]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


async def test_what_a_killed_writer_left_is_trashed_once_its_watch_has_ended(
    breakable: Lab, driver: LabDriver, cluster: Cluster
) -> None:
    await driver.make("contract-killed", snapshot=False, written=0)
    await asyncio.to_thread(write_and_die, breakable, "contract-killed")
    # Dead, and still watching: Ceph waits for half a minute.
    assert (await cluster.inspect("contract-killed")).watchers == 1

    async def unwatched() -> bool:
        return (await cluster.inspect("contract-killed")).watchers == 0

    await until(driver, unwatched)
    # Its lock is there yet, and no obstacle.
    await cluster.trash("contract-killed", delay=timedelta(hours=1))
    assert "contract-killed" in await driver.trash()


async def test_a_copy_image_import_is_followed(breakable: Lab, driver: LabDriver, cluster: Cluster) -> None:
    size = 256 * MIB
    body = {"method": {"name": "copy-image"}, "stores": ["dcn0"], "all_stores_must_succeed": True}
    image = await asyncio.to_thread(upload.upload, breakable, images.random_image(size, seed=5), name="followed")

    def ask(method: str, path: str, json: object = None) -> None:
        with login(breakable) as session:
            session.request(f"{breakable.glance_url}/v2/images/{image}{path}", method, json=json)

    await asyncio.to_thread(ask, "POST", "/import", body)
    seen: list[int] = []
    while not seen or seen[-1] < size:
        try:
            seen.append(await cluster.written(image))
        except NotFoundError:
            # Glance fetches the whole image before it begins to write.
            await asyncio.sleep(0.05)
    assert seen == sorted(seen)
    assert any(0 < written < size for written in seen)

    async def finished() -> bool:
        return (await cluster.inspect(image)).protected

    await until(driver, finished)
    await asyncio.to_thread(ask, "DELETE", "")
