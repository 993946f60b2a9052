"""What goes wrong at a site, on demand, and its repair.

Each fault is what the field sees, not an imitation in a client: the OSD is stopped, dead or full, or the link is down,
and whoever talks to the site waits until a deadline of their own, for Ceph by itself gives none.
"""

import signal
import time
from collections.abc import Callable
from enum import StrEnum

from deploy.lab import ceph, cluster, links
from deploy.lab.errors import LabError
from deploy.lab.layout import Lab, Site
from deploy.lab.processes import Process
from deploy.lab.wait import POLL, say

PATIENCE = 30
_RATIOS = {"full": 0.95, "backfillfull": 0.90, "nearfull": 0.85}  # Ceph's own
_TINY = 0.001  # what an empty OSD occupies is more


class How(StrEnum):
    PAUSE_OSD = "pause-osd"  # alive but silent: every request hangs, as over a cut line; heals where it was
    KILL_OSD = "kill-osd"  # the process is gone: connections are refused, requests hang
    PAUSE_SITE = "pause-site"  # every daemon is silent: not even a connection is made, as over a cut line
    CUT_NETWORK = "cut-network"  # the link is down: every packet is lost, the site itself goes on
    FULL_POOL = "full-pool"  # above the full ratio: reads go on, writes hang, no space is left to see


def break_site(lab: Lab, name: str, how: How) -> None:
    """Break one site in that way, and return when it shows."""
    site = lab.site(name)
    match how:
        case How.FULL_POOL:
            fill(site)
        case How.PAUSE_OSD:
            pause(lab, site, "osd")
        case How.PAUSE_SITE:
            pause(lab, site, *cluster.DAEMONS)
        case How.CUT_NETWORK:
            links.cut(lab, site)
        case How.KILL_OSD:
            _daemon(lab, site, "osd").kill()
    say(f"{name}: broken by {how}")


def heal_site(lab: Lab, name: str, how: How | None = None) -> None:
    """Undo one fault; or all of them, and return when the site takes writes again."""
    site = lab.site(name)
    if how is None:
        repair(lab, site)
    elif how in {How.PAUSE_OSD, How.PAUSE_SITE}:
        resume(site)
    elif how is How.CUT_NETWORK:
        links.join(lab, site)
    elif how is How.FULL_POOL:
        empty(site)
    elif cluster.daemon(site, "osd") is None:
        cluster.start(lab, site, "osd")
    say(f"{name}: healed of {how or 'everything'}")


def repair(lab: Lab, site: Site) -> None:
    """Leave the site healthy, whatever was done to it."""
    resume(site)
    cluster.ensure_link(lab, site)
    cluster.ensure_monitor(lab, site)
    empty(site)
    cluster.ensure(lab, site)


def pause(lab: Lab, site: Site, *kinds: str) -> None:
    for process in [_daemon(lab, site, kind) for kind in kinds]:
        process.signal(signal.SIGSTOP)
        _wait(process.paused, f"{site.name}: process {process.pid} does not stop")


def resume(site: Site) -> None:
    for kind in cluster.DAEMONS:
        if (process := cluster.daemon(site, kind)) and process.paused():
            process.signal(signal.SIGCONT)


def fill(site: Site) -> None:
    _set_ratios(site, dict.fromkeys(_RATIOS, _TINY))
    _wait(lambda: _reported(site)[1], f"{site.name}: the OSD does not report itself full")


def empty(site: Site) -> None:
    """Put the ratios back; with the OSD dead or paused, it reports when it is alive again."""
    lowered, full = _reported(site)
    if lowered:
        _set_ratios(site, _RATIOS)
    osd = cluster.daemon(site, "osd")
    if full and osd and not osd.paused():
        _wait(lambda: not _reported(site)[1], f"{site.name}: the OSD goes on reporting itself full")


def is_full(site: Site, deadline: int = ceph.DEADLINE) -> bool:
    """Whether the cluster takes no writes for want of space."""
    return _reported(site, deadline)[1]


def _daemon(lab: Lab, site: Site, kind: str) -> Process:
    process = cluster.daemon(site, kind)
    if process is None:
        raise LabError(
            f"{site.name} has no running {kind} to break; python -m deploy.lab heal {site.name} --name {lab.name}"
        )
    return process


def _reported(site: Site, deadline: int = ceph.DEADLINE) -> tuple[bool, bool]:
    """Whether the ratios are lowered, and whether the OSD calls itself full because of it."""
    with ceph.connect(site, deadline=deadline) as admin:
        osds = ceph.ask(admin, "osd dump")
    return osds["full_ratio"] < _RATIOS["full"] - _TINY, "full" in osds["osds"][0]["state"]


def _set_ratios(site: Site, ratios: dict[str, float]) -> None:
    with ceph.connect(site) as admin:
        for name, ratio in ratios.items():
            ceph.ask(admin, f"osd set-{name}-ratio", ratio=ratio)


def _wait(done: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise LabError(f"{complaint} after {PATIENCE} s; look at: python -m deploy.lab status")
        time.sleep(POLL)
