"""Each fault does to a site what its name says, and healing undoes it."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import rados

from deploy.lab import ceph, cluster, faults, status
from deploy.lab.faults import How
from deploy.lab.layout import Lab
from tests.lab.conftest import LINKED

DEADLINE = 2
HOWS = [how for how in How if LINKED or how is not How.CUT_NETWORK]
SILENT = {How.PAUSE_SITE: cluster.DAEMONS, How.CUT_NETWORK: ("link", *cluster.DAEMONS)}
Run = Callable[..., subprocess.CompletedProcess[str]]


def write(lab: Lab, site: str) -> None:
    with ceph.connect(lab.site(site), "edgesync", DEADLINE) as connection:
        ceph.touch(connection)


@pytest.mark.parametrize("how", HOWS)
def test_broken_site_hangs_and_heals_while_the_others_work(breakable: Lab, how: How) -> None:
    faults.break_site(breakable, "dcn0", how)
    began = time.monotonic()
    with pytest.raises(rados.TimedOut):
        write(breakable, "dcn0")
    assert time.monotonic() - began > DEADLINE - 0.5
    write(breakable, "dcn1")
    bad = {service.name for service in status.status(breakable) if not service.healthy}
    assert bad == {f"dcn0 {part}" for part in SILENT.get(how, ("osd",))}
    faults.heal_site(breakable, "dcn0", how)
    faults.heal_site(breakable, "dcn0")
    write(breakable, "dcn0")
    assert status.healthy(breakable)


def test_full_pool_reads_and_shows_no_space(breakable: Lab) -> None:
    site = breakable.site("dcn0")
    with ceph.connect(site) as admin, admin.open_ioctx("images") as images:
        images.write_full("readable", b"still")
        faults.break_site(breakable, "dcn0", How.FULL_POOL)
        assert images.read("readable") == b"still"
        deadline = time.monotonic() + 10
        while cluster.capacity(admin) != 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        faults.heal_site(breakable, "dcn0")
        assert cluster.capacity(admin) != 0
        images.remove_object("readable")


def test_paused_osd_keeps_its_process(breakable: Lab) -> None:
    site = breakable.site("dcn1")
    before = cluster.daemon(site, "osd")
    faults.break_site(breakable, "dcn1", How.PAUSE_OSD)
    faults.heal_site(breakable, "dcn1")
    assert cluster.daemon(site, "osd") == before


def test_commands_break_show_and_heal(breakable: Lab, run: Run) -> None:
    name = ("--name", breakable.name)
    assert run("break", "dcn1", "--how", "kill-osd", *name).returncode == 0
    shown = run("status", *name)
    assert shown.returncode == 1
    assert "not running" in shown.stdout
    assert run("heal", "dcn1", *name).returncode == 0
    assert run("status", *name).returncode == 0
    unknown = run("break", "dcn7", "--how", "kill-osd", *name)
    assert unknown.returncode == 1
    assert unknown.stderr == f"error: lab '{breakable.name}' has no site 'dcn7': central, dcn0, dcn1\n"


def test_glance_commands(breakable: Lab, tmp_path: Path, run: Run) -> None:
    name = ("--name", breakable.name)
    assert run("kill-glance", *name).returncode == 0
    assert run("status", *name).returncode == 1
    assert run("restart-glance", *name).returncode == 0
    assert run("expire-tokens", *name).returncode == 0
    file = tmp_path / "tiny.raw"
    file.write_bytes(bytes(2**20))
    uploaded = run("upload", str(file), "--tag", "golden", "--property", "os_distro=none", *name)
    assert uploaded.returncode == 0, uploaded.stderr
    image = uploaded.stdout.strip()
    assert image in run("rbd-images", "central", *name).stdout
    assert "protected=True" in run("readback", "central", image, *name).stdout
