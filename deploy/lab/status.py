"""Whether each service of a lab is there and answers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import rados

from deploy.lab import api, ceph, cluster, faults, glance, keystone, links, mariadb
from deploy.lab.errors import LabError
from deploy.lab.layout import Lab, Network, Site
from deploy.lab.processes import Process

PATIENCE = 3  # seconds for a healthy service to answer


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service as it was seen."""

    name: str
    pid: int | None  # of the live process
    port: int | None  # where it listens, if others have to know
    healthy: bool
    note: str  # what it answered, or what is wrong


def status(lab: Lab) -> tuple[Service, ...]:
    """Every service, all asked at the same moment."""
    checks: list[Callable[[], Service]] = [
        lambda: _checked(
            "keystone", keystone.running(lab), lab.keystone_port, lambda: _api(api.answers(lab.keystone_url, PATIENCE))
        ),
        lambda: _checked("mariadb", mariadb.running(lab), lab.mariadb_port, lambda: _api(mariadb.greets(lab))),
        lambda: _checked("glance", glance.running(lab), lab.glance_port, lambda: _api(glance.healthy(lab))),
    ]
    if lab.network is Network.LOOPBACK:
        checks.append(_loopback)
    for site in lab.sites:
        if site.link:
            checks.append(partial(_link, lab, site))
        checks += [_check(site, kind, probe) for kind, probe in (("mon", _monitor), ("mgr", _manager), ("osd", _osd))]
    with ThreadPoolExecutor(len(checks)) as pool:
        return tuple(pool.map(lambda check: check(), checks))


def healthy(lab: Lab) -> bool:
    return all(service.healthy for service in status(lab))


def _check(site: Site, kind: str, probe: Callable[[Site], str]) -> Callable[[], Service]:
    port = site.port if kind == "mon" else None
    return lambda: _checked(f"{site.name} {kind}", cluster.daemon(site, kind), port, lambda: probe(site))


def _checked(name: str, process: Process | None, port: int | None, probe: Callable[[], str]) -> Service:
    pid, healthy, note = None, False, "not running"
    if process:
        pid, note = process.pid, "paused"
        if not process.paused():
            try:
                healthy, note = True, probe()
            except (rados.Error, LabError) as error:
                healthy, note = False, str(error)
    return Service(name=name, pid=pid, port=port, healthy=healthy, note=note)


def _loopback() -> Service:
    note = "loopback: no link between the sites to cut, limit or read"
    return Service(name="network", pid=None, port=None, healthy=True, note=note)


def _link(lab: Lab, site: Site) -> Service:
    note = "cut" if links.whole(site) else "not there"
    if up := links.carries(site):
        note = f"up, limit {links.shown(links.limited(lab, site))}"
    return Service(name=f"{site.name} link", pid=None, port=None, healthy=up, note=note)


def _api(good: bool) -> str:
    if not good:
        raise LabError("does not answer")
    return "answers"


def _monitor(site: Site) -> str:
    with ceph.connect(site, deadline=PATIENCE) as cluster:
        return str(ceph.ask(cluster, "health")["status"])


def _manager(site: Site) -> str:
    with ceph.connect(site, deadline=PATIENCE) as connection:
        free = cluster.capacity(connection)
    if free is None:
        raise LabError("reports no capacity")
    return f"{free / 2**30:.1f} GiB free"


def _osd(site: Site) -> str:
    if faults.is_full(site, PATIENCE):
        raise LabError("full: takes no writes")
    with ceph.connect(site, deadline=PATIENCE) as cluster:
        ceph.touch(cluster)
    return "takes writes"
