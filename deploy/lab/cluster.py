"""One site's Ceph cluster: made once, started whenever a daemon of it is missing.

The keyring with which the monitor is made already holds every key and capability, and the OSD formats its disk while
the monitor starts, so a site takes few steps that wait for each other.
"""

import shutil
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rados

from deploy.lab import ceph, links, render
from deploy.lab.errors import LabError
from deploy.lab.layout import POOLS, Lab, Site, write
from deploy.lab.processes import Process, environment, recorded, spawn
from deploy.lab.wait import say, until

DAEMONS = ("mon", "osd", "mgr")
PATIENCE = 60  # seconds for a daemon to answer, on a machine that is busy with other sites
# Of the manager's: what flattens images in the background, and what each module needs.
MODULES = ("rbd_support", "mgr_module.py", "mgr_util.py")
_ALL_MODULES = Path("/usr/share/ceph/mgr")
_IDS = {"mon": "a", "osd": "0", "mgr": "x"}


def ensure(lab: Lab, site: Site) -> None:
    """Make the cluster if it is not there, start what does not run, and wait until all of it answers."""
    made = site.folder / "made"
    fresh = not made.exists()
    ensure_link(lab, site)
    if fresh:
        _format(lab, site)
    ensure_monitor(lab, site)
    with ceph.connect(site, deadline=PATIENCE) as cluster:
        if fresh:
            ceph.ask(cluster, "osd new", uuid=_osd_uuid(site))
        manager = _running(lab, site, "mgr")
        osd = _running(lab, site, "osd")
        if fresh:
            for pool in POOLS:
                ceph.ask(cluster, "osd pool create", pool=pool, pg_num=8)
                ceph.ask(cluster, "osd pool application enable", pool=pool, app="rbd")
            # The manager lacks most of its modules on purpose, and operators' tools should see a healthy cluster.
            ceph.ask(cluster, "health mute", code="MGR_MODULE_ERROR", sticky=True)
        _write_through(site, osd)
        say(f"{site.name}: OSD takes writes")
        until(
            lambda: capacity(cluster),
            f"{site.name}: capacity from the manager",
            seconds=PATIENCE,
            process=manager,
            log=site.folder / "mgr.log",
        )
    made.touch()
    say(f"{site.name}: ready")


def ensure_link(lab: Lab, site: Site) -> None:
    """Join the site to central. Where its link is gone, daemons live on in a network without a name: end them."""
    if site.link is None:
        return
    if links.whole(site):
        links.join(lab, site)
        return
    for kind in DAEMONS:
        if process := daemon(site, kind):
            process.kill()
    links.make(lab, site)
    say(f"{site.name}: link to {site.address}, limit {links.shown(lab.rate)}")


def ensure_monitor(lab: Lab, site: Site) -> None:
    process, log = _running(lab, site, "mon"), site.folder / "mon.log"
    until(lambda: _answers(site), f"{site.name}: monitor", seconds=PATIENCE, process=process, log=log)
    say(f"{site.name}: monitor answers")


def capacity(cluster: rados.Rados) -> int | None:
    """Bytes that pool images can still take; nothing while no manager has reported."""
    for pool in ceph.ask(cluster, "df")["pools"]:
        if pool["name"] == "images" and ceph.ask(cluster, "mgr stat")["available"]:
            return int(pool["stats"]["max_avail"])
    return None


def daemon(site: Site, kind: str) -> Process | None:
    """The live `mon`, `osd` or `mgr` of a site."""
    return recorded(site.folder / f"{kind}.pid")


def start(lab: Lab, site: Site, kind: str) -> Process:
    name = f"ceph-{kind}"
    argv = links.inside(site, [name, "-f", "-i", _IDS[kind], "-c", str(site.conf)])
    return spawn(argv, record=site.folder / f"{kind}.pid", log=site.folder / f"{kind}.log", mark=lab.folder)


def _running(lab: Lab, site: Site, kind: str) -> Process:
    return daemon(site, kind) or start(lab, site, kind)


def _answers(site: Site) -> bool:
    try:
        with ceph.connect(site, deadline=2) as cluster:
            return bool(ceph.ask(cluster, "quorum_status")["quorum"])
    except rados.Error:
        return False


def _write_through(site: Site, osd: Process) -> None:
    def written() -> bool:
        try:
            with ceph.connect(site, deadline=2) as cluster:
                ceph.touch(cluster)
        except rados.Error:
            return False
        return True

    until(written, f"{site.name}: OSD", seconds=PATIENCE, process=osd, log=site.folder / "osd.log")


def _format(lab: Lab, site: Site) -> None:
    """Lay out the monitor's and the OSD's data afresh, over whatever a killed `up` has left."""
    for kind in DAEMONS:
        if process := daemon(site, kind):
            process.kill()
    shutil.rmtree(site.folder, ignore_errors=True)
    for part in (*DAEMONS, "modules"):
        (site.folder / part).mkdir(parents=True)
    for module in MODULES:
        (site.folder / "modules" / module).symlink_to(_ALL_MODULES / module)
    write(site.conf, render.ceph_conf(site))
    for user in ("admin", "glance", "edgesync"):
        write(site.keyring(user), render.keyring(site, f"client.{user}"))
    for kind, entity in (("osd", "osd.0"), ("mgr", "mgr.x")):
        write(site.folder / kind / "keyring", render.keyring(site, entity))
    write(site.folder / "keyring", render.keyring(site, *render.CAPS))
    monmap = str(site.folder / "monmap")
    address = f"[v2:{site.address}:{site.port}]"
    _run(lab, "monmaptool", "--create", "--fsid", site.fsid, "--addv", "a", address, monmap)
    conf = ("-c", str(site.conf))
    osd = ("ceph-osd", "--mkfs", "-i", "0", *conf, "--monmap", monmap, "--no-mon-config", "--osd-uuid", _osd_uuid(site))
    mon = ("ceph-mon", "--mkfs", "-i", "a", *conf, "--monmap", monmap, "--keyring", str(site.folder / "keyring"))
    with ThreadPoolExecutor() as side_by_side:
        for done in [side_by_side.submit(_run, lab, *argv) for argv in (osd, mon)]:
            done.result()
    (site.folder / "keyring").unlink()


def _osd_uuid(site: Site) -> str:
    return str(uuid.uuid5(uuid.UUID(site.fsid), "osd.0"))


def _run(lab: Lab, *argv: str) -> None:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=PATIENCE, env=environment(lab.folder), check=False
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}\nfailed:\n{done.stderr[-2000:]}")
