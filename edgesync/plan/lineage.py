"""Keeps the chains of clones at one site safe: what may go, what has to stay, what is given blocks of its own.

An image that others are layered on holds their blocks. It goes only when nothing is on top of it any more; what is on
top of one that nobody wants is flattened first. Disks of instances and volumes are people's and never flattened: as
long as there is one, the image below it stays.

Each step takes away one image, or the tie between two, and none adds any: whoever goes on with them comes to an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgesync.domain.words import some_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """An image in a site's pool, or in its trash."""

    name: str
    # What it is a clone of; None: of nothing.
    parent: str | None = None
    # Whether it is to stay: a policy or a person wants it, or Glance lists it and nobody has decided otherwise.
    wanted: bool = True
    # Clones of it that are no members (disks, volumes), as pool/name.
    clones: tuple[str, ...] = ()
    # Whether it has RBD's feature deep-flatten: without it, its snapshot stays tied to the parent for good.
    flattens: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Flatten:
    """Give an image all of its blocks, so that it needs nothing of its parent; nor does its snapshot (tried).

    They go through whichever client does it: over the line and back, unless that is at the site.
    """

    name: str
    parent: str
    # One clause.
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Nobody wants it, and nothing is on top of it."""

    name: str


Step = Flatten | Remove


class Lineage:
    """The members of one pool. A parent that is none of them is an image at the bottom, which nobody touches."""

    def __init__(self, members: Iterable[Member]) -> None:
        """ValueError when a name comes twice, or an image is on top of itself: RBD has neither."""
        self._members: dict[str, Member] = {}
        self._children: dict[str, list[Member]] = {}
        for member in sorted(members, key=lambda member: member.name):
            if member.name in self._members:
                raise ValueError(f"two images are called {member.name}")
            self._members[member.name] = member
            if member.parent is not None:
                self._children.setdefault(member.parent, []).append(member)
        # Parents before their children.
        self._depths = dict(self._walk())
        if rest := self._members.keys() - self._depths.keys():
            raise ValueError(f"images on top of themselves: {', '.join(sorted(rest))}")
        self._staying: set[str] = set()
        for member in self._bottom_up():
            if member.wanted or member.clones or self._tied(member):
                self._staying.add(member.name)

    def depth(self, name: str) -> int:
        """How many images are below it."""
        return self._depths[name]

    def broken_by(self, removals: Iterable[str]) -> dict[str, str]:
        """Those of the removals that would break something, each with the reason as a clause.

        One that is to be removed itself is a reason, too: it has to go first.
        """
        return {name: f"{some_of(above)} would be lost with it" for name in removals if (above := self._above(name))}

    def steps(self, max_depth: int) -> list[Step]:
        """What can be done now, in any order; then look again. Empty: everything is as it should be, or as it can."""
        removals = (Remove(name=name) for name in self._going() if name not in self._children)
        return [*self._freeing(), *self._shortening(max_depth), *removals]

    def kept(self) -> dict[str, str]:
        """What nobody wants and can't go before a person has done something, each with the reason as a clause."""
        reasons = {}
        for member in self._members.values():
            if not member.wanted and member.name in self._staying:
                above = [*member.clones, *(child.name for child in self._tied(member))]
                reasons[member.name] = f"{some_of(above)} can't be taken off it"
        return reasons

    def _freeing(self) -> Iterator[Flatten]:
        """What stays on top of what goes. What goes as well is no reason to flatten it."""
        for name in self._going():
            for child in self._children.get(name, ()):
                if child.name in self._staying:
                    yield Flatten(name=child.name, parent=name, why=f"{name} below it is wanted no more")

    def _shortening(self, max_depth: int) -> Iterator[Flatten]:
        """As few as possible, since each takes the room of a full copy: the lowest of what a chain may hold at most."""
        heights = dict.fromkeys(self._members, 0)
        for member in self._bottom_up():
            if member.parent is None or member.name not in self._staying:
                continue
            if member.parent in self._members and member.parent not in self._staying:
                continue
            height = heights[member.name] + 1
            if height > max_depth and member.flattens:
                why = f"a chain of {height} on top of {member.parent} is longer than {max_depth}"
                yield Flatten(name=member.name, parent=member.parent, why=why)
            elif member.parent in heights:
                heights[member.parent] = max(heights[member.parent], height)

    def _going(self) -> Iterator[str]:
        return (name for name in self._members if name not in self._staying)

    def _tied(self, member: Member) -> list[Member]:
        """Those on top of it that stay and can't be flattened."""
        children = self._children.get(member.name, ())
        return [child for child in children if child.name in self._staying and not child.flattens]

    def _above(self, name: str) -> list[str]:
        member = self._members.get(name)
        return [child.name for child in self._children.get(name, ())] + list(member.clones if member else ())

    def _walk(self) -> Iterator[tuple[str, int]]:
        """Every member with its depth, beginning with those that are on top of nothing or of an image outside."""
        lowest = [member for member in self._members.values() if member.parent not in self._members]
        found = [(member, 0 if member.parent is None else 1) for member in lowest]
        for member, depth in found:
            yield member.name, depth
            found.extend((child, depth + 1) for child in self._children.get(member.name, ()))

    def _bottom_up(self) -> Iterator[Member]:
        return (self._members[name] for name in reversed(self._depths))
