"""A real Ceph cluster passes the contract that the fake of its contents is built on; and what only a real one shows."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
import rados
import rbd
from structlog.testing import capture_logs

from deploy.lab import ceph, faults
from deploy.lab import cluster as daemons
from deploy.lab.layout import ROOT, Lab
from edgesync.clients import checksum, rbd_handle
from edgesync.clients.blocks import CephBlocks
from edgesync.clients.rbd_handle import Handle
from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import KIB, MIB, Digests, Layout, digests_of
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import PermanentError, UnreachableError
from tests.contract.blocks.driver import FEATURES, OBJECT, Seen, a_name, noise, until
from tests.contract.blocks.suite import BlocksContract
from tests.lab.writers import open_and_die, write_and_die

DEADLINE = 3.0
# What the names of all images of the contract begin with.
OURS = "contract-"


class LabDriver:
    """Moves dcn0 of the lab, by clients of its own. Satisfies `Driver`."""

    def __init__(self, lab: Lab, stack: AsyncExitStack, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.site = lab.site("dcn0")
        self._lab = lab
        self._stack = stack
        self._folder = folder
        self._patch = patch
        self._headless: list[str] = []
        self._handles = ExitStack()
        self._admin = self._handles.enter_context(ceph.connect(self.site))
        self._pool = self._handles.enter_context(self._admin.open_ioctx("images"))

    async def put(
        self, name: str, data: bytes, *, object_size: int = OBJECT, snapshot: bool = True, protected: bool = True
    ) -> None:
        def put() -> None:
            rbd.RBD().create(self._pool, name, len(data), object_size.bit_length() - 1, features=FEATURES)
            with rbd.Image(self._pool, name) as image:
                for start in range(0, len(data), object_size):
                    if piece := data[start : start + object_size].rstrip(b"\0"):
                        image.write(piece, start)
                if snapshot:
                    image.create_snap("snap")
                    if protected:
                        image.protect_snap("snap")

        await asyncio.to_thread(put)

    async def put_as(self, name: str, data: bytes, **options: Any) -> None:
        """An image of another make than Glance's."""

        def put() -> None:
            rbd.RBD().create(self._pool, name, len(data), **options)
            with rbd.Image(self._pool, name) as image:
                image.write(data, 0)
                image.create_snap("snap")
                image.protect_snap("snap")

        await asyncio.to_thread(put)

    async def clone_from_elsewhere(self, child: str, data: bytes) -> None:
        """A clone of a parent in another pool, made by Ceph's second way, whose snapshot has been removed since."""

        def clone() -> None:
            with self._admin.open_ioctx("volumes") as pool:
                rbd.RBD().create(pool, "contract-elsewhere", len(data), features=FEATURES)
                with rbd.Image(pool, "contract-elsewhere") as parent:
                    parent.write(data, 0)
                    parent.create_snap("gone")
                    self._admin.conf_set("rbd_default_clone_format", "2")
                    rbd.RBD().clone(pool, "contract-elsewhere", "gone", self._pool, child, FEATURES)
                    parent.remove_snap("gone")

        await asyncio.to_thread(clone)

    async def clone(self, name: str, child: str) -> None:
        await asyncio.to_thread(rbd.RBD().clone, self._pool, name, "snap", self._pool, child, FEATURES)

    async def data(self, name: str, *, snapshot: bool = True) -> bytes:
        def read() -> bytes:
            with rbd.Image(self._pool, name, snapshot="snap" if snapshot else None, read_only=True) as image:
                return image.read(0, image.size())

        return await asyncio.to_thread(read)

    async def look(self, name: str) -> Seen:
        def look() -> Seen:
            with rbd.Image(self._pool, name, read_only=True) as image:
                snapshot = any(entry["name"] == "snap" for entry in image.list_snaps())
                prefix = f"{image.block_name_prefix()}."
                return Seen(
                    layout=Layout(size=image.size(), object_size=image.stat()["obj_size"], features=image.features()),
                    snapshot=snapshot,
                    protected=snapshot and image.is_protected_snap("snap"),
                    objects=sum(entry.key.startswith(prefix) for entry in self._pool.list_objects()),
                )

        return await asyncio.to_thread(look)

    async def look_at_disk(self, pool: str, name: str) -> tuple[Layout, bytes]:
        def look() -> tuple[Layout, bytes]:
            with self._admin.open_ioctx(pool) as ioctx, rbd.Image(ioctx, name, read_only=True) as image:
                size, object_size = image.size(), image.stat()["obj_size"]
                layout = Layout(size=size, object_size=object_size, features=image.features())
                data = image.read(0, size)
            return layout, data

        return await asyncio.to_thread(look)

    async def rename(self, name: str, to: str) -> None:
        await asyncio.to_thread(rbd.RBD().rename, self._pool, name, to)

    async def trash(self, name: str) -> None:
        await asyncio.to_thread(rbd.RBD().trash_move, self._pool, name, 0)

    async def resize(self, name: str, size: int) -> None:
        def resize() -> None:
            with rbd.Image(self._pool, name) as image:
                image.resize(size)

        await asyncio.to_thread(resize)

    async def trashed(self, name: str) -> bool:
        entries = await asyncio.to_thread(lambda: list(rbd.RBD().trash_list(self._pool)))
        return name in {entry["name"] for entry in entries}

    async def behead(self, name: str) -> None:
        def behead() -> None:
            with rbd.Image(self._pool, name, read_only=True) as image:
                header = f"rbd_header.{image.id()}"
            self._pool.remove_object(header)

        await asyncio.to_thread(behead)
        self._headless.append(name)

    async def leave_half_made(self, name: str, *, listed: bool) -> None:
        def make() -> None:
            rbd.RBD().create(self._pool, name, MIB, old_format=False)
            with rbd.Image(self._pool, name, read_only=True) as image:
                image_id = image.id()
            for left in ("rbd_header", "rbd_object_map"):
                self._pool.remove_object(f"{left}.{image_id}")
            if not listed:
                _unlist(self._pool, name, image_id)

        await asyncio.to_thread(make)

    async def leave_half_trashed(self, name: str, *, trashed: bool) -> None:
        def move() -> None:
            place = self._pool.read(f"rbd_id.{name}")
            if not trashed:
                self._pool.remove_object(f"rbd_id.{name}")
                return
            rbd.RBD().trash_move(self._pool, name, 0)
            # As Ceph writes a text: its length, then its bytes.
            text = len(name).to_bytes(4, "little") + name.encode()
            self._pool.execute("rbd_directory", "rbd", "dir_add_image", text + place)

        await asyncio.to_thread(move)

    async def leave_half_renamed(self, name: str, to: str, *, listed: bool) -> None:
        def rename() -> None:
            if listed:
                rbd.RBD().rename(self._pool, name, to)
            source, target = (to, name) if listed else (name, to)
            self._pool.write_full(f"rbd_id.{target}", self._pool.read(f"rbd_id.{source}"))

        await asyncio.to_thread(rename)

    async def corrupt(self, name: str, offset: int) -> None:
        def flip() -> None:
            with rbd.Image(self._pool, name, read_only=True) as image:
                index, start = divmod(offset, image.stat()["obj_size"])
                key = f"{image.block_name_prefix()}.{index:016x}"
            (byte,) = self._pool.read(key, 1, start)
            self._pool.write(key, bytes([byte ^ 0xFF]), start)

        await asyncio.to_thread(flip)

    async def leave_locked(self, name: str) -> None:
        await asyncio.to_thread(write_and_die, self._lab, name)

    async def leave_open(self, name: str) -> None:
        await asyncio.to_thread(open_and_die, self._lab, name)

    async def blocklist(self) -> str:
        """As people see it: the JSON of 16.2 has a second list behind the first."""
        _, told, _ = await asyncio.to_thread(self._admin.mon_command, '{"prefix": "osd blocklist ls"}', b"")
        return told.decode()

    async def flattened(self) -> None:
        """The manager does it by itself."""

    async def silence(self) -> None:
        await asyncio.to_thread(faults.break_site, self._lab, "dcn0", faults.How.PAUSE_OSD)

    async def fill(self) -> None:
        await asyncio.to_thread(faults.break_site, self._lab, "dcn0", faults.How.FULL_POOL)

    async def stop_manager(self) -> None:
        manager = daemons.daemon(self.site, "mgr")
        assert manager is not None
        await asyncio.to_thread(manager.kill)

    async def silence_manager(self) -> None:
        await asyncio.to_thread(faults.pause, self._lab, self.site, "mgr")

    async def heal(self) -> None:
        await asyncio.to_thread(faults.heal_site, self._lab, "dcn0")

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def client(self, **settings: str) -> CephBlocks:
        known = {"conf": str(self.site.conf), "user": "edgesync", **settings}
        client = CephBlocks(StoreId("dcn0"), CephSettings(**known), deadline=DEADLINE)
        self._stack.push_async_callback(client.close)
        return client

    def client_that_reads(self) -> Blocks:
        self._patch.setattr(checksum, "LIBRARY", "librados-without-checksums.so")
        return self.client()

    def client_without_manager_caps(self) -> Blocks:
        return self.client(user="glance")

    def client_of_one_pool(self) -> Blocks:
        return self.client(user="glance")

    async def clean_up(self) -> None:
        await self.heal()
        await asyncio.to_thread(self._remove_everything)
        await asyncio.to_thread(self._handles.close)

    def _remove_everything(self) -> None:
        with self._admin.open_ioctx("vms") as vms, self._admin.open_ioctx("volumes") as volumes:
            pools = (vms, self._pool, volumes)
            for name in self._headless:
                rbd.RBD().remove(self._pool, name)
            for pool in pools:
                for entry in rbd.RBD().trash_list(pool):
                    rbd.RBD().trash_restore(pool, entry["id"], f"contract-{entry['id']}")
            # Clones first, whichever those are.
            while left := [(pool, name) for pool in pools for name in rbd.RBD().list(pool) if name.startswith(OURS)]:
                for pool, name in left:
                    with contextlib.suppress(rbd.ImageBusy, rbd.ImageNotFound):
                        _remove(pool, name)


def _unlist(pool: rados.Ioctx, name: str, image_id: str) -> None:
    with rados.WriteOpCtx() as operation:
        pool.remove_omap_keys(operation, (f"name_{name}", f"id_{image_id}"))
        pool.operate_write_op(operation, "rbd_directory")


def _remove(pool: rados.Ioctx, name: str) -> None:
    with rbd.Image(pool, name) as image:
        if image.features() & rbd.RBD_FEATURE_EXCLUSIVE_LOCK:
            # A dead client's watch would be there for half a minute.
            for lock in image.lock_get_owners():
                image.lock_break(rbd.RBD_LOCK_MODE_EXCLUSIVE, lock["owner"])
        for snapshot in [entry["name"] for entry in image.list_snaps()]:
            if image.is_protected_snap(snapshot):
                image.unprotect_snap(snapshot)
            image.remove_snap(snapshot)
    rbd.RBD().remove(pool, name)


@pytest.fixture
async def driver(breakable: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LabDriver]:
    async with AsyncExitStack() as stack:
        driver = LabDriver(breakable, stack, tmp_path, monkeypatch)
        stack.push_async_callback(driver.clean_up)
        yield driver


@pytest.fixture
def blocks(driver: LabDriver) -> Blocks:
    return driver.client()


class TestRealBlocks(BlocksContract):
    """The real one does what the rbd engine relies on."""


BLOCK = 64 * KIB


def digests(data: bytes) -> Digests:
    return Digests(size=len(data), block=BLOCK, values=digests_of(data, BLOCK))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes of images are read, call by call."""
    found: list[int] = []
    read = Handle.read

    def counted(handle: Handle, offset: int, length: int) -> bytes:
        found.append(length)
        return read(handle, offset, length)

    monkeypatch.setattr(Handle, "read", counted)
    return found


async def test_where_the_osds_compute_nothing_is_read(driver: LabDriver, blocks: Blocks, reads: list[int]) -> None:
    base, child, data = a_name(), a_name(), noise(20 * MIB)
    await driver.put(base, data)
    await blocks.clone(base, child, object_size=BLOCK)
    async with blocks.writing(child) as image:
        await image.write(5 * MIB, noise(MIB, seed=2))
    changed = data[: 5 * MIB] + noise(MIB, seed=2) + data[6 * MIB :]
    assert await blocks.digests(child, BLOCK, snapshot=False) == digests(changed)
    assert reads == []


async def test_a_short_last_block_is_all_that_is_read(driver: LabDriver, blocks: Blocks, reads: list[int]) -> None:
    name, data = a_name(), noise(20 * MIB + 1)
    await driver.put(name, data)
    assert await blocks.digests(name, BLOCK, snapshot=True) == digests(data)
    assert reads == [1]


async def test_its_location_is_as_glance_writes_it(driver: LabDriver, blocks: Blocks) -> None:
    assert await blocks.location("some-image") == f"rbd://{driver.site.fsid}/images/some-image/snap"


async def test_that_it_reads_is_said_once(driver: LabDriver, reads: list[int]) -> None:
    name, data = a_name(), noise(MIB)
    await driver.put(name, data)
    blocks = driver.client_that_reads()
    with capture_logs() as logs:
        for _ in range(2):
            assert await blocks.digests(name, BLOCK, snapshot=True) == digests(data)
    assert [(entry["store"], "librados can't" in entry["why"]) for entry in logs] == [("dcn0", True)]
    assert reads == [MIB, MIB]


async def test_what_the_osds_refuse_is_read(
    driver: LabDriver, blocks: Blocks, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, data = a_name(), noise(9 * MIB)
    await driver.put(name, data)
    with monkeypatch.context() as strict, capture_logs() as logs:
        strict.setattr(checksum.Pool, "digests", refused)
        for _ in range(2):
            assert await blocks.digests(name, BLOCK, snapshot=True) == digests(data)
    assert [(entry["store"], entry["why"]) for entry in logs] == [
        ("dcn0", "pool images refuses: Operation not supported")
    ]
    assert sum(reads) == 18 * MIB
    # Once they do, they are asked again.
    assert await blocks.digests(name, BLOCK, snapshot=True) == digests(data)
    assert sum(reads) == 18 * MIB


def refused(*_: object) -> None:
    raise checksum.ChecksumError(errno.EOPNOTSUPP)


@pytest.mark.parametrize(
    ("options", "read"),
    [
        # Erasure-coded pools hold no more than the data.
        ({"features": FEATURES, "data_pool": "volumes"}, 0),
        ({"features": FEATURES, "stripe_unit": 256 * KIB, "stripe_count": 4}, 20 * MIB),
        ({"features": rbd.RBD_FEATURE_LAYERING}, 0),
        ({"features": rbd.RBD_FEATURE_LAYERING, "order": 16}, 0),
    ],
    ids=["data-pool", "striped", "no-map", "no-map-many"],
)
async def test_images_of_another_make(
    driver: LabDriver,
    blocks: Blocks,
    reads: list[int],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    read: int,
) -> None:
    # One look is not enough without a map.
    monkeypatch.setattr(rbd_handle, "SLICE", 7)
    name, data = a_name(), noise(20 * MIB)
    await driver.put_as(name, data, **options)
    assert await blocks.digests(name, BLOCK, snapshot=True) == digests(data)
    assert sum(reads) == read
    async with blocks.reading(name) as image:
        assert sum(extent.length for extent in await image.extents()) == 20 * MIB
    async with blocks.writing(name, take_over=True) as writing:
        await writing.write(0, noise(MIB, seed=2))
    assert await driver.data(name, snapshot=False) == noise(MIB, seed=2) + data[MIB:]
    assert await driver.data(name) == data


async def test_a_clone_of_a_parent_in_another_pool(driver: LabDriver, blocks: Blocks, reads: list[int]) -> None:
    name, data = a_name(), noise(9 * MIB)
    await driver.clone_from_elsewhere(name, data)
    assert await blocks.digests(name, BLOCK, snapshot=False) == digests(data)
    assert reads == []
    assert await blocks.parent(name) == "volumes/contract-elsewhere"


async def test_who_is_cut_off_is_told_by_the_address_that_the_blocklist_has(driver: LabDriver, blocks: Blocks) -> None:
    name = a_name()
    await blocks.create(name, Layout(size=MIB, object_size=OBJECT, features=FEATURES))
    await driver.leave_locked(name)
    with capture_logs() as told:
        async with blocks.writing(name, take_over=True):
            pass
    (entry,) = [entry for entry in told if "cut off" in entry["event"]]
    assert (entry["image"], entry["store"]) == (name, "dcn0")
    assert entry["client"] in await driver.blocklist()


async def test_a_parent_s_pool_that_is_not_ours_is_named(driver: LabDriver) -> None:
    name = a_name()
    await driver.clone_from_elsewhere(name, noise(MIB))
    with pytest.raises(PermanentError, match=r"client\.glance may not"):
        await driver.client(user="glance").digests(name, BLOCK, snapshot=False)


async def test_a_manager_s_late_answers_harm_nobody(driver: LabDriver, blocks: Blocks) -> None:
    base, name = a_name(), a_name()
    await driver.put(base, noise(MIB))
    await blocks.clone(base, name, object_size=MIB)
    await driver.silence_manager()
    for call in (blocks.flatten(name), blocks.tasks(), blocks.tasks()):
        with pytest.raises(UnreachableError, match="did not answer") as failed:
            await call
        assert failed.value.sent
    # Copies go on.
    async with blocks.writing(name) as image:
        await image.write_all([(at, noise(64 * KIB, seed=at)) for at in range(0, MIB, 64 * KIB)])
    await driver.heal()

    async def done() -> bool:
        return await blocks.parent(name) is None and await blocks.tasks() == ()

    # What it was asked for meanwhile it does.
    await until(driver, done)


GOES_DOWN = """
import asyncio, sys
from edgesync.clients.blocks import CephBlocks
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import UnreachableError

async def main():
    blocks = CephBlocks(StoreId("dcn0"), CephSettings(conf=sys.argv[1], user="edgesync"), deadline=2.0)
    await blocks.digests(sys.argv[2], 65536, snapshot=False)
    async with blocks.writing(sys.argv[2]) as image:
        await image.write(0, b"begun")
        print("paused?", flush=True)
        sys.stdin.readline()
        calls = [image.write(at, bytes(65536)) for at in range(0, 8 << 20, 1 << 20)]
        calls.append(blocks.digests(sys.argv[2], 65536, snapshot=False))
        failures = await asyncio.gather(*calls, return_exceptions=True)
    await blocks.close()
    print({type(failure) for failure in failures} == {UnreachableError}, flush=True)

asyncio.run(main())
"""


async def test_a_process_with_hung_calls_can_end(driver: LabDriver) -> None:
    name = a_name()
    await driver.put(name, noise(8 * MIB), snapshot=False)
    command = [sys.executable, "-c", GOES_DOWN, str(driver.site.conf), name]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"paused?\n"
    await driver.silence()
    out, err = await asyncio.wait_for(process.communicate(b"\n"), 60)
    # Before that it may say that the image was not closed.
    assert (process.returncode, out.splitlines()[-1]) == (0, b"True"), err
