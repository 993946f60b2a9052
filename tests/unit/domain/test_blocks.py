"""Blocks, their digests and their runs against brute force, byte by byte."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from edgesync.domain.blocks import (
    GIB,
    KIB,
    MOST_BLOCKS,
    SMALLEST_BLOCK,
    Digests,
    Extent,
    block_size,
    differing,
    digests_of,
    of_zeros,
    runs,
    widened,
    zero_digest,
)

# Nothing here depends on how large blocks are; small ones make odd ends likely.
BLOCKS = st.sampled_from([1, 4, 16])


def images(block: int, *, blocks: int = 12) -> st.SearchStrategy[bytes]:
    """Data and holes, of any length."""
    pieces = st.lists(st.one_of(st.just(bytes(block)), st.binary(min_size=block, max_size=block)), max_size=blocks)
    return st.builds(lambda parts, tail: b"".join(parts) + tail, pieces, st.binary(max_size=block - 1))


def digests(data: bytes, block: int) -> Digests:
    return Digests(size=len(data), block=block, values=digests_of(data, block))


def apart(extents: Sequence[Extent]) -> bool:
    """Whether they are in order, hold something, and don't touch."""
    return all(extent.length > 0 for extent in extents) and all(
        one.end < other.offset for one, other in pairwise(extents)
    )


@given(st.integers(min_value=0, max_value=1 << 60))
@example(64 * GIB)
@example(64 * GIB + 1)
@example(0)
def test_a_block_is_the_smallest_that_keeps_their_number_bounded(size: int) -> None:
    block = block_size(size)
    assert block % SMALLEST_BLOCK == 0
    assert block.bit_count() == 1
    assert size <= block * MOST_BLOCKS
    assert block == SMALLEST_BLOCK or size > block // 2 * MOST_BLOCKS


@given(st.data(), BLOCKS)
def test_each_block_has_the_digest_of_its_bytes(data: st.DataObject, block: int) -> None:
    image = data.draw(images(block))
    expected = [xxhash.xxh64_intdigest(image[start : start + block]) for start in range(0, len(image), block)]
    assert list(digests_of(image, block)) == expected


@given(st.integers(min_value=0, max_value=300), BLOCKS)
def test_what_was_never_written_has_the_digests_of_zeros(size: int, block: int) -> None:
    assert of_zeros(size, block).values == digests_of(bytes(size), block)


def test_the_digest_is_ceph_s_own() -> None:
    """As an OSD computes it (tried): XXH64 with seed 0."""
    assert zero_digest(64 * KIB) == xxhash.xxh64_intdigest(bytes(64 * KIB), seed=0)
    assert zero_digest(0) == 0xEF46DB3751D8E999


@given(st.data(), BLOCKS)
def test_what_differs_made_equal_makes_the_images_equal(data: st.DataObject, block: int) -> None:
    new = data.draw(images(block))
    old = data.draw(st.binary(min_size=len(new), max_size=len(new)))
    for position in data.draw(st.sets(st.integers(min_value=0, max_value=20))):
        old = old[: position * block] + new[position * block : (position + 1) * block] + old[(position + 1) * block :]
    found = list(digests(new, block).differing(digests(old, block)))
    assert apart(found)
    patched = bytearray(old)
    for extent in found:
        assert extent.offset % block == 0
        assert extent.end % block == 0 or extent.end == len(new)
        # Nothing is sent in vain, block for block.
        for start in range(extent.offset, extent.end, block):
            assert old[start : start + block] != new[start : start + block]
        patched[extent.offset : extent.end] = new[extent.offset : extent.end]
    assert patched == new


@given(st.binary(max_size=64), BLOCKS)
def test_nothing_differs_from_itself(image: bytes, block: int) -> None:
    assert list(digests(image, block).differing(digests(image, block))) == []


@given(st.sets(st.integers(min_value=0, max_value=60)), st.integers(min_value=0, max_value=5), BLOCKS)
def test_runs_hold_exactly_their_blocks(positions: set[int], begin: int, block: int) -> None:
    start = begin * block
    # The image ends inside the last of them.
    size = start + max(positions, default=0) * block + 1
    found = list(runs(sorted(positions), block=block, size=size, start=start))
    assert apart(found)
    covered = {byte for extent in found for byte in range(extent.offset, extent.end)}
    wanted = {start + position * block + byte for position in positions for byte in range(block)}
    assert covered == {byte for byte in wanted if byte < size}


@given(
    st.lists(st.tuples(st.integers(min_value=0, max_value=9), st.integers(min_value=1, max_value=40)), max_size=10),
    st.sampled_from([1, 8, 32]),
    st.integers(min_value=0, max_value=31),
)
def test_widened_extents_hold_whole_objects_and_no_more(gaps: list[tuple[int, int]], unit: int, tail: int) -> None:
    extents: list[Extent] = []
    position = 0
    for gap, length in gaps:
        extents.append(Extent(offset=position + gap, length=length))
        position = extents[-1].end
    size = position + tail
    found = list(widened(extents, unit=unit, size=size))
    assert apart(found)
    for extent in found:
        assert extent.offset % unit == 0
        assert extent.end % unit == 0 or extent.end == size
    covered = {byte // unit for extent in found for byte in range(extent.offset, extent.end)}
    assert covered == {byte // unit for extent in extents for byte in range(extent.offset, extent.end)}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_digests_must_be_as_many_as_blocks(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} digests for 100 bytes"):
        Digests(size=100, block=64, values=array("Q", range(count)))


@pytest.mark.parametrize(("size", "block"), [(99, 64), (100, 128)])
def test_images_of_another_kind_are_not_compared(size: int, block: int) -> None:
    with pytest.raises(ValueError, match="differ in size or block"):
        of_zeros(100, 64).differing(of_zeros(size, block))


def test_lists_of_another_length_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        list(differing(array("Q", [1, 2]), array("Q", [1])))
