"""What is sent on top of a base, counted without a loop over the blocks: it must be what the engine really writes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.blocks import (
    KIB,
    MIB,
    SMALLEST_BLOCK,
    Digests,
    Extent,
    differing,
    digests_of,
    of_zeros,
    runs,
    widened,
    zero_digest,
)
from edgesync.plan.changes import LONGEST_WRITE, held, loads, whole

BLOCK = SMALLEST_BLOCK
# A few chunks of what the engine reads, the last one short.
SIZES = st.integers(1, 200 * BLOCK) | st.integers(1, 200).map(lambda blocks: blocks * BLOCK)


@st.composite
def images(draw: st.DrawFn, size: int) -> Digests:
    """Few different digests, zeros among them, in runs: neighbours and whole objects come up."""
    number = -(-size // BLOCK)
    values = array("Q")
    while len(values) < number:
        digest = draw(st.sampled_from((zero_digest(BLOCK), 1, 2)))
        values.extend([digest] * draw(st.sampled_from((1, 1, 2, 7, 64, 100))))
    del values[number:]
    return Digests(size=size, block=BLOCK, values=values)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Digests, Digests]:
    """A new image, and a base that is no larger."""
    size = draw(SIZES)
    smaller = draw(st.just(size) | st.integers(1, size))
    return draw(images(size)), draw(images(smaller))


def written(new: Digests, have: Digests, unit: int) -> Iterator[Extent]:
    """What the engine writes: chunk by chunk, runs of blocks that differ, widened to whole objects."""
    blocks = LONGEST_WRITE // BLOCK
    for first in range(0, len(new.values), blocks):
        start = first * BLOCK
        end = min(start + LONGEST_WRITE, new.size)
        piece = slice(first, first + blocks)
        changed = runs(differing(new.values[piece], have.values[piece]), block=BLOCK, size=end, start=start)
        yield from widened(changed, unit=unit, size=end)


def objects_in(extents: list[Extent], unit: int) -> int:
    return len({offset // unit for extent in extents for offset in range(extent.offset, extent.end, BLOCK)})


@given(pairs())
def test_what_is_counted_is_what_is_written(pair: tuple[Digests, Digests]) -> None:
    new, base = pair
    found = loads(new, base, largest=LONGEST_WRITE)
    assert [load.object_size for load in found] == [BLOCK << power for power in range(6)]
    for load in found:
        unit = load.object_size
        extents = list(written(new, held(new, base), unit))
        assert load.writes == len(extents)
        assert load.objects == objects_in(extents, unit)
        short = new.size % unit
        cut = bool(extents) and extents[-1].end == new.size and short > 0
        # librbd reads what the base has of the last object, and writes it back.
        copied_up = max(0, base.size - (new.size - short)) if cut else 0
        assert load.sent == sum(extent.length for extent in extents) + 2 * copied_up


@given(SIZES.flatmap(images))
def test_a_full_copy_sends_all_but_zeros(new: Digests) -> None:
    extents = list(written(new, of_zeros(new.size, BLOCK), BLOCK))
    load = whole(new)
    assert load.sent == sum(extent.length for extent in extents)
    assert load.writes == len(extents)
    assert load.objects == objects_in(extents, load.object_size)


@given(pairs())
def test_larger_objects_never_send_less(pair: tuple[Digests, Digests]) -> None:
    found = loads(*pair, largest=LONGEST_WRITE)
    assert sorted(found, key=lambda load: load.sent) == list(found)


@given(st.lists(st.sampled_from((0, 1, 2)), min_size=1, max_size=12), st.data())
def test_what_a_clone_is_said_to_hold_it_holds(quarters: list[int], data: st.DataObject) -> None:
    """Against real data: a grown clone is the base and zeros."""
    other = data.draw(st.lists(st.sampled_from((0, 1, 2)), min_size=len(quarters), max_size=len(quarters) + 8))
    base, new = (b"".join(bytes([kind]) * (BLOCK // 4) for kind in kinds) for kinds in (quarters, other))
    clone = base.ljust(len(new), b"\0")
    said = held(known(new), known(base)).values
    for position, digest in enumerate(known(new).values):
        piece = slice(position * BLOCK, (position + 1) * BLOCK)
        if digest == said[position]:
            assert clone[piece] == new[piece], "it would be left out, and isn't there"
        elif position != len(base) // BLOCK:
            assert clone[piece] != new[piece], "it would be sent for nothing"


def known(data: bytes) -> Digests:
    return Digests(size=len(data), block=BLOCK, values=digests_of(data, BLOCK))


def test_a_base_that_is_larger_or_has_other_blocks_is_none() -> None:
    new = of_zeros(MIB, BLOCK)
    for base in (of_zeros(2 * MIB, BLOCK), of_zeros(MIB, 2 * BLOCK)):
        with pytest.raises(ValueError, match="larger"):
            held(new, base)


def test_objects_smaller_than_a_block_are_not_thought_of() -> None:
    new = of_zeros(64 * MIB, MIB)
    assert [load.object_size for load in loads(new, new, largest=4 * MIB)] == [MIB, 2 * MIB, 4 * MIB]
    assert loads(new, new, largest=512 * KIB) == ()
