"""What is kept of copies that are missing, and when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from edgesync.daemon.gaps import GapKeeper, changes
from edgesync.domain.image import Image, ImageId
from edgesync.domain.lag import Epochs
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import TransientError
from edgesync.expose.lag import Lags
from edgesync.plan.wants import Wants, update_wants
from tests.builders import NOW, image, policy, situation
from tests.unit.expose.pictures import picture_of

HOUR = timedelta(hours=1)
DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
ONE, TWO, THREE = ImageId("one"), ImageId("two"), ImageId("three")
BOTH: Epochs = ((NOW, frozenset({DCN0, DCN1})),)
LEFT: Epochs = ((NOW, frozenset({DCN1})),)


def test_what_has_changed_is_written_and_what_has_closed_is_named() -> None:
    kept = {ONE: BOTH, TWO: BOTH, THREE: BOTH}
    assert changes(kept, {ONE: BOTH, TWO: LEFT}) == ({TWO: LEFT}, frozenset({THREE}))
    assert changes({}, {ONE: BOTH}) == ({ONE: BOTH}, frozenset())
    assert changes(kept, {}) == ({}, frozenset({ONE, TWO, THREE}))


def test_equal_gaps_are_no_change_though_they_were_found_anew() -> None:
    assert changes({ONE: BOTH}, {ONE: ((NOW, frozenset({DCN1, DCN0})),)}) == ({}, frozenset())


@dataclass(kw_only=True)
class Notes:
    """A journal that has gaps, and counts how often it is written to."""

    kept: dict[ImageId, Epochs] = field(default_factory=dict)
    writes: list[tuple[Any, Any]] = field(default_factory=list)
    reads: int = 0
    broken: bool = False

    async def gaps(self) -> Mapping[ImageId, Epochs]:
        self._check()
        self.reads += 1
        return dict(self.kept)

    async def keep_gaps(self, changed: Mapping[ImageId, Epochs], closed: Collection[ImageId]) -> None:
        self._check()
        self.writes.append((dict(changed), set(closed)))
        self.kept.update(changed)
        for gone in closed:
            self.kept.pop(gone, None)

    def _check(self) -> None:
        if self.broken:
            raise TransientError("no room", remedy="Make some.")


class Life:
    """Of a daemon, with as much of it as looks at lags."""

    def __init__(self, notes: Notes) -> None:
        self.lags = Lags()
        self.keeper = GapKeeper(cast("Journal", notes), self.lags)
        self._wants = Wants()

    async def turn(self, hours: float, *images: Image, full: bool = True, **policies: Any) -> None:
        case = situation(*images)
        changed = None if full else frozenset(entry.id for entry in images)
        world = replace(case.world, at=NOW + hours * HOUR, changed=changed)
        self._wants = update_wants(self._wants, world, (policy(**policies),))
        await self.keeper.recall()
        self.lags.update(picture_of(replace(case, world=world, wants=self._wants)))
        await self.keeper.turn()


async def test_a_daemon_goes_on_counting_where_the_one_before_ended() -> None:
    notes = Notes()
    await Life(notes).turn(0, image())
    later = Life(notes)
    await later.turn(20, image())
    assert later.lags.since(image().id, DCN0) == NOW
    last = Life(notes)
    await last.turn(40, image(stores=("central", "dcn0")), image("new"))
    assert last.lags.since(image().id, DCN0) is None
    assert last.lags.since(image().id, DCN1) == NOW
    assert last.lags.since(image("new").id, DCN1) == NOW + 40 * HOUR


async def test_only_what_is_still_wanted_and_missing_counts() -> None:
    notes = Notes()
    await Life(notes).turn(0, image("gone"), image("made"), image("unwanted"), image("kept"))
    later = Life(notes)
    await later.turn(1, image("made", stores=("central", "dcn0", "dcn1")), image("unwanted", tags=()), image("kept"))
    assert later.lags.gaps.keys() == {image("kept").id} == notes.kept.keys()
    # Wanted again, it counts from now on.
    await later.turn(2, image("unwanted"), image("kept"))
    assert later.lags.since(image("unwanted").id, DCN0) == NOW + 2 * HOUR


async def test_a_store_that_is_wanted_no_more_is_left_out() -> None:
    notes = Notes()
    await Life(notes).turn(0, image())
    later = Life(notes)
    await later.turn(1, image(), stores=["dcn1"])
    assert notes.kept == {image().id: ((NOW, frozenset({DCN1})),)}


async def test_nothing_is_written_while_nothing_changes() -> None:
    notes = Notes()
    life = Life(notes)
    await life.turn(0, image("one"), image("two"))
    for hour in range(1, 4):
        # All of them looked at anew, and a turn in which none was.
        await life.turn(hour, image("one"), image("two"))
        await life.turn(hour + 0.5, full=False)
    assert (len(notes.writes), notes.reads) == (1, 1)
    # Nor at the next start.
    await Life(notes).turn(9, image("one"), image("two"))
    assert len(notes.writes) == 1


async def test_only_the_image_that_changes_is_written() -> None:
    notes = Notes()
    life = Life(notes)
    one, two = image("one"), image("two")
    await life.turn(0, one, two)
    await life.turn(1, one, image("two", stores=("central", "dcn0")))
    await life.turn(2, one, image("two", stores=("central", "dcn0", "dcn1")))
    assert notes.writes[1:] == [({two.id: LEFT}, set()), ({}, {two.id})]


async def test_what_a_broken_journal_did_not_take_is_written_at_the_next_turn() -> None:
    notes = Notes()
    life = Life(notes)
    await life.turn(0, image("one"))
    notes.broken = True
    with pytest.raises(TransientError):
        await life.turn(1, image("one"), image("two"))
    notes.broken = False
    await life.turn(2, image("one"), image("two"), image("three"))
    assert notes.kept == life.lags.gaps
    assert life.lags.since(image("two").id, DCN0) == NOW + HOUR


async def test_images_in_the_same_position_share_their_epochs() -> None:
    life = Life(Notes())
    await life.turn(0, image("one"), image("two"))
    await life.turn(1, image("one", stores=("central", "dcn0")), image("two", stores=("central", "dcn0")))
    assert life.lags.gaps[image("one").id] is life.lags.gaps[image("two").id]
