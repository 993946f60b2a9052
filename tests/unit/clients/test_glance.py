"""What the client makes of Glance's capabilities. What copies do is in the contract suite."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from edgesync.domain.level import Level
from edgesync.domain.ports import Glance
from edgesync.domain.store import StoreId
from edgesync.errors import PermanentError, TransientError
from tests.fakes.glance import FakeGlance, Fault, Hang, NotJson, status
from tests.fakes.glance.faults import Kind
from tests.unit.clients.conftest import Watched


def level_of(watched: Watched) -> Level:
    level = watched.glance.level
    assert level is not None
    return level


def as_port(watched: Watched) -> Glance:
    """For mypy: the client is what the domain asks for."""
    return watched.glance


async def test_the_newest_version_is_by_number(fake: FakeGlance, watched: Watched) -> None:
    fake.settings.versions = ("v2.9", "v2.13", "v2.2")
    assert await as_port(watched).check() == "v2.13"


async def test_a_single_store_is_refused(fake: FakeGlance, watched: Watched) -> None:
    fake.settings.multi_store = False
    with pytest.raises(PermanentError, match="single store") as refused:
        await watched.glance.check()
    assert "enabled_backends" in refused.value.remedy


async def test_missing_copy_image_is_refused(fake: FakeGlance, watched: Watched) -> None:
    fake.settings.import_methods = ("glance-direct", "web-download")
    with pytest.raises(PermanentError, match="only glance-direct, web-download") as refused:
        await watched.glance.check()
    assert "enabled_import_methods" in refused.value.remedy


async def test_an_old_glance_has_no_tasks(fake: FakeGlance, watched: Watched) -> None:
    fake.settings.versions = ("v2.11", "v2.8")
    image = fake.add_image()
    with capture_logs() as logs:
        assert await watched.glance.check() == "v2.11"
    assert logs[0]["version"] == "v2.11"
    assert await watched.glance.tasks(image) == ()
    assert fake.count("tasks") == 0


@pytest.mark.parametrize("body", ["[]", "{}", '{"versions": [{"id": "new"}]}', '{"versions": []}', "<html>"])
async def test_something_else_than_glance_is_noticed(fake: FakeGlance, watched: Watched, body: str) -> None:
    fake.faults.add(Fault(operation="versions", kind=NotJson(body)))
    with pytest.raises(TransientError) as failed:
        await watched.glance.check()
    assert "catalog" in failed.value.remedy


async def test_what_a_glance_misses_is_said(fake: FakeGlance, watched: Watched) -> None:
    assert watched.glance.level is None
    await watched.glance.check()
    await watched.glance.stores()
    assert level_of(watched) == Level(version="v2.18", methods=frozenset(fake.settings.import_methods))
    assert level_of(watched).misses == ()


async def test_clusters_without_ids_are_missed_once_they_are_seen(fake: FakeGlance, watched: Watched) -> None:
    fake.settings.tells_fsid = False
    await watched.glance.check()
    assert level_of(watched).misses == ()
    await watched.glance.stores()
    (missed,) = level_of(watched).misses
    assert "clusters' ids" in missed


async def test_an_old_and_poor_glance_misses_much(fake: FakeGlance, watched: Watched) -> None:
    fake.settings.versions = ("v2.8",)
    fake.settings.import_methods = ("copy-image",)
    await watched.glance.check()
    level = level_of(watched)
    assert (level.tells_tasks, level.tells_details) == (False, False)
    words = ("tasks", "types and pools", "web-download", "glance-direct")
    assert [word in sentence for word, sentence in zip(words, level.misses, strict=True)] == [True] * 4
    # It works all the same.
    assert {store.type for store in await watched.glance.stores()} == {""}
    assert await watched.glance.tasks(fake.add_image()) == ()


async def test_details_are_asked_for_once(fake: FakeGlance, watched: Watched) -> None:
    for _ in range(3):
        assert {store.type for store in await watched.glance.stores()} == {"rbd"}
    assert (fake.count("stores"), fake.count("stores_detail")) == (3, 1)


@pytest.mark.parametrize("kind", [status(403), status(500), NotJson(), NotJson("{}"), status(404)], ids=str)
async def test_without_details_the_plain_list_remains(fake: FakeGlance, watched: Watched, kind: Kind) -> None:
    fake.faults.add(Fault(operation="stores_detail", kind=kind))
    with capture_logs() as logs:
        stores = await watched.glance.stores()
        await watched.glance.stores()
    assert [store.id for store in stores] == ["central", "dcn0", "dcn1"]
    assert stores[0].default
    assert {store.type for store in stores} == {""}
    # Once, and not with every tick.
    assert fake.count("stores_detail") == 1
    assert len(logs) == 1
    assert logs[0]["remedy"]


async def test_a_dead_cluster_does_not_hold_up_the_stores(
    fake: FakeGlance, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesync.clients.stores.DETAIL_DEADLINE", 0.1)
    fake.faults.add(Fault(operation="stores_detail", kind=Hang()))
    async with asyncio.timeout(2):
        assert len(await watched.glance.stores()) == 3


async def test_a_store_that_vanishes_is_gone(fake: FakeGlance, watched: Watched) -> None:
    await watched.glance.stores()
    fake.remove_store("dcn1")
    fake.add_store("web", read_only=True, type="http")
    assert [(store.id, store.read_only) for store in await watched.glance.stores()] == [
        ("central", False),
        ("dcn0", False),
        ("web", True),
    ]


async def test_an_import_says_everything(fake: FakeGlance, watched: Watched) -> None:
    image = fake.add_image()
    await watched.glance.copy_image(image, [StoreId("dcn0"), StoreId("dcn1")], allow_failure=False)
    assert fake.requests[-1].body == {
        "method": {"name": "copy-image"},
        "stores": ["dcn0", "dcn1"],
        "all_stores_must_succeed": True,
    }


async def test_two_clients_of_one_glance_close(fake: FakeGlance) -> None:
    for _ in range(2):
        async with Watched(fake).glance as glance:
            await glance.stores()
        # Closing twice does no harm.
        await glance.close()
