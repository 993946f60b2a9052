"""What is dropped from the journal at the end of a turn, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pytest

from edgesync.daemon.forgetting import COPIES_AT_ONCE, GONE_AT_ONCE, TRIM_EVERY, Forgetting, verified_and_gone
from edgesync.domain.blocks import Verification
from edgesync.domain.image import ImageId
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import TransientError
from tests.builders import NOW, image, world

MONTH = timedelta(days=30)


class Ledge:
    """As much of a journal as is forgotten here, and a clock."""

    def __init__(self) -> None:
        self.time = NOW
        self.forgotten: list[ImageId] = []
        self.trims: list[datetime] = []
        # What the next trims remove.
        self.old: list[int] = []
        self.trouble: TransientError | None = None

    def now(self) -> datetime:
        return self.time

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError("nobody sleeps here")

    async def forget_image(self, image: ImageId) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.forgotten.append(image)

    async def trim(self, before: datetime) -> int:
        self.trims.append(before)
        return self.old.pop(0) if self.old else 0


def ids(*names: str) -> list[ImageId]:
    return [ImageId(name) for name in names]


def forgetting(ledge: Ledge) -> Forgetting:
    return Forgetting(cast("Journal", ledge), ledge)


async def test_an_image_that_is_gone_is_forgotten_once() -> None:
    ledge = Ledge()
    pen = forgetting(ledge)
    pen.lost(ids("a", "b"))
    for _ in range(2):
        assert await pen.turn(ids("c"), MONTH) is False
    assert ledge.forgotten == ["a", "b"]


async def test_one_that_was_only_hidden_is_not_forgotten() -> None:
    ledge = Ledge()
    pen = forgetting(ledge)
    pen.lost(ids("a", "b"))
    await pen.turn(ids("b"), MONTH)
    await pen.turn(ids(), MONTH)
    assert ledge.forgotten == ["a"]


async def test_a_journal_in_trouble_is_told_again_and_no_image_is_lost() -> None:
    ledge = Ledge()
    pen = forgetting(ledge)
    pen.lost(ids("a", "b"))
    ledge.trouble = TransientError("no room left")
    with pytest.raises(TransientError):
        await pen.turn(ids(), MONTH)
    ledge.trouble = None
    await pen.turn(ids(), MONTH)
    assert ledge.forgotten == ["a", "b"]


async def test_of_very_many_only_some_go_in_one_turn() -> None:
    ledge = Ledge()
    pen = forgetting(ledge)
    pen.lost([ImageId(f"{number:04}") for number in range(GONE_AT_ONCE + 1)])
    await pen.turn(ids(), MONTH)
    assert len(ledge.forgotten) == GONE_AT_ONCE
    await pen.turn(ids(), MONTH)
    assert len(set(ledge.forgotten)) == GONE_AT_ONCE + 1


async def test_history_is_trimmed_now_and_then_and_at_once_while_there_is_more() -> None:
    ledge = Ledge()
    ledge.old = [3, 1]
    pen = forgetting(ledge)
    # Twice something, then nothing; then nobody looks for an hour.
    assert [await pen.turn(ids(), MONTH) for _ in range(4)] == [True, True, False, False]
    assert ledge.trims == [NOW - MONTH] * 3
    ledge.time += TRIM_EVERY
    await pen.turn(ids(), 2 * MONTH)
    assert ledge.trims[3:] == [NOW + TRIM_EVERY - 2 * MONTH]


def test_verifications_outlive_neither_their_copy_nor_their_image() -> None:
    kept, moved = image("kept", stores=("central", "dcn0")), image("moved", stores=("central",))
    dcn0 = StoreId("dcn0")
    found = dict.fromkeys([kept.id, moved.id, ImageId("id-gone")], Verification(at=NOW, sound=True))
    seen = world(kept, moved)
    assert set(verified_and_gone(seen, {dcn0: found})) == {(moved.id, dcn0), ("id-gone", dcn0)}
    # Between two full passes, those of which there is news.
    later = replace(seen, changed=frozenset({moved.id}))
    assert verified_and_gone(later, {dcn0: found}) == [(moved.id, dcn0)]
    assert verified_and_gone(replace(later, full=True), {dcn0: {kept.id: found[kept.id]}}) == []
    many = {ImageId(f"{number:05}"): found[kept.id] for number in range(COPIES_AT_ONCE + 1)}
    assert len(verified_and_gone(seen, {dcn0: many})) == COPIES_AT_ONCE
