"""Whether a new image is layered at a site on one that is there already, on which, and in objects of what size.

What is known of the line decides. At a known rate the quickest way is taken, the time that each write takes by itself
included; else the one that sends the fewest bytes. Small objects are not free: disks that Nova clones from such a copy
have objects of that size, too (tried; Cinder names its own).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.blocks import GIB, KIB, MIB, SMALLEST_BLOCK, Digests, block_size
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.domain.words import some_of
from edgesync.plan.changes import Load, loads, whole
from edgesync.plan.kinship import Kinship


@dataclass(frozen=True, kw_only=True, slots=True)
class LayeringRules:
    """How far layering may go, and what it is taken to cost."""

    # Images below a layered one, at most; each makes a read at the site a little slower.
    max_depth: int = 3
    # The share of a full copy's bytes that layering has to save.
    min_gain: float = 0.2
    # Bytes, powers of two. A whole object has to fit into what the engine reads at once.
    smallest_object: int = SMALLEST_BLOCK
    largest_object: int = 2 * MIB
    # That an image may have if all were there: RBD keeps a map of them, and whoever removes it looks for each.
    most_objects: int = 1 << 19
    # Images at a site that are compared with the new one.
    most_compared: int = 8
    # Seconds that a write takes beyond its bytes' own time on the line, and each object that it makes. Tried with one
    # OSD and four writes under way; objects that are not made cost nothing.
    per_write: float = 0.001
    per_object: float = 0.0005


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A copy at a site that a new image might be layered on."""

    image: ImageId
    name: str
    # Bytes.
    size: int
    # Of the copy at this site, in bytes.
    object_size: int
    # Images below it in its chain, at this site.
    depth: int
    # Whether its snapshot is there and protected, and nothing speaks against what it holds.
    protected: bool
    sound: bool
    created_at: datetime
    kinship: Kinship = Kinship.STRANGER

    @property
    def order(self) -> tuple[Kinship, float, ImageId]:
        """The likeliest base first: the next of kin, then the newest."""
        return (self.kinship, -self.created_at.timestamp(), self.image)


@dataclass(frozen=True, kw_only=True, slots=True)
class FullCopy:
    """Nothing at the site is of use."""

    store: StoreId
    # Bytes.
    sent: int
    # One sentence.
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Layered:
    """Clone the base's snapshot, give the clone its size, write what differs."""

    store: StoreId
    base: Candidate
    # Of the clone, in bytes.
    object_size: int
    # Bytes; None: the clone has the right size already. See `changes.held` for what it holds when it was grown.
    grow_to: int | None
    # Bytes, and those of a full copy.
    sent: int
    instead_of: int
    # One sentence.
    why: str


Layering = FullCopy | Layered


class Comparisons:
    """Of one new image with those it may be layered on: made once, used for all sites."""

    def __init__(self, new: Digests, known: Mapping[ImageId, Digests], rules: LayeringRules) -> None:
        """`known` are the digests of the candidates, of those that have any."""
        self.new = new
        self.whole = whole(new)
        self.rules = rules
        self._known = known
        self._loads: dict[ImageId, tuple[Load, ...]] = {}

    def loads(self, base: Candidate) -> tuple[Load, ...]:
        """For each object size; none when nothing is known of the base, or only of one of another size."""
        if base.image not in self._loads:
            known = self._known.get(base.image)
            found: tuple[Load, ...] = ()
            if known is not None and (known.size, known.block) == (base.size, self.new.block):
                found = loads(self.new, known, largest=self.rules.largest_object)
            self._loads[base.image] = found
        return self._loads[base.image]


def shortlist(size: int, candidates: Sequence[Candidate], rules: LayeringRules) -> list[Candidate]:
    """Those whose digests are worth having for a new image of that size, the likeliest base first."""
    fit = [candidate for candidate in candidates if not _unfit(candidate, size, rules)]
    return sorted(fit, key=lambda candidate: candidate.order)[: rules.most_compared]


def choose(
    store: StoreId, candidates: Sequence[Candidate], comparisons: Comparisons, *, rate: float | None = None
) -> Layering:
    """`rate`: what the line to the site makes, in bytes per second; None: unknown.

    Never sends more than a full copy would.
    """
    rules, full, size = comparisons.rules, comparisons.whole, comparisons.new.size
    listed = shortlist(size, candidates, rules)
    ways = [
        (candidate, load)
        for candidate in listed
        for load in comparisons.loads(candidate)
        if _gains(load, full, rules) and not _beyond(candidate, load, size, rules)
    ]
    if not ways:
        return _full(store, full, _no_base(candidates, listed, comparisons))
    base, load = min(ways, key=lambda way: (_cost(way[1], rules, rate), way[0].depth, -way[1].object_size))
    if rate and _cost(full, rules, rate) < _cost(load, rules, rate):
        return _full(store, full, f"{load.writes} writes on top of {base.name} would take longer on this line")
    return Layered(
        store=store,
        base=base,
        object_size=load.object_size,
        grow_to=size if size > base.size else None,
        sent=load.sent,
        instead_of=full.sent,
        why=f"to {store}: {amount(load.sent)} on top of {base.name} instead of {amount(full.sent)}",
    )


def amount(size: int) -> str:
    """Bytes for people, in about two digits."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:.0f} {name}"
    return f"{size} bytes"


def _unfit(candidate: Candidate, size: int, rules: LayeringRules) -> str:
    """Why an image of that size can't be layered on this one, whatever it holds; empty: it can.

    A clone can be grown, and reads as zeros beyond its parent (tried). It is not shrunk: RBD copies up where it is cut.
    """
    if not candidate.protected:
        return "its snapshot is not protected"
    if not candidate.sound:
        return "its copy is not known to be sound"
    if candidate.depth >= rules.max_depth:
        return f"it is itself {candidate.depth} deep in a chain"
    if candidate.size > size:
        return f"it is larger ({amount(candidate.size)})"
    if block_size(candidate.size) != block_size(size):
        return f"it is so much smaller ({amount(candidate.size)}) that its digests are of smaller blocks"
    return ""


def _gains(load: Load, full: Load, rules: LayeringRules) -> bool:
    return load.sent < full.sent and load.sent <= (1 - rules.min_gain) * full.sent


def _beyond(candidate: Candidate, load: Load, size: int, rules: LayeringRules) -> str:
    """Why a clone may not have objects of that size; empty: it may."""
    objects = f"objects of {amount(load.object_size)}"
    if load.object_size < rules.smallest_object:
        return f"{objects} are smaller than allowed"
    if load.object_size > candidate.object_size:
        return f"{objects} are larger than its own"
    number = -(-size // load.object_size)
    return f"{number} {objects} are more than allowed" if number > rules.most_objects else ""


def _cost(load: Load, rules: LayeringRules, rate: float | None) -> tuple[float, float]:
    """Seconds, then bytes; or, where the line is not known, bytes and then the seconds that are known."""
    fixed = load.writes * rules.per_write + load.objects * rules.per_object
    return (load.sent / rate + fixed, load.sent) if rate else (load.sent, fixed)


def _full(store: StoreId, full: Load, reason: str) -> FullCopy:
    return FullCopy(store=store, sent=full.sent, why=f"to {store}: a full copy of {amount(full.sent)}, for {reason}")


def _no_base(candidates: Sequence[Candidate], listed: Sequence[Candidate], comparisons: Comparisons) -> str:
    """Why none of them will do, as a clause."""
    rules, full, size = comparisons.rules, comparisons.whole, comparisons.new.size
    if not candidates:
        return "there is no other image to layer it on"
    if not listed:
        first = min(candidates, key=lambda candidate: candidate.order)
        others = f", nor on {len(candidates) - 1} more" if len(candidates) > 1 else ""
        return f"it can't be layered on {first.name} ({_unfit(first, size, rules)}){others}"
    if comparisons.new.block > rules.largest_object:
        return f"its blocks ({amount(comparisons.new.block)}) are larger than objects may be"
    ways = [(candidate, load) for candidate in listed for load in comparisons.loads(candidate)]
    if not ways:
        return f"it is not known yet what is in {some_of([candidate.name for candidate in listed])}"
    closest, load = min(ways, key=lambda way: (way[1].sent, -way[1].object_size))
    beyond = _beyond(closest, load, size, rules) if _gains(load, full, rules) else ""
    return f"on top of {closest.name} " + (beyond or f"it would still be {amount(load.sent)}")
