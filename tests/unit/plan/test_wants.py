"""Which images belong where; the incremental answer equals the complete one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.image import Image
from edgesync.domain.policy import Match
from edgesync.plan.wants import Wants, update_wants
from tests.builders import changed_only, image, policy, store_ids, world

GIB = 1 << 30


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        (Match(ids=frozenset({"id-a"})), image("a"), image("b")),
        (Match(name="rhel-*"), image("rhel-9"), image("my-rhel-9")),
        (Match(name="rhel-9"), image("rhel-9"), image("RHEL-9")),
        (Match(visibility="public"), image(), image(visibility="private")),
        (Match(owner="me"), image(owner="me"), image(owner="you")),
        (Match(tags=frozenset({"a", "b"})), image(tags=("a", "b", "c")), image(tags=("a",))),
        (Match(properties={"os_distro": "rhel"}), image(properties={"os_distro": "rhel"}), image()),
        (Match(properties={"v": "9.*"}), image(properties={"v": "9.4"}), image(properties={"v": "8.4"})),
        (Match(hidden=True), image(hidden=True), image()),
        (Match(hidden=False), image(), image(hidden=True)),
        (Match(disk_formats=frozenset({"raw"})), image(), image(disk_format="qcow2")),
        (Match(min_size=GIB), image(size=GIB), image(size=GIB - 1)),
        (Match(max_size=GIB), image(size=GIB), image(size=GIB + 1)),
        (Match(max_size=GIB), image(size=0), image(size=None)),
    ],
)
def test_match(match: Match, yes: Image, no: Image) -> None:
    assert match.accepts(yes)
    assert not match.accepts(no)


def test_an_empty_match_accepts_everything() -> None:
    assert Match().accepts(image(size=None, tags=()))


def test_policies_add_up_and_are_listed_most_urgent_first() -> None:
    seen = world(image())
    wants = update_wants(Wants(), seen, (policy("low", stores=["dcn0"]), policy("high", stores=["dcn1"], priority=5)))
    want = wants.gaps[image().id]
    assert [entry.name for entry in want.policies] == ["high", "low"]
    assert want.missing == store_ids("dcn0", "dcn1")


def test_images_in_the_same_position_share_one_answer() -> None:
    seen = world(image("a"), image("b"))
    wants = update_wants(Wants(), seen, (policy(),))
    assert wants.images[image("a").id] is wants.images[image("b").id]


images = st.builds(
    lambda number, stores, tags: image(f"img{number}", stores=stores, tags=tags),
    st.integers(0, 5),
    st.sets(st.sampled_from(["central", "dcn0", "dcn1"])),
    st.sets(st.sampled_from(["golden", "silver"])),
)


@given(st.lists(images), st.lists(images))
def test_incremental_equals_complete(first: list[Image], then: list[Image]) -> None:
    policies = (policy(), policy("silver", stores=["dcn1"], match=Match(tags=frozenset({"silver"}))))
    before = world(*first)
    after = changed_only(before, *then)
    step = update_wants(update_wants(Wants(), before, policies), after, policies)
    assert step == update_wants(Wants(), replace(after, changed=None), policies)


def test_a_deleted_image_leaves_no_want() -> None:
    before = world(image())
    wants = update_wants(Wants(), before, (policy(),))
    gone = replace(before, images={}, changed=frozenset({image().id}))
    assert update_wants(wants, gone, (policy(),)) == Wants()
