"""Rows and columns are found by name, state, store and policy, and come in pages."""

from __future__ import annotations

import fnmatch
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgesync.domain.copy import CopyState
from edgesync.domain.image import ImageId
from edgesync.domain.site import Defect
from edgesync.expose.choice import ImagesQuery, chosen
from edgesync.expose.matrix import copy_view, ordered_stores
from edgesync.expose.page.filters import Filters, Group
from edgesync.expose.page.selection import select
from edgesync.plan.situation import Situation
from tests.builders import image, policy, situation
from tests.unit.expose.page.sights import WHERE, sick
from tests.unit.expose.pictures import finding, picture_of, site
from tests.unit.plan.test_planner_properties import situations


def names(filters: Filters) -> list[str]:
    return [entry.name for entry in select(sick(), filters).images]


@pytest.mark.parametrize(("state", "where"), WHERE.items())
def test_images_are_found_by_the_state_of_a_copy(state: CopyState, where: tuple[str, str]) -> None:
    name, store = where
    assert name in names(Filters(state=state))
    assert name in names(Filters(state=state, store=store))
    assert "rhel-9.4" not in names(Filters(state=state)) or state is CopyState.PRESENT


def test_only_what_is_wrong() -> None:
    assert names(Filters(state=Group.WRONG)) == ["centos-10", "fedora-42", "sles-15", "windows-2022"]
    assert names(Filters(state=Group.WRONG, store="dcn1")) == ["windows-2022"]


defects = st.lists(st.tuples(st.sampled_from(["central", "dcn0", "dcn1"]), st.sampled_from(Defect)), max_size=4)


@given(situations(), defects, st.sampled_from(CopyState))
def test_no_image_with_a_copy_in_the_state_is_left_out(
    case: Situation, found: list[tuple[str, Defect]], state: CopyState
) -> None:
    pairs = list(zip(case.world.images.values(), found, strict=False))
    picture = picture_of(
        case,
        sites=[
            site(store, *(finding(one, store, defect) for one, (at, defect) in pairs if at == store))
            for store in ("central", "dcn0", "dcn1")
        ],
    )
    expected = {
        entry.id
        for entry in case.world.images.values()
        if any(copy_view(picture, entry, store).state is state for store in ordered_stores(picture))
    }
    assert {entry.id for entry in select(picture, Filters(state=state, rows=200)).images} == expected


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("RHEL", ["rhel-9.4"]),
        ("rhel-*", ["rhel-9.4"]),
        ("*-1?", ["centos-10", "debian-12", "sles-15"]),
        ("id-debian-12", ["debian-12"]),
        ("nothing", []),
    ],
)
def test_names_and_ids_are_found_by_a_part_or_a_pattern(wanted: str, found: list[str]) -> None:
    assert names(Filters(name=wanted)) == found


async def test_patterns_are_not_kept() -> None:
    kept = vars(fnmatch)["_compile_pattern"].cache_info
    before = kept().currsize
    assert names(Filters(name="never-asked-before-*")) == []
    assert await chosen(ImagesQuery(name="nor-was-this-*"), sick()) == []
    assert [image.name for image in await chosen(ImagesQuery(name="rhel-*"), sick())] == ["rhel-9.4"]
    assert kept().currsize == before


def test_columns_are_chosen_by_a_part_or_a_pattern() -> None:
    assert select(sick(), Filters(store="dcn1")).stores == ("dcn1", "dcn10")
    assert select(sick(), Filters(store="dcn?")).stores == ("dcn0", "dcn1", "dcn2")
    assert select(sick(), Filters()).stores[0] == "central"


def test_a_policy_and_all_images() -> None:
    one, bare = image("one"), image("bare", tags=())
    picture = picture_of(situation(one, bare, policies=[policy("golden")]))
    assert [entry.name for entry in select(picture, Filters()).images] == ["one"]
    assert [entry.name for entry in select(picture, Filters(all=True)).images] == ["bare", "one"]
    assert [entry.name for entry in select(picture, Filters(all=True, policy="golden")).images] == ["one"]
    assert select(picture, Filters(policy="other")).images == ()


def test_pages_hold_every_image_once() -> None:
    many = [replace(image("same"), id=ImageId(f"{number:03}")) for number in range(120)]
    picture = picture_of(situation(*many, policies=[policy()]))
    pages = [select(picture, Filters(page=page)) for page in (1, 2, 3, 4)]
    assert [len(page.images) for page in pages] == [50, 50, 20, 0]
    assert [page.more for page in pages] == [True, True, False, False]
    assert [entry.id for page in pages for entry in page.images] == [entry.id for entry in many]


def test_the_address_keeps_what_was_chosen_and_starts_at_the_first_page() -> None:
    filters = Filters.of({"name": "rhel & co", "state": "", "store": "dcn1", "page": "3", "utm_source": "mail"})
    assert filters.link() == "/?name=rhel+%26+co&store=dcn1"
    assert filters.link(state=CopyState.FAILED) == "/?name=rhel+%26+co&state=failed&store=dcn1"
    assert filters.link(page=4) == "/?name=rhel+%26+co&store=dcn1&page=4"
    assert Filters(all=True).link(state=Group.WRONG) == "/?state=wrong&all=true"
    assert Filters().link() == "/"


@pytest.mark.parametrize("query", [{"state": "odd"}, {"page": "0"}, {"rows": "201"}, {"name": "a\0"}, {"all": "maybe"}])
def test_what_can_not_be_meant_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Filters.of(query)
