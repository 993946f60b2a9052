"""Glance's JSON, as it should be and as it may be."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edgesync.clients.wire import MOST_SETS, ImageReader, MalformedError, load_list, read_stores, read_tasks
from edgesync.domain.image import TaskStatus

GOOD: dict[str, Any] = {
    "id": "7f2c",
    "name": "rhel",
    "status": "active",
    "visibility": "public",
    "owner": None,
    "os_hidden": False,
    "disk_format": "raw",
    "container_format": "bare",
    "size": 10,
    "virtual_size": None,
    "tags": ["golden"],
    "os_hash_algo": "sha512",
    "os_hash_value": "ab",
    "updated_at": "2026-01-02T03:04:05Z",
    "created_at": "2026-01-01T00:00:00Z",
    "stores": "central,dcn1,dcn10",
    "os_glance_importing_to_stores": "dcn2,dcn3",
    "os_glance_failed_import": "",
    "os_glance_import_task": "t1",
    "locations": [{"url": "rbd://x", "metadata": {"store": "central"}}],
    "self": "/v2/images/7f2c",
    "os_distro": "rhel",
    "hw_null": None,
    "hw_number": 3,
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_a_record_is_read() -> None:
    image = ImageReader().image(GOOD)
    assert (image.id, image.name, image.owner, image.size) == ("7f2c", "rhel", "", 10)
    assert image.stores == {"central", "dcn1", "dcn10"}
    assert (image.importing_to, image.failed, image.lock) == (frozenset({"dcn2", "dcn3"}), frozenset(), "t1")
    assert image.properties == {"os_distro": "rhel"}
    assert image.updated_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_an_image_just_created_is_read() -> None:
    queued = {key: GOOD[key] for key in ("id", "status", "visibility", "updated_at")}
    image = ImageReader().image({**queued, "name": None, "size": None, "disk_format": None, "tags": []})
    assert (image.name, image.size, image.stores, image.lock, image.hash_value) == ("", None, frozenset(), None, "")


def test_equal_sets_are_one_set() -> None:
    reader = ImageReader()
    one, other = reader.image(GOOD), reader.image({**GOOD, "id": "8", "stores": "dcn10,dcn1,central"})
    assert one.stores is other.stores
    assert one.tags is other.tags


def test_the_cache_of_sets_is_bounded() -> None:
    reader = ImageReader()
    for number in range(2 * MOST_SETS + 10):
        reader.image({**GOOD, "stores": f"dcn{number}"})
    assert max(len(reader._texts), len(reader._stores)) <= MOST_SETS


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None},
        {"id": 7},
        {"id": ""},
        {"status": None},
        {"visibility": []},
        {"name": 3},
        {"size": "10"},
        {"size": -1},
        {"tags": "golden"},
        {"tags": [1]},
        {"os_hidden": "no"},
        {"stores": ["central"]},
        {"updated_at": "yesterday"},
        {"updated_at": None},
    ],
    ids=str,
)
def test_a_malformed_image_does_not_hide_the_others(wrong: dict[str, Any]) -> None:
    with capture_logs() as logs:
        images = ImageReader().page([{**GOOD, **wrong}, {**GOOD, "id": "next"}])
    assert [image.id for image in images] == ["next"]
    assert logs[0]["log_level"] == "warning"
    assert logs[0]["image"] in {"7f2c", "7", "rhel"}
    assert next(iter(wrong)) in logs[0]["why"]


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), VALUES, max_size=6), VALUES)
def test_no_record_raises_anything_else(changes: dict[str, Any], nonsense: object) -> None:
    with capture_logs():
        images = ImageReader().page([{**GOOD, **changes}, nonsense, GOOD])
    assert images[-1].id == "7f2c"
    for image in images:
        assert image.updated_at.tzinfo is not None
        assert all(isinstance(value, str) for value in image.properties.values())


@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), max_size=5))
def test_lists_of_stores_are_split_whole(names: list[str]) -> None:
    image = ImageReader().image({**GOOD, "stores": ",".join(names)})
    assert image.stores == set(names)


@given(
    st.lists(st.dictionaries(st.sampled_from(["url", "metadata", "x"]), VALUES, max_size=3), max_size=3),
    st.text(max_size=10),
)
def test_cutting_out_locations_changes_nothing_else(locations: list[Any], name: str) -> None:
    entry = {"name": name, "odd": '"locations": [}], "', "locations": locations, "stores": "central", "min": 1}
    last = {"stores": "dcn1", "locations": locations}
    body = json.dumps({"images": [entry, last], "next": "x"}, ensure_ascii=False, allow_nan=True)
    document = load_list(body.encode("utf-8", "surrogatepass"))
    found = [{key: value for key, value in image.items() if key != "locations"} for image in document["images"]]
    assert found == [{key: entry[key] for key in ("name", "odd", "stores", "min")}, {"stores": "dcn1"}]
    assert document["next"] == "x"


@pytest.mark.parametrize("body", [b"", b"{", b'{"images": [{"locations": [', b'{"locations": [}], "', b"\xff"])
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # any of json's
        load_list(body)


def test_stores_are_read() -> None:
    document = {
        "stores": [
            {"id": "central", "default": "true", "type": "rbd", "properties": {"pool": "images", "fsid": "f"}},
            {"id": "web", "read-only": "true", "description": None, "properties": None},
            {"description": "no id"},
            "nonsense",
        ]
    }
    central, web = read_stores(document)
    assert (central.default, central.type, central.pool, central.fsid, central.read_only) == (
        True,
        "rbd",
        "images",
        "f",
        False,
    )
    assert (web.id, web.read_only, web.type) == ("web", True, "")


def test_tasks_come_newest_first() -> None:
    task = {"id": "a", "status": "success", "message": None, "created_at": "2026-01-01T00:00:00.000000"}
    newer = {**task, "id": "b", "created_at": "2026-01-02T00:00:00.5", "input": {"backend": ["dcn1", "dcn0"]}}
    odd = {**task, "id": "c", "status": "exploded"}
    with capture_logs() as logs:
        second, first = read_tasks({"tasks": [task, newer, odd, None]})[::-1]
    assert (first.id, first.stores, first.message) == ("b", ("dcn1", "dcn0"), "")
    assert (second.id, second.status, second.stores) == ("a", TaskStatus.SUCCESS, ())
    assert second.updated_at == second.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert [log["task"] for log in logs] == ["c", "?"]


@given(VALUES)
def test_any_document_is_read_or_malformed(document: object) -> None:
    for read in (read_stores, read_tasks):
        with suppress(MalformedError):
            assert read(document) == ()
