"""A cluster that can't even be asked: no Python modules, no files."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgesync.clients.ceph_calls import Calls
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.cluster import CephCluster
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import PermanentError, UnreachableError

# As on a machine where nobody has installed them.
WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['rados', 'rbd'])); "


def cluster(conf: str) -> CephCluster:
    return CephCluster(StoreId("dcn0"), CephSettings(conf=conf, user="edgesync"), deadline=30.0)


async def test_missing_python_modules_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("edgesync.clients.rbd_pool", "edgesync.clients.ceph_connection"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for module in ("rados", "rbd"):
        monkeypatch.setitem(sys.modules, module, None)
    client = cluster("/etc/ceph/ceph.conf")
    with pytest.raises(PermanentError, match="store dcn0") as refused:
        await client.probe()
    assert "apt-get install python3-rados python3-rbd" in refused.value.remedy
    await client.close()


def test_edgesync_starts_without_them() -> None:
    start = WITHOUT + "from edgesync.cli.main import main; import edgesync.clients.cluster; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout


async def test_a_missing_conf_is_named(tmp_path: Path) -> None:
    client = cluster(str(tmp_path / "ceph.conf"))
    with pytest.raises(PermanentError, match=r"ceph\.conf"):
        await client.names()
    await client.close()


async def test_a_conf_that_is_none_is_named(tmp_path: Path) -> None:
    conf = tmp_path / "ceph.conf"
    conf.write_text("[global]\nfsid = not an id\n")
    client = cluster(str(conf))
    with pytest.raises(PermanentError, match="store dcn0") as refused:
        await client.names()
    assert refused.value.remedy
    await client.close()


async def test_closing_what_was_never_used_is_nothing() -> None:
    await cluster("/etc/ceph/ceph.conf").close()


async def test_what_is_closed_before_its_first_call_connects_no_more() -> None:
    client = cluster("/etc/ceph/ceph.conf")
    await client.close()
    with pytest.raises(UnreachableError, match="has closed the connection"):
        await client.names()


async def test_closing_needs_no_thread_that_the_system_does_not_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    await cluster("/etc/ceph/ceph.conf").close()


async def test_what_is_loaded_while_it_is_closed_is_closed_too() -> None:
    settings = CephSettings(conf="/etc/ceph/ceph.conf", user="edgesync")
    refusals = Refusals(store=StoreId("dcn0"), settings=settings, deadline=30.0)
    loading, gate, half = threading.Event(), threading.Event(), Half()

    def load() -> Half:
        loading.set()
        gate.wait(30)
        return half

    calls = Calls("test", refusals, load, limit=1)
    call = asyncio.create_task(calls.run("do anything", lambda loaded: loaded))
    await asyncio.to_thread(loading.wait, 30)
    closing = asyncio.create_task(calls.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert await call is half
    assert half.closed == 1


class Half:
    """What blocks."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
