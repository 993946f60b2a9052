"""Whether Glance and RBD agree on one copy, and whether what is wrong may be mended without a human.

The rule for everything that takes data away: it must be *proven* that nobody needs it. What can't be proven is a
finding with an obstacle, which people read. What is only the passing state of an import or a removal that somebody is
making right now is no finding at all.

Relies on these behaviours of Glance (read):
- An RBD image is made before its import has written a byte, and gets its location after the last byte, the snapshot and
  its protection; while it is written it is open, and the import lock is held until after that. The task is updated
  about once a minute as long as bytes flow.
- A deletion unprotects the snapshot, removes it, removes the RBD image (which is open meanwhile) and then the location.
  No lock tells of it: whoever finds a defect looks again a little later before it counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.site import Defect, Finding, RbdImage
from edgesync.domain.store import StoreId

IMAGE_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# What writes a copy of an image in one of these is an import, and holds its lock.
AT_REST = frozenset({"active", "deactivated"})
# In these an image is on its way out.
LEAVING = frozenset({"pending_delete", "deleted"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What was seen of one image at one store, all of it at about the same time."""

    name: ImageId
    store: StoreId
    # As Glance shows it; None: it answers 404.
    image: Image | None
    # As the store's pool has it; None: not at all.
    rbd: RbdImage | None
    # The task that holds the image's lock; None: there is no lock, or Glance does not tell.
    task: ImportTask | None = None
    # An attempt of ours was to make this copy.
    ours: bool = False
    # This store is the hub.
    hub: bool = False
    # Other stores of the image whose copy is broken, too, and those that don't answer.
    doubtful: frozenset[StoreId] = frozenset()
    silent: frozenset[StoreId] = frozenset()
    # What the last verification found wrong with this RBD image's data; empty: nothing.
    damage: str = ""
    # Why what was seen may be a mistake of the settings and not the site's state; empty: it isn't.
    doubt: str = ""

    @property
    def others(self) -> frozenset[StoreId]:
        """Other stores whose copy isn't known to be broken."""
        return self.image.stores - {self.store} - self.doubtful if self.image else frozenset()

    @property
    def listed(self) -> bool:
        """True when Glance has a location of the image in this store."""
        return self.image is not None and self.store in self.image.stores

    def locked(self, now: datetime) -> bool:
        """True while Glance would refuse another import. A lock whose task it doesn't show counts."""
        if self.image is None or self.image.lock is None:
            return False
        return self.task is None or self.task.expires_at > now


def is_image_id(name: str) -> bool:
    """Whether an RBD image may be Glance's. People keep images of other names in its pool: none of our business."""
    return IMAGE_ID.fullmatch(name) is not None


def defect_of(look: Look) -> Defect | None:
    """What is wrong at first sight."""
    if look.image is None or not look.listed:
        return Defect.ORPHAN if look.rbd is not None and is_image_id(look.name) else None
    if look.rbd is None:
        return Defect.NO_IMAGE
    if look.image.size is not None and look.rbd.size != look.image.size:
        return Defect.WRONG_SIZE
    if not look.rbd.snapshot:
        return Defect.NO_SNAPSHOT
    # Before the protection: what is damaged is made anew, and that is protected.
    if look.damage:
        return Defect.DAMAGED
    return None if look.rbd.protected else Defect.UNPROTECTED


def judge(look: Look, *, grace: timedelta, now: datetime) -> Finding | None:
    """The finding, with what stands in the way of mending it; None when there is nothing to tell."""
    defect = defect_of(look)
    if defect is None or _under_way(look, defect, grace, now):
        return None
    lasting = _lasting(look, defect)
    passing = _passing(look, defect, grace, now)
    return Finding(
        image=look.name,
        store=look.store,
        defect=defect,
        detail=_detail(look, defect),
        obstacle="; ".join(lasting or passing),
        passing=not lasting and bool(passing),
        seen_at=now,
    )


def outlook(finding: Finding) -> str:
    """What can be done about it, as a sentence without its full stop."""
    if finding.passing:
        return f"left alone as long as {finding.obstacle}"
    where = f"{finding.image} in {finding.store}'s pool"
    if finding.defect is Defect.ORPHAN:
        if not finding.obstacle:
            return "it can be moved to RBD's trash without a human, which makes room for the copy"
        return (
            f"left alone, since {finding.obstacle}: look at {where} with `rbd info`, and remove it if nobody needs it"
        )
    if finding.obstacle and finding.defect is Defect.DAMAGED:
        # RBD sees nothing wrong with it.
        return (
            f"left alone, since {finding.obstacle}: `edgesync verify {finding.image} --wait` says which sites' copies "
            f"are sound, `Damaged copies` in the runbook how to make this one good from those, and `edgesync verify "
            f"{finding.image} --store {finding.store} --deep --wait` whether it is"
        )
    if finding.obstacle:
        proven = "unless its digests prove it whole, " if finding.defect is Defect.NO_SNAPSHOT else ""
        return f"left alone, {proven}since {finding.obstacle}: look at {where} with `rbd info` and `rbd snap ls`"
    if finding.defect is Defect.UNPROTECTED:
        return "it can be mended without a human: protect the snapshot again"
    if finding.defect is Defect.DAMAGED:
        return "it can be mended without a human: make it good again from the hub's copy"
    again = "take the location away and copy the image again"
    if finding.defect is Defect.NO_SNAPSHOT:
        return f"it can be mended without a human: take the snapshot if its digests prove it whole, else {again}"
    return f"it can be mended without a human: {again}"


def _under_way(look: Look, defect: Defect, grace: timedelta, now: datetime) -> bool:
    """True when this is how it must look, in the middle of somebody's import, upload or deletion."""
    if look.image is None:
        return False
    if defect.broken:
        # Glance takes copies of a failed all-or-nothing import away while it holds the lock.
        removed = look.image.status in LEAVING or (look.locked(now) and _of_import(look))
        return removed or (defect is Defect.NO_SNAPSHOT and _watched(look))
    if look.image.status in AT_REST and not (look.locked(now) and _of_import(look)):
        return False
    fresh = look.task is not None and look.task.updated_at > now - grace
    return _watched(look) or _young(look, grace, now) or (look.locked(now) and fresh)


def _of_import(look: Look) -> bool:
    """Whether the import that holds the lock may be at work in this store."""
    if look.image is None:
        return False
    named = look.image.importing_to | look.image.failed | frozenset(look.task.stores if look.task else ())
    return look.store in named or not named


def _lasting(look: Look, defect: Defect) -> list[str]:
    """Obstacles that only a human can clear."""
    found = [look.doubt] if look.doubt and defect is not Defect.UNPROTECTED else []
    if defect is Defect.UNPROTECTED:
        return found
    # A damaged copy that has clones stays their parent, under another name.
    if look.rbd is not None and look.rbd.children and defect is not Defect.DAMAGED:
        clones = ", ".join(look.rbd.children[:3]) + (" and others" if len(look.rbd.children) > 3 else "")
        found.append(f"there are clones of it ({clones})")
    if defect is Defect.ORPHAN:
        if look.image is None and not look.ours:
            found.append("Glance knows no such image, and edgesync never had it copied here")
        elif look.image is not None and not look.image.stores and look.rbd is not None and look.rbd.snapshot:
            # An image deactivated in the middle of its download can lose the location of its only copy (tried).
            found.append("it is whole, and Glance has no copy of the image anywhere else")
        return found
    if look.hub and look.rbd is not None:
        found.append("it is at the hub, where edgesync deletes no copy")
    if not look.others:
        found.append("no other store has a good copy")
    return found


def _passing(look: Look, defect: Defect, grace: timedelta, now: datetime) -> list[str]:
    """Obstacles that end by themselves."""
    found = []
    if look.locked(now):
        until = f", until {look.task.expires_at:%H:%M} UTC at the latest unless it goes on" if look.task else ""
        found.append(f"an import holds the image's lock{until}")
    if defect is Defect.UNPROTECTED:
        return found
    # A leftover of a withdrawn image would lie there for ever; a copy can't be made anew while it is withdrawn.
    fit = AT_REST if defect is Defect.ORPHAN else {"active"}
    if look.image is not None and look.image.status not in fit:
        found.append(f"the image is {look.image.status}, not active")
    if _watched(look):
        found.append("somebody has the RBD image open")
    if defect.broken and not look.others - look.silent:
        found.append(f"{', '.join(sorted(look.others))} with another copy does not answer")
    if defect is Defect.ORPHAN and _young(look, grace, now):
        found.append(f"it is younger than {_duration(grace)}")
    return found


def _watched(look: Look) -> bool:
    return look.rbd is not None and look.rbd.watchers > 0


def _young(look: Look, grace: timedelta, now: datetime) -> bool:
    return look.rbd is not None and look.rbd.created_at > now - grace


def _detail(look: Look, defect: Defect) -> str:
    has = _size(look.rbd.size) if look.rbd else ""
    should = _size(look.image.size) if look.image and look.image.size is not None else "unknown size"
    match defect:
        case Defect.ORPHAN if look.image is None:
            return f"RBD has an image of {has}, and Glance knows no image of that id"
        case Defect.ORPHAN:
            return f"RBD has an image of {has}, and Glance has no location of it here"
        case Defect.NO_IMAGE:
            return f"Glance lists a copy of {should}, and RBD has no such image"
        case Defect.WRONG_SIZE:
            return f"Glance lists a copy of {should}, and the RBD image has {has}"
        case Defect.NO_SNAPSHOT:
            return f"the RBD image of {has} has no snapshot `snap` to boot from"
        case Defect.UNPROTECTED:
            return f"the snapshot `snap` of the RBD image of {has} is not protected"
        case Defect.DAMAGED:
            return f"its data are not the image's: {look.damage}"


def _size(number: int) -> str:
    """Exact in bytes, and readable."""
    value = float(number)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            return f"{number} bytes" if value < 1 else f"{value:.4g} {unit} ({number} bytes)"
    return f"{number} bytes"


def _duration(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"
