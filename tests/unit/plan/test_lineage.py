"""Chains of clones at one site."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.plan.lineage import Flatten, Lineage, Member, Remove, Step


def chain(*names: str, unwanted: str = "") -> list[Member]:
    """Each on top of the one before."""
    parents = (None, *names)
    return [
        Member(name=name, parent=parent, wanted=name not in unwanted)
        for name, parent in zip(names, parents, strict=False)
    ]


@st.composite
def forests(draw: st.DrawFn) -> list[Member]:
    number = draw(st.integers(0, 12))
    members = []
    for position in range(number):
        below = [f"i{earlier}" for earlier in range(position)]
        members.append(
            Member(
                name=f"i{position}",
                parent=draw(st.sampled_from((None, "outside", *below, *below))),
                wanted=draw(st.booleans()),
                clones=("vms/disk",) if draw(st.integers(0, 4)) == 0 else (),
                flattens=draw(st.integers(0, 5)) > 0,
            )
        )
    return members


def done(members: list[Member], step: Step) -> list[Member]:
    """The members after a step. What RBD would refuse is an error here."""
    if isinstance(step, Remove):
        assert not [member for member in members if member.parent == step.name], "it has children"
        (gone,) = [member for member in members if member.name == step.name]
        assert not gone.wanted
        assert not gone.clones
        return [member for member in members if member is not gone]
    (flat,) = [member for member in members if member.name == step.name]
    assert flat.parent == step.parent
    assert flat.flattens
    return [replace(member, parent=None) if member is flat else member for member in members]


def settle(members: list[Member], max_depth: int, choose: st.DataObject) -> list[Member]:
    """Take steps in any order, looking again after each, until there are none."""
    bound = len(members) + sum(member.parent is not None for member in members)
    for _ in range(bound + 1):
        steps = Lineage(members).steps(max_depth)
        assert len({step.name for step in steps}) == len(steps), "one step for an image at a time"
        if not steps:
            return members
        members = done(members, choose.draw(st.sampled_from(steps)))
    raise AssertionError("it does not end")


@given(forests(), st.integers(0, 4), st.data())
def test_it_ends_with_nothing_lost_and_all_gone_that_can_go(
    members: list[Member], max_depth: int, data: st.DataObject
) -> None:
    settled = settle(members, max_depth, data)
    lineage = Lineage(settled)
    names = {member.name for member in settled}
    assert {member.name for member in members if member.wanted or member.clones} <= names
    kept = lineage.kept()
    assert {member.name for member in settled if not member.wanted} == kept.keys()
    if all(member.flattens for member in members):
        assert all(lineage.depth(name) <= max_depth for name in names)
        assert all(member.clones for member in settled if not member.wanted)


@given(forests(), st.integers(0, 4))
def test_all_steps_of_one_look_can_be_taken_at_once(members: list[Member], max_depth: int) -> None:
    for step in Lineage(members).steps(max_depth):
        members = done(members, step)


@given(forests(), st.integers(0, 3))
def test_no_more_is_flattened_than_has_to_be(members: list[Member], max_depth: int) -> None:
    wanted = [replace(member, wanted=True, flattens=True) for member in members[:8]]
    steps = Lineage(wanted).steps(max_depth)
    for fewer in combinations([member.name for member in wanted], max(0, len(steps) - 1)):
        cut = Lineage(replace(member, parent=None) if member.name in fewer else member for member in wanted)
        assert not steps or any(cut.depth(member.name) > max_depth for member in wanted)


@given(forests(), st.integers(0, 4))
def test_nothing_is_removed_that_would_break_something(members: list[Member], max_depth: int) -> None:
    lineage = Lineage(members)
    removals = [step.name for step in lineage.steps(max_depth) if isinstance(step, Remove)]
    assert lineage.broken_by(removals) == {}
    broken = lineage.broken_by(member.name for member in members)
    parents = {member.parent for member in members}
    assert broken.keys() == {member.name for member in members if member.clones or member.name in parents}


def test_what_is_on_top_of_an_unwanted_base_is_flattened_before_it_goes() -> None:
    members = chain("v1", "v2", unwanted="v1")
    (step,) = Lineage(members).steps(3)
    assert step == Flatten(name="v2", parent="v1", why="v1 below it is wanted no more")
    assert Lineage(done(members, step)).steps(3) == [Remove(name="v1")]


def test_what_goes_itself_is_not_flattened() -> None:
    lineage = Lineage(chain("v1", "v2", "v3", unwanted="v1 v2 v3"))
    assert lineage.steps(3) == [Remove(name="v3")]


def test_a_base_with_disks_stays_and_so_nothing_is_flattened_for_it() -> None:
    base = Member(name="v1", wanted=False, clones=("vms/a", "vms/b"))
    lineage = Lineage([base, Member(name="v2", parent="v1")])
    assert lineage.steps(3) == []
    assert lineage.kept() == {"v1": "vms/a, vms/b can't be taken off it"}
    assert lineage.broken_by(["v1"]) == {"v1": "v2, vms/a, vms/b would be lost with it"}


def test_a_base_under_an_image_that_rbd_can_not_flatten_stays() -> None:
    lineage = Lineage([Member(name="v1", wanted=False), Member(name="v2", parent="v1", flattens=False)])
    assert lineage.steps(3) == []
    assert lineage.kept() == {"v1": "v2 can't be taken off it"}


def test_a_chain_is_cut_where_one_copy_is_enough() -> None:
    """Three leaves are too deep; below them is one image that will do for all."""
    trunk = chain("a", "b", "c", "d")
    leaves = [Member(name=f"leaf{number}", parent="d") for number in range(3)]
    steps = Lineage([*trunk, *leaves]).steps(3)
    assert steps == [Flatten(name="b", parent="a", why="a chain of 4 on top of a is longer than 3")]


def test_the_longest_chain_from_above_decides() -> None:
    members = [*chain("a", "b", "c", "d"), Member(name="e", parent="b")]
    assert [step.name for step in Lineage(members).steps(2)] == ["b"]
    reverse = [*chain("a", "b", "d", "e"), Member(name="c", parent="b")]
    assert [step.name for step in Lineage(reverse).steps(2)] == ["b"]


def test_a_parent_outside_counts_and_is_left_alone() -> None:
    lineage = Lineage(chain("outside", "a", "b")[1:])
    assert lineage.depth("a") == 1
    assert lineage.steps(2) == []
    assert [step.name for step in lineage.steps(1)] == ["a"]


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="two images are called a"):
        Lineage([Member(name="a"), Member(name="a")])
    with pytest.raises(ValueError, match="on top of themselves: a, b"):
        Lineage([Member(name="a", parent="b"), Member(name="b", parent="a"), Member(name="c")])
