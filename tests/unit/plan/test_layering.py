"""On what a new image is layered, and in objects of what size."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.blocks import GIB, KIB, MIB, Digests, zero_digest
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.plan.changes import loads, whole
from edgesync.plan.kinship import Kinship
from edgesync.plan.layering import (
    Candidate,
    Comparisons,
    FullCopy,
    Layered,
    Layering,
    LayeringRules,
    amount,
    choose,
    shortlist,
)
from tests.builders import NOW

BLOCK = 64 * KIB
RULES = LayeringRules()
DCN0 = StoreId("dcn0")
ZERO = zero_digest(BLOCK)
MBIT = 125_000


def digests(size: int, *, seed: int = 0, data: float = 1.0) -> Digests:
    """An image of which so large a share is data, at its beginning."""
    number = -(-size // BLOCK)
    values = array("Q", Random(seed).randbytes(8 * number))
    for position in range(int(number * data), number):
        values[position] = ZERO
    return Digests(size=size, block=BLOCK, values=values)


def altered(base: Digests, *positions: int) -> Digests:
    values = base.values[:]
    for position in positions:
        values[position] ^= 1
    return replace(base, values=values)


def scattered(base: Digests, number: int) -> Digests:
    return altered(base, *Random(7).sample(range(len(base.values)), number))


def candidate(
    name: str = "rhel-9.4-20260801",
    *,
    size: int = GIB,
    object_size: int = 8 * MIB,
    depth: int = 0,
    protected: bool = True,
    sound: bool = True,
    kinship: Kinship = Kinship.STRANGER,
    age: int = 0,
) -> Candidate:
    return Candidate(
        image=ImageId(f"id-{name}"),
        name=name,
        size=size,
        object_size=object_size,
        depth=depth,
        protected=protected,
        sound=sound,
        created_at=NOW - timedelta(days=age),
        kinship=kinship,
    )


def chosen(
    new: Digests,
    bases: Sequence[tuple[Candidate, Digests]],
    *,
    rules: LayeringRules = RULES,
    rate: float | None = None,
) -> Layering:
    comparisons = Comparisons(new, {base.image: known for base, known in bases}, rules)
    return choose(DCN0, [base for base, _ in bases], comparisons, rate=rate)


def layered(choice: Layering) -> Layered:
    assert isinstance(choice, Layered), choice.why
    return choice


def why_full(choice: Layering) -> str:
    assert isinstance(choice, FullCopy), choice.why
    return choice.why


V1 = digests(GIB, data=0.5)


def test_scattered_changes_are_sent_block_by_block_where_the_line_is_not_known() -> None:
    new = altered(V1, *range(0, 176 * 40, 40))
    choice = layered(chosen(new, [(candidate(), V1)]))
    assert choice.object_size == 64 * KIB
    assert choice.sent == 176 * BLOCK
    assert choice.grow_to is None
    assert choice.why == "to dcn0: 11 MiB on top of rhel-9.4-20260801 instead of 512 MiB"


def test_on_a_fast_line_larger_objects_save_writes_on_a_slow_one_smaller_save_bytes() -> None:
    """Every second block of a part of the image: half of what larger objects send is sent for nothing."""
    new = altered(V1, *range(0, 1024, 2))
    slow, fast = (layered(chosen(new, [(candidate(), V1)], rate=rate)) for rate in (100 * MBIT, 10_000 * MBIT))
    assert (slow.object_size, slow.sent) == (64 * KIB, 512 * BLOCK)
    assert (fast.object_size, fast.sent) == (2 * MIB, 1024 * BLOCK)


@pytest.mark.parametrize("rules", [LayeringRules(per_write=1, per_object=0), LayeringRules(per_write=0, per_object=1)])
def test_where_writes_or_new_objects_are_dear_there_are_few_of_them(rules: LayeringRules) -> None:
    choice = layered(chosen(altered(V1, *range(0, 1024, 4)), [(candidate(), V1)], rules=rules, rate=GIB))
    assert choice.object_size == 2 * MIB


def test_neighbouring_changes_are_sent_in_large_objects() -> None:
    choice = layered(chosen(altered(V1, *range(64, 256)), [(candidate(), V1)]))
    assert choice.object_size == 2 * MIB
    assert choice.sent == 192 * BLOCK


def test_an_image_that_is_there_under_another_id_costs_nothing() -> None:
    choice = layered(chosen(V1, [(candidate(), V1)]))
    assert choice.why.startswith("to dcn0: 0 bytes on top of")
    assert choice.object_size == 2 * MIB, "nothing speaks for small ones"


def test_the_base_that_saves_most_is_taken_whatever_its_name() -> None:
    near, far = candidate("a", age=9), candidate("b", kinship=Kinship.PARENT)
    new = scattered(V1, 50)
    assert layered(chosen(new, [(far, scattered(V1, 900)), (near, V1)])).base == near


def test_of_equals_the_one_with_fewer_images_below_it_is_taken() -> None:
    deep, flat = candidate("a", depth=2, kinship=Kinship.PARENT), candidate("b")
    assert layered(chosen(scattered(V1, 50), [(deep, V1), (flat, V1)])).base == flat


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (candidate("a", protected=False), "its snapshot is not protected"),
        (candidate("a", sound=False), "its copy is not known to be sound"),
        (candidate("a", depth=3), "it is itself 3 deep in a chain"),
        (candidate("a", size=2 * GIB), "it is larger (2.0 GiB)"),
    ],
)
def test_what_can_not_be_a_base(base: Candidate, reason: str) -> None:
    full = "to dcn0: a full copy of 512 MiB, for it can't be layered on a"
    assert why_full(chosen(V1, [(base, V1)])) == f"{full} ({reason})"
    assert why_full(chosen(V1, [(base, V1), (replace(base, name="b"), V1)])) == f"{full} ({reason}), nor on 1 more"


def test_digests_of_other_blocks_can_not_be_compared() -> None:
    huge = Digests(size=128 * GIB, block=128 * KIB, values=array("Q", bytes(8 << 20)))
    base = candidate("a", size=64 * GIB)
    choice = choose(DCN0, [base], Comparisons(huge, {}, RULES))
    assert "so much smaller (64 GiB) that its digests are of smaller blocks" in why_full(choice)


def test_unrelated_images_are_copied_in_full() -> None:
    new = digests(GIB, seed=1, data=0.5)
    assert why_full(chosen(new, [(candidate("debian"), V1)])) == (
        "to dcn0: a full copy of 512 MiB, for on top of debian it would still be 512 MiB"
    )


def test_what_is_zero_again_has_to_be_written_too() -> None:
    """An image that is much smaller than its base in all but name is better copied without it."""
    new = replace(V1, values=V1.values[:100] + array("Q", [ZERO]) * (len(V1.values) - 100))
    assert "it would still be 506 MiB" in why_full(chosen(new, [(candidate(), V1)]))


def test_nothing_is_layered_without_other_images_or_without_knowing_what_they_hold() -> None:
    assert why_full(chosen(V1, [])).endswith("there is no other image to layer it on")
    unknown = choose(DCN0, [candidate("a"), candidate("b", age=1)], Comparisons(V1, {}, RULES))
    assert why_full(unknown).endswith("it is not known yet what is in a, b")
    odd = chosen(V1, [(candidate("a", size=GIB - 5), V1)])
    assert why_full(odd).endswith("it is not known yet what is in a"), "the digests are of another size"


def test_an_image_of_zeros_is_copied_in_full() -> None:
    zeros = replace(V1, values=array("Q", [ZERO]) * len(V1.values))
    assert why_full(chosen(zeros, [(candidate(), zeros)])).startswith("to dcn0: a full copy of 0 bytes")


def test_too_little_gain_is_none() -> None:
    new = altered(V1, *range(4096))
    choice = chosen(new, [(candidate(), V1)], rules=LayeringRules(min_gain=0.6))
    assert why_full(choice).endswith("it would still be 256 MiB")
    assert layered(chosen(new, [(candidate(), V1)], rules=LayeringRules(min_gain=0.5))).sent == 256 * MIB


def test_an_image_is_not_cut_into_too_many_objects() -> None:
    new = scattered(V1, 176)
    choice = layered(chosen(new, [(candidate(), V1)], rules=LayeringRules(most_objects=4096)))
    assert choice.object_size == 256 * KIB
    few = chosen(new, [(candidate(), V1)], rules=LayeringRules(most_objects=100))
    assert why_full(few).endswith("on top of rhel-9.4-20260801 16384 objects of 64 KiB are more than allowed")


def test_disks_can_be_spared_small_objects() -> None:
    new = scattered(V1, 176)
    choice = layered(chosen(new, [(candidate(), V1)], rules=LayeringRules(smallest_object=MIB)))
    assert choice.object_size == MIB
    only = chosen(new, [(candidate(object_size=512 * KIB), V1)], rules=LayeringRules(smallest_object=MIB))
    assert why_full(only).endswith("objects of 64 KiB are smaller than allowed")


def test_objects_are_no_larger_than_those_of_the_base() -> None:
    new = altered(V1, *range(64, 256))
    assert layered(chosen(new, [(candidate(object_size=256 * KIB), V1)])).object_size == 256 * KIB
    none = chosen(new, [(candidate(object_size=32 * KIB), V1)])
    assert "are larger than its own" in why_full(none)


def test_blocks_larger_than_objects_are_not_layered() -> None:
    choice = chosen(V1, [(candidate(), V1)], rules=LayeringRules(largest_object=32 * KIB))
    assert why_full(choice).endswith("its blocks (64 KiB) are larger than objects may be")


def test_where_many_small_writes_would_take_longer_it_is_a_full_copy() -> None:
    new = scattered(V1, 3000)
    bases = [(candidate(), V1)]
    assert layered(chosen(new, bases, rate=200 * MBIT)).sent == 3000 * BLOCK
    quick = chosen(new, bases, rate=10_000 * MBIT, rules=LayeringRules(per_write=0.01))
    assert "writes on top of rhel-9.4-20260801 would take longer on this line" in why_full(quick)


def test_a_smaller_base_is_grown() -> None:
    """What is beyond it is sent unless it is zeros; and the block in which it ends, of which nothing is known."""
    size = GIB - 1000
    base = replace(V1, size=size)
    number = len(V1.values)
    new = Digests(size=2 * GIB, block=BLOCK, values=V1.values + array("Q", [ZERO]) * (number - 10) + V1.values[:10])
    choice = layered(chosen(new, [(candidate(size=size), base)]))
    assert choice.grow_to == 2 * GIB
    assert choice.sent == 11 * BLOCK


def test_the_short_end_of_an_image_is_copied_up_and_counts() -> None:
    size = GIB + 1000
    base = digests(size)
    choice = layered(chosen(altered(base, len(base.values) - 1), [(candidate(size=size), base)]))
    assert choice.sent == 3 * 1000


def test_the_likeliest_and_newest_are_compared_first_and_no_more_than_allowed() -> None:
    listed = shortlist(
        GIB,
        [
            candidate("old", age=300),
            candidate("new", age=1),
            candidate("broken", kinship=Kinship.PARENT, sound=False),
            candidate("family", age=30, kinship=Kinship.FAMILY),
            candidate("namesake", age=90, kinship=Kinship.NAMESAKE),
        ],
        LayeringRules(most_compared=3),
    )
    assert [entry.name for entry in listed] == ["namesake", "family", "new"]


def test_images_beyond_the_limit_are_not_compared() -> None:
    bases = [
        (candidate("a"), digests(GIB, seed=1)),
        (candidate("b", age=1), scattered(V1, 90)),
        (candidate("c", age=2), V1),
    ]
    assert layered(chosen(V1, bases, rules=LayeringRules(most_compared=2))).base.name == "b"
    assert layered(chosen(V1, bases)).base.name == "c"


def test_two_images_are_compared_once_for_all_sites() -> None:
    base = candidate()
    comparisons = Comparisons(scattered(V1, 9), {base.image: V1}, RULES)
    assert comparisons.loads(base) is comparisons.loads(base)


def test_bytes_for_people() -> None:
    sizes = (0, 1023, KIB, 41 * MIB + 1, 10 * MIB - 1, int(2.1 * GIB), 3 * 1024 * GIB)
    assert [amount(size) for size in sizes] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "41 MiB",
        "10.0 MiB",
        "2.1 GiB",
        "3072 GiB",
    ]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Digests, list[tuple[Candidate, Digests]], LayeringRules]:
    """A new image and some bases, of which some are like it."""
    random = Random(draw(st.integers(0, 1 << 32)))
    size = random.choice((1, BLOCK, 3 * MIB + 5, 20 * MIB, 32 * MIB - 1))
    new = digests(size, seed=random.randint(0, 3), data=random.random())
    bases = []
    for number in range(random.randint(0, 5)):
        smaller = random.choice((size, size, size, max(1, size // 2)))
        known = Digests(size=smaller, block=BLOCK, values=new.values[: -(-smaller // BLOCK)])
        known = scattered(known, random.randint(0, len(known.values)))
        base = candidate(
            f"base{number}",
            size=smaller,
            object_size=random.choice((64 * KIB, MIB, 8 * MIB)),
            depth=random.randint(0, 3),
            protected=random.random() < 0.9,
            sound=random.random() < 0.9,
            kinship=random.choice(list(Kinship)),
            age=number,
        )
        bases.append((base, known))
    rules = LayeringRules(
        max_depth=random.randint(0, 4),
        min_gain=random.choice((0, 0.2, 0.9)),
        smallest_object=random.choice((64 * KIB, 256 * KIB)),
        most_objects=random.choice((10, 100, 1 << 19)),
        most_compared=random.randint(0, 5),
    )
    return new, bases, rules


Case = tuple[Digests, list[tuple[Candidate, Digests]], LayeringRules]


def never_more_than_a_full_copy(case: Case, choice: Layering) -> None:
    full = whole(case[0]).sent
    assert choice.sent <= full
    if isinstance(choice, Layered):
        assert choice.sent <= (1 - case[2].min_gain) * full
        assert choice.instead_of == full
    else:
        assert choice.sent == full


def the_base_is_fit_and_the_clone_within_bounds(case: Case, choice: Layering) -> None:
    new, _, rules = case
    if not isinstance(choice, Layered):
        return
    base, unit = choice.base, choice.object_size
    assert base.protected
    assert base.sound
    assert base.depth + 1 <= rules.max_depth
    assert base.size <= new.size
    assert choice.grow_to == (None if base.size == new.size else new.size)
    assert unit.bit_count() == 1
    assert max(BLOCK, rules.smallest_object) <= unit <= min(base.object_size, rules.largest_object)
    assert -(-new.size // unit) <= rules.most_objects


def what_is_said_to_be_sent_is(case: Case, choice: Layering) -> None:
    new, bases, _ = case
    if isinstance(choice, Layered):
        (known,) = (known for base, known in bases if base == choice.base)
        (load,) = (
            load for load in loads(new, known, largest=choice.object_size) if load.object_size == choice.object_size
        )
        assert choice.sent == load.sent
        assert amount(choice.sent) in choice.why
        assert choice.base.name in choice.why


INVARIANTS: tuple[Callable[[Case, Layering], None], ...] = (
    never_more_than_a_full_copy,
    the_base_is_fit_and_the_clone_within_bounds,
    what_is_said_to_be_sent_is,
)
RATES = st.sampled_from((None, 0.0, 10 * MBIT, 1_000 * MBIT, 100_000 * MBIT))


@given(cases(), RATES)
def test_every_choice_keeps_every_invariant(case: Case, rate: float | None) -> None:
    choice = chosen(case[0], case[1], rules=case[2], rate=rate)
    for invariant in INVARIANTS:
        invariant(case, choice)


@given(cases())
def test_without_a_known_line_nothing_sends_less(case: Case) -> None:
    new, bases, rules = case
    choice = chosen(new, bases, rules=rules)
    known: Mapping[ImageId, Digests] = {base.image: digests for base, digests in bases}
    for base in shortlist(new.size, [base for base, _ in bases], rules):
        for load in loads(new, known[base.image], largest=min(base.object_size, rules.largest_object)):
            allowed = load.object_size >= rules.smallest_object
            allowed = allowed and -(-new.size // load.object_size) <= rules.most_objects
            if allowed and load.sent <= (1 - rules.min_gain) * whole(new).sent:
                assert choice.sent <= load.sent


@given(cases())
def test_the_faster_the_line_the_less_bytes_count(case: Case) -> None:
    sent = [chosen(case[0], case[1], rules=case[2], rate=rate).sent for rate in (MBIT, 100 * MBIT, 10_000 * MBIT)]
    assert sent == sorted(sent)


@given(st.integers(0, 1 << 32), st.integers(1, 160), st.sampled_from((None, 10 * MBIT, 200 * MBIT, 1_000 * MBIT)))
def test_scattered_changes_cost_hardly_more_than_themselves(seed: int, number: int, rate: float | None) -> None:
    """The aim: 1.1 times the blocks that changed, where no two are near each other, on any line up to 1 Gbit/s."""
    base = digests(256 * MIB)
    positions = Random(seed).sample(range(0, len(base.values), 20), number)
    choice = chosen(altered(base, *positions), [(candidate(size=256 * MIB), base)], rate=rate)
    assert layered(choice).sent <= 1.1 * number * BLOCK
