"""From what lies in a site's pool to the members of its lineage: Glance's copies, and what is on top of them."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from edgesync.domain.layers import Layer
from edgesync.domain.store import StoreId
from edgesync.plan.audit import is_image_id
from edgesync.plan.lineage import Member

# Clones that a sentence names before it only counts.
NAMED = 5
# Stands for clones that our key may not see.
UNSEEN = "disks in a pool that edgesync may not look into"


def members_of(layers: Iterable[Layer], *, pool: str, copies: Set[str], leaving: Set[str]) -> list[Member]:
    """`copies`: what Glance lists at the site; `leaving`: those of them that nobody wants any more.

    Whatever else is on top of a copy counts as a disk, an image that is still being written, too: it is never
    flattened, and as long as it is there, the copy stays.
    """
    here = {layer.spec: layer for layer in layers if layer.pool == pool and layer.name in copies}
    names = {layer.id: layer.name for layer in here.values()}
    return [
        Member(
            name=layer.name,
            # One in the trash, or that is none of Glance's copies, stays pool/name: nobody touches it.
            parent=names.get(layer.parent_id or "", layer.parent),
            wanted=layer.name not in leaving,
            clones=(UNSEEN,) if layer.clones is None else tuple(clone for clone in layer.clones if clone not in here),
            flattens=layer.flattens,
        )
        for layer in here.values()
    ]


def bases_of(members: Iterable[Member]) -> frozenset[str]:
    """What copies are layered on."""
    known = {member.name: member for member in members}
    return frozenset(member.parent for member in known.values() if member.parent in known)


@dataclass(frozen=True, kw_only=True, slots=True)
class OnTop:
    """What needs a copy, for people who want to be rid of it."""

    # Ids of images whose copies are layered on it.
    copies: tuple[str, ...]
    # Everything else, as pool/name.
    disks: tuple[str, ...]

    @property
    def told(self) -> str:
        """A clause."""
        parts = []
        if self.copies:
            parts.append(f"{_number(self.copies, 'copy', 'copies')} layered on it ({_some(self.copies)})")
        if self.disks:
            parts.append(f"{_number(self.disks, 'disk', 'disks')} cloned from it ({_some(self.disks)})")
        return " and ".join(parts)

    def remedy(self, store: StoreId) -> str:
        parts = []
        if self.copies:
            parts.append(f"make the copies independent: edgesync flatten {self.copies[0]} --store {store} --wait")
        if self.disks:
            parts.append(f"delete the disks, or flatten them: rbd flatten {self.disks[0]}")
        return "; ".join(parts)


def on_top(children: Iterable[str]) -> OnTop:
    """Clones, as pool/name, told apart by their names: people's disks are not called by an id alone."""
    specs = sorted(children)
    copies = [spec for spec in specs if is_image_id(spec.rpartition("/")[2])]
    names = tuple(spec.rpartition("/")[2] for spec in copies)
    return OnTop(copies=names, disks=tuple(spec for spec in specs if spec not in copies))


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _number(things: tuple[str, ...], one: str, many: str) -> str:
    return f"1 {one}" if len(things) == 1 else f"{len(things)} {many}"
