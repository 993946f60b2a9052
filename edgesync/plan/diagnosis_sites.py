"""One site's Ceph, as edgesync reaches it: does it answer, may we do there what we have to, is there room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgesync.domain.checkup import Monitored, Rights
from edgesync.domain.site import CEPH_FULL, Capacity
from edgesync.domain.store import CephSettings, StoreId
from edgesync.domain.words import counted
from edgesync.errors import EdgesyncError
from edgesync.plan.diagnosis import Diagnosis, failed, not_seen, ok, problem, size, unknown, warning
from edgesync.plan.diagnosis_cloud import judge_clock

MAKE_ROOM = "Make room: remove what nobody needs, empty the trash (`rbd trash ls`), or add OSDs."
FULL = frozenset({"OSD_FULL", "POOL_FULL"})
# What ends in trouble for copies if nobody sees to it; what else Ceph warns of is for whoever runs it.
OMINOUS = frozenset(
    {
        "OSD_NEARFULL",
        "POOL_NEARFULL",
        "OSD_BACKFILLFULL",
        "POOL_BACKFILLFULL",
        "OSD_DOWN",
        "PG_AVAILABILITY",
        "SLOW_OPS",
        "MON_CLOCK_SKEW",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulse:
    """The second of two probes, so that no connection had to be made first."""

    # To the monitors, to an OSD and back.
    seconds: float
    # None: no manager counts.
    capacity: Capacity | None
    # RBD images in the pool.
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteFacts:
    """What was seen of a site. None: not asked for, because what comes before it failed."""

    store: StoreId
    ceph: CephSettings
    max_fill: float
    monitored: Monitored | EdgesyncError
    pulse: Pulse | EdgesyncError | None = None
    rights: Rights | EdgesyncError | None = None
    # Seconds.
    ahead: float | EdgesyncError | None = None

    @property
    def fsid(self) -> str | None:
        """The cluster that we reached."""
        return self.monitored.fsid if isinstance(self.monitored, Monitored) else None

    @property
    def alive(self) -> bool:
        return isinstance(self.pulse, Pulse)


def judge_site(site: SiteFacts) -> Iterator[Diagnosis]:
    if isinstance(site.monitored, EdgesyncError):
        yield failed("site", site.monitored, subject=site.store)
        return
    yield from _health(site, site.monitored)
    if isinstance(site.pulse, Pulse):
        yield from _pulse(site, site.pulse)
    elif site.pulse is not None:
        yield failed("site", site.pulse, subject=site.store)
    if isinstance(site.rights, Rights):
        yield _rights(site, site.rights)
    elif site.rights is not None:
        yield not_seen("rights", site.rights, subject=site.store)
    if site.ahead is not None:
        yield judge_clock(f"{site.store}'s monitors", site.ahead, subject=site.store)


def _health(site: SiteFacts, monitored: Monitored) -> Iterator[Diagnosis]:
    pool, store = site.ceph.pool, site.store
    if not monitored.for_rbd:
        yield warning(
            "pool",
            f"Pool {pool} is not marked as being for rbd.",
            f"`ceph osd pool application enable {pool} rbd`, at the site: capabilities by tag and dashboards need it.",
            subject=store,
        )
    full = {code: text for code, text in monitored.troubles.items() if code in FULL}
    ominous = {code: text for code, text in monitored.troubles.items() if code in OMINOUS}
    if full:
        yield problem(
            "health",
            f"Ceph takes no writes: {_list(full)}.",
            MAKE_ROOM,
            subject=store,
        )
    if ominous:
        yield warning(
            "health", f"Ceph reports {_list(ominous)}.", "Look at `ceph health detail` at the site.", subject=store
        )
    if not full and not ominous:
        others = sorted(monitored.troubles)
        more = f", which has nothing to do with copies: {', '.join(others)}" if others else ""
        yield ok("health", f"Ceph says {monitored.health}{more}.", subject=store)


def _pulse(site: SiteFacts, pulse: Pulse) -> Iterator[Diagnosis]:
    yield ok(
        "site",
        f"To the monitors, an OSD and back in {1000 * pulse.seconds:.0f} ms; pool {site.ceph.pool} has "
        f"{counted(pulse.images, 'RBD image')}.",
        subject=site.store,
    )
    if pulse.capacity is None:
        yield unknown(
            "fill",
            "How full it is can't be seen: no Ceph manager is active.",
            "Start one at the site; until then copies are made without looking at the room.",
            subject=site.store,
        )
        return
    fill, room = pulse.capacity.fill(), f"{size(pulse.capacity.available)} of {size(pulse.capacity.total)} free"
    if fill >= site.max_fill:
        # Then another limit helps nothing.
        full = fill >= CEPH_FULL or (isinstance(site.monitored, Monitored) and site.monitored.troubles.keys() & FULL)
        yield problem(
            "fill",
            f"The pool is {fill:.0%} full, {room}; at {site.max_fill:.0%} (max_pool_fill) copies wait.",
            MAKE_ROOM if full else "Make room there, or allow more with max_pool_fill.",
            subject=site.store,
        )
    else:
        yield ok("fill", f"{fill:.0%} full, {room}; copies are made up to {site.max_fill:.0%}.", subject=site.store)


def _rights(site: SiteFacts, rights: Rights) -> Diagnosis:
    user, pool = site.ceph.user, site.ceph.pool
    missing = [
        what
        for what, there in {
            "look into RBD images": rights.rbd_read,
            "write objects": rights.write,
            "change snapshots and move images to the trash": rights.rbd_change,
        }.items()
        if not there
    ]
    if missing:
        return problem(
            "rights",
            f"client.{user} may not {', '.join(missing)} in pool {pool}: orphans and broken copies can't be mended.",
            f"`ceph auth caps client.{user} mon 'profile rbd' mgr 'profile rbd' osd 'profile rbd pool={pool}'`, at the "
            "site, with one more `profile rbd pool=` for each pool with clones of images.",
            subject=site.store,
        )
    return ok("rights", f"client.{user} may read, write, protect and trash in pool {pool}.", subject=site.store)


def _list(checks: dict[str, str]) -> str:
    return "; ".join(f"{code} ({text})" for code, text in sorted(checks.items()))
