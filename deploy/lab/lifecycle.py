"""Bring a lab up and take it down, whatever state it is in."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import rados
from keystoneauth1.exceptions import ClientException

from deploy.lab import cluster, faults, glance, install, keystone, layout, links, mariadb, registry, render
from deploy.lab.errors import LabError
from deploy.lab.layout import HOME, MAX_EDGES, TOKEN_LIFETIME, Lab, Network, Release, Site
from deploy.lab.processes import kill_marked
from deploy.lab.wait import say


def up(
    name: str = "dev",
    edges: int | None = None,
    token_lifetime: int | None = None,
    home: Path = HOME,
    *,
    release: Release | None = None,
    network: Network | None = None,
    rate: int | None = None,
) -> Lab:
    """Bring the lab up and return when every service answers; what runs and answers already is left alone.

    A new lab runs the pinned Glance unless another `release` is asked for, and has its edges in namespaces where the
    machine lets it. A `rate` (bits per second, 0 for none) is put on every link.
    """
    with registry.locked(name, home) as folder:
        if (folder / "state.json").exists():
            lab = _again(Lab.load(name, home), edges, token_lifetime, release, network, rate)
            install.check(lab.glance)
        else:
            install.check(release or Release.PINNED)
            links.remove(folder)  # of an earlier lab, whose folder somebody has deleted
            lab = registry.create(
                name,
                _edges(edges),
                token_lifetime or TOKEN_LIFETIME,
                home,
                release=release or Release.PINNED,
                network=_network(folder, network, rate),
                rate=rate or 0,
            )
        sites = ", ".join(site.name for site in lab.sites)
        say(f"lab {name}: {sites} ({lab.network}), ports from {lab.base_port}, files in {folder}")
        _end_strays(lab)
        layout.write(lab.edgesync_file, render.edgesync(lab))
        layout.write(lab.openrc_file, render.openrc(lab))
        _side_by_side(
            partial(keystone.ensure, lab),
            *(partial(_site, lab, site, rate) for site in lab.sites),
            partial(glance.prepare, lab),
        )
        glance.ensure(lab)
    say(f"lab {name} is up: Glance {lab.glance_url}, Keystone {lab.keystone_url}, log-ins in {lab.clouds_file}")
    return lab


def down(name: str = "dev", home: Path = HOME) -> None:
    """End every process of the lab and remove every link and file; harmless when there is none."""
    with registry.locked(name, home) as folder:
        ended = kill_marked(folder)
        unlinked = links.remove(folder)
        shutil.rmtree(folder)
    say(f"lab {name} is down: {ended} processes ended, {unlinked} links and {folder} removed")


def _edges(asked: int | None) -> int:
    edges = 2 if asked is None else asked
    if not 1 <= edges <= MAX_EDGES:
        raise LabError(f"--sites is the number of edges, from 1 to {MAX_EDGES}; {edges} was asked for")
    return edges


def _network(folder: Path, asked: Network | None, rate: int | None) -> Network:
    """What a new lab has between its sites: links, unless it was asked for none or the machine allows none."""
    why = "as asked"
    if asked is not Network.LOOPBACK:
        obstacle = links.obstacle(folder)
        if obstacle is None:
            return Network.NAMESPACES
        why = f"for network namespaces can't be made here: {obstacle}"
    if rate or asked is Network.NAMESPACES:
        raise LabError(f"there can be no links between the sites: loopback only, {why}")
    say(f"no links between the sites to cut, limit or read: loopback only, {why}")
    return Network.LOOPBACK


def _again(
    lab: Lab,
    edges: int | None,
    token_lifetime: int | None,
    release: Release | None,
    network: Network | None,
    rate: int | None,
) -> Lab:
    """An existing lab keeps its sites, its network and its Glance; the limit and its tokens' lifetime can change."""
    first = f"; take it down first: python -m deploy.lab down --name {lab.name}"
    if edges not in (None, lab.edges):
        raise LabError(f"lab {lab.name!r} has {lab.edges} edges, not {edges}{first}")
    if release not in (None, lab.glance):
        raise LabError(f"lab {lab.name!r} runs the {lab.glance} Glance, not the {release} one{first}")
    if network not in (None, lab.network):
        raise LabError(f"lab {lab.name!r} has {lab.network} between its sites, not {network}{first}")
    if rate and lab.network is Network.LOOPBACK:
        raise LabError(f"lab {lab.name!r} is on loopback and has no links to limit{first}")
    if token_lifetime not in (None, lab.token_lifetime):
        keystone.stop(lab)  # before the change is recorded: killed in between, the next `up` starts it again
    return layout.replace(
        lab, token_lifetime=token_lifetime or lab.token_lifetime, rate=lab.rate if rate is None else rate
    )


def _site(lab: Lab, site: Site, rate: int | None) -> None:
    """A `rate` that was asked for now is put on a link that is there; one that is made has it from the beginning."""
    if rate is not None and site.link and links.whole(site):
        links.limit(lab, site, rate)
    if (site.folder / "made").exists():
        faults.repair(lab, site)
    else:
        cluster.ensure(lab, site)


def _end_strays(lab: Lab) -> None:
    """End what an `up` that was killed had started but not recorded yet, or was still running to prepare a service."""
    services = [keystone.running(lab), mariadb.running(lab), glance.running(lab)]
    services += [cluster.daemon(site, kind) for site in lab.sites for kind in cluster.DAEMONS]
    ended = kill_marked(lab.folder, keep={service.pid for service in services if service})
    if ended:
        say(f"ended {ended} processes that a killed command had left")


def _side_by_side(*steps: Callable[[], None]) -> None:
    """All steps at once; when some fail, every failure is told."""
    failures = []
    with ThreadPoolExecutor(len(steps)) as pool:
        for done in [pool.submit(step) for step in steps]:
            try:
                done.result()
            except (LabError, rados.Error, ClientException) as failure:
                failures.append(str(failure))
    if failures:
        raise LabError("\n".join(failures))
