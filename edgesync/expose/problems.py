"""What is wrong, worst first, each with what a person can do: what `status` and `stores` lead with.

Nothing is decided here. A line stands for many copies, so that a dead site does not hide a second one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from edgesync.domain.pause import Pause
from edgesync.domain.site import CEPH_FULL, BreakerState, Defect, Site
from edgesync.domain.store import StoreId, StoreRole
from edgesync.domain.words import counted, some_of
from edgesync.expose.matrix import ordered_stores
from edgesync.expose.missing_stores import missing_stores
from edgesync.expose.picture import Health, Picture
from edgesync.expose.views import ProblemView

# Disks that are named in one line.
CLONES = 10


def problems(picture: Picture | None, health: Health) -> list[ProblemView]:
    """The daemon's own trouble, stores that are down or that Glance lacks, what else is wrong at stores, and last what
    is so on purpose.
    """
    found = list(_own(health))
    if picture is None:
        return found
    down = [_down(picture, store) for store in ordered_stores(picture) if not picture.admits(store)]
    found += down
    found += picture.once(missing_stores)
    seen = {problem.what for problem in down}
    for store in ordered_stores(picture):
        found += [problem for problem in store_problems(picture, store) if problem.what not in seen]
    found += [_paused(picture, pause) for pause in picture.ledger.pauses if pause.store is None or pause.image]
    return sorted(found, key=lambda problem: not problem.bad)


def store_problems(picture: Picture, store: StoreId) -> Iterator[ProblemView]:
    """What concerns one store."""
    if not picture.admits(store):
        yield _down(picture, store)
    if refusal := picture.site(store).refusal:
        yield ProblemView(
            bad=True,
            what=f"edgesync can't watch {store}, where copies go on: {refusal.rstrip('.')}",
            remedy="edgesync doctor tells which rights are missing; until then nobody finds leftovers there",
            store=store,
        )
    yield from _stalled(picture, store)
    yield from _full(picture, picture.site(store))
    yield from _found(picture.site(store))
    yield from _kept(picture.site(store))
    for pause in picture.ledger.pauses:
        if pause.image is None and pause.store == store:
            yield _paused(picture, pause)


def _own(health: Health) -> Iterator[ProblemView]:
    if health.trouble:
        yield ProblemView(bad=True, what=health.trouble, remedy=health.remedy, since=health.ticked_at)
    if health.config.error:
        since = f"; what was read at {_time(health.config.loaded_at)} goes on" if health.config.loaded_at else ""
        yield ProblemView(
            bad=True,
            what=f"the new configuration was refused{since}: {health.config.error}",
            remedy=health.config.remedy or "edgesync config check tells every mistake",
        )


def _down(picture: Picture, store: StoreId) -> ProblemView:
    breaker = picture.site(store).breaker
    hub = picture.world.topology.role(store) is StoreRole.HUB
    what = (
        f"{store}{' (the hub)' if hub else ''} is down{_since(breaker.since)}: {breaker.cause or 'copies to it fail'}"
    )
    if hub:
        what += "; no copy can be made anywhere without it"
    if breaker.state is BreakerState.HALF_OPEN:
        again = "edgesync is trying it again now"
    elif breaker.retry_at is not None:
        again = f"edgesync tries it again at {_time(breaker.retry_at)}, and catches up by itself"
    else:
        again = "edgesync tries it again by itself"
    remedy = f"look at the site's network and Ceph (ceph -s); {again}"
    return ProblemView(bad=True, what=what, remedy=remedy, since=breaker.since, store=store)


def _stalled(picture: Picture, store: StoreId) -> Iterator[ProblemView]:
    for image_id, attempt in picture.attempts.items():
        stall = picture.stalls.get(attempt.id)
        if stall is not None and stall.store == store:
            image = picture.world.images.get(image_id)
            name = (image.name if image else "") or image_id
            yield ProblemView(
                bad=True,
                what=f"the import of {name} into {store} has not got on{_since(stall.since)}: {stall.why}",
                remedy=stall.next,
                since=stall.since,
                store=store,
            )


def _full(picture: Picture, site: Site) -> Iterator[ProblemView]:
    limit = picture.settings_of(site.store).max_pool_fill
    if site.capacity is None or (fill := site.capacity.fill()) < limit:
        return
    what = f"the pool of {site.store} is {fill:.0%} full, and copies stop at {limit:.0%}"
    remedy = f"free space there, or raise stores.{site.store}.max_pool_fill"
    if fill >= CEPH_FULL:
        what += "; Ceph itself takes no writes when it is full"
        if picture.world.topology.role(site.store) is StoreRole.HUB:
            what += ", so uploads to the hub stop, too"
        remedy = (
            "make room: empty the trash (rbd trash ls), remove what nobody needs, or add OSDs; ceph health detail "
            "there says what is full"
        )
    yield ProblemView(bad=True, what=what, remedy=remedy, store=site.store)


def _found(site: Site) -> Iterator[ProblemView]:
    counts = Counter(finding.defect for finding in site.findings.values())
    seen: dict[bool, datetime] = {}
    for finding in site.findings.values():
        seen[finding.defect.broken] = min(finding.seen_at, seen.get(finding.defect.broken, finding.seen_at))
    broken = {defect: number for defect, number in counts.items() if defect.broken}
    if total := sum(broken.values()):
        kinds = ", ".join(f"{number} {defect}" for defect, number in sorted(broken.items()))
        yield ProblemView(
            bad=True,
            what=f"{'1 copy is' if total == 1 else f'{total} copies are'} broken at {site.store} ({kinds})",
            remedy="edgesync stores lists them, with what happens next",
            since=seen[True],
            store=site.store,
        )
    if orphans := counts[Defect.ORPHAN]:
        lies = "leftover RBD image lies" if orphans == 1 else "leftover RBD images lie"
        yield ProblemView(
            bad=True,
            what=f"{orphans} {lies} at {site.store}, of which Glance knows nothing",
            remedy="edgesync stores lists them, with what happens next",
            since=seen[False],
            store=site.store,
        )


def _kept(site: Site) -> Iterator[ProblemView]:
    """Damaged images that a repair has left: the copy is good again, and what was cloned before is not."""
    clones = [clone for kept in site.kept for clone in kept.children]
    if clones:
        was = "disk was" if len(clones) == 1 else "disks were"
        names = some_of([kept.name for kept in site.kept if kept.children])
        yield ProblemView(
            bad=True,
            what=f"{len(clones)} {was} cloned from damaged data at {site.store}, and may show it: "
            f"{some_of(clones, most=CLONES)}",
            remedy=f"look at each, and rebuild it where need be; then move {names} to the trash there (Damaged copies "
            "in the runbook)",
            store=site.store,
        )
    if left := [kept.name for kept in site.kept if not kept.children]:
        yield ProblemView(
            bad=False,
            what=f"{counted(len(left), 'damaged RBD image')} at {site.store} {'is' if len(left) == 1 else 'are'} kept, "
            f"though nothing is cloned from {'it' if len(left) == 1 else 'them'} any more",
            remedy=f"move {some_of(left)} to the trash there (Damaged copies in the runbook)",
            store=site.store,
        )


def _paused(picture: Picture, pause: Pause) -> ProblemView:
    image = picture.world.images.get(pause.image) if pause.image else None
    named = f" ({image.name})" if image and image.name else ""
    why = f": {pause.reason}" if pause.reason else ""
    return ProblemView(
        bad=False,
        what=f"{pause.scope}{named} is paused by {pause.by}{_since(pause.since)}{why}",
        remedy=pause.resume,
        since=pause.since,
        store=pause.store,
    )


def _since(at: datetime | None) -> str:
    return f" since {_time(at)}" if at else ""


def _time(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at else ""
