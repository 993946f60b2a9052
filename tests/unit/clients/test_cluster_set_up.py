"""A cluster that can't even be asked: no Python modules, no files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgesync.clients.cluster import CephCluster
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import PermanentError

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
