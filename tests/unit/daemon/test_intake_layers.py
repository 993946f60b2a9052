"""Copy-on-write for people: disks of copies that are whole, copies made independent; everything else is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from edgesync.daemon.layers import Place
from edgesync.domain.blocks import KIB, MIB, Verification
from edgesync.domain.image import Image
from edgesync.domain.job import EventKind
from edgesync.domain.store import StoreId
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    NotFoundError,
    PermanentError,
    RequestError,
    TransientError,
    UnreachableError,
)
from edgesync.expose.requests import CloneRequest, FlattenRequest
from tests.builders import NOW, image, situation
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock
from tests.unit.daemon.paper import Counter, counter
from tests.unit.expose.pictures import picture_of

SIZE = 16 * MIB
DCN0 = StoreId("dcn0")


@dataclass(kw_only=True)
class Bench:
    """Image `img` at central and dcn0, and dcn0's pool."""

    cluster: FakeCluster
    blocks: FakeBlocks
    at: Counter

    async def clone(self, **given: Any) -> str:
        order = {"image": "img", "store": "dcn0", "pool": "vms", "name": "disk", "requested_by": "alice", **given}
        return await self.at.intake.clone(CloneRequest(**order))

    async def flatten(self) -> Any:
        return await self.at.intake.flatten(FlattenRequest(image="img", store="dcn0", requested_by="alice"))

    async def layer(self, object_size: int = 64 * KIB) -> None:
        """Have the copy layered on another."""
        self.blocks.put("base", bytes(SIZE))
        await self.blocks.clone("base", "id-img", object_size=object_size)
        await self.blocks.seal("id-img")


def bench(seen: Image | None = None, *, copy: bool = True) -> Bench:
    cluster = FakeCluster("dcn0", clock=VirtualClock())
    blocks = FakeBlocks(cluster)
    if copy:
        blocks.put("id-img", bytes(SIZE))
    at = counter(
        picture_of(situation(seen or image(stores=("central", "dcn0"), size=SIZE))),
        places={DCN0: Place(pool="images", cluster=cluster, blocks=blocks)},
    )
    return Bench(cluster=cluster, blocks=blocks, at=at)


async def test_a_disk_is_made_and_told_of() -> None:
    at = bench()
    assert await at.clone() == "vms/disk"
    assert at.blocks.disks["vms"]["disk"].layout.object_size == 8 * MIB
    (event,) = at.at.journal.events
    assert (event.kind, event.message) == (
        EventKind.DISK_CLONED,
        "alice had vms/disk cloned from the copy at dcn0",
    )


@pytest.mark.parametrize(("copy", "disk"), [(64 * KIB, 8 * MIB), (MIB, 8 * MIB), (4 * MIB, 4 * MIB)])
async def test_a_disk_has_no_small_objects(copy: int, disk: int) -> None:
    at = bench(copy=False)
    await at.layer(copy)
    await at.clone()
    assert at.blocks.disks["vms"]["disk"].layout.object_size == disk


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"image": "nothing"}, NotFoundError, "no image 'nothing'"),
        ({"store": "dcn7"}, RequestError, "no store dcn7"),
        ({"store": "dcn1"}, NotFoundError, "no copy at dcn1"),
        ({"store": "central"}, RequestError, "does not know the Ceph of central"),
        ({"pool": "images"}, RequestError, "images is the pool of dcn0's images"),
        ({"pool": "nowhere"}, NotFoundError, "no pool nowhere"),
    ],
    ids=str,
)
async def test_what_names_nothing_is_refused(given: dict[str, str], error: type[EdgesyncError], said: str) -> None:
    at = bench()
    with pytest.raises(error, match=said) as refused:
        await at.clone(**given)
    assert refused.value.remedy
    assert (at.blocks.disks["vms"], at.at.journal.events) == ({}, [])


async def test_a_name_that_is_taken_is_refused() -> None:
    at = bench()
    await at.clone()
    with pytest.raises(ConflictError, match="disk already"):
        await at.clone()
    assert len(at.at.journal.events) == 1


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"size": SIZE - 1}, "16777215 bytes instead of 16777216"),
        ({"snapshot": False, "protected": False}, "no snapshot"),
        ({"protected": False}, "not protected"),
    ],
)
async def test_nothing_is_cloned_from_a_broken_copy(broken: dict[str, object], said: str) -> None:
    at = bench()
    for field, value in broken.items():
        setattr(at.cluster.images["id-img"], field, value)
    with pytest.raises(PermanentError, match=said) as refused:
        await at.clone()
    assert "edgesync stores" in refused.value.remedy


async def test_nothing_is_cloned_from_a_copy_that_is_not_there_or_known_to_be_damaged() -> None:
    missing = bench(copy=False)
    with pytest.raises(RequestError, match="Glance lists a copy"):
        await missing.clone()
    damaged = bench()
    damaged.at.journal.verified = {image().id: {DCN0: Verification(at=NOW, sound=False, damage="64 KiB at 0")}}
    with pytest.raises(RequestError, match="is damaged: 64 KiB at 0"):
        await damaged.clone()


@pytest.mark.parametrize(
    ("change", "said"), [({"disk_format": "qcow2"}, "qcow2"), ({"status": "deactivated"}, "deact")]
)
async def test_what_would_not_boot_is_not_cloned(change: dict[str, Any], said: str) -> None:
    at = bench(replace(image(stores=("central", "dcn0"), size=SIZE), **change))
    with pytest.raises(EdgesyncError, match=said):
        await at.clone()


async def test_a_key_that_may_not_and_a_silent_site_are_said() -> None:
    at = bench()
    at.blocks.forbidden = {"vms"}
    with pytest.raises(PermanentError, match=r"client\.edgesync may not"):
        await at.clone()
    at.cluster.down()
    with pytest.raises(UnreachableError):
        await at.clone()


@pytest.mark.parametrize("silence", ["no answer", "hangs", "not sent"])
async def test_what_a_silent_site_may_have_cloned_is_not_told_as_refused(
    silence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesync.daemon.layers.DOING", 0.05)
    at = bench()
    at.blocks.before = silenced("disk", silence)
    with pytest.raises(TransientError) as told:
        await at.clone()
    if silence == "not sent":
        assert told.value.message == "cut"
        return
    assert told.value.message == "Ceph at dcn0 has not answered; vms/disk may have been cloned"
    assert "edgesync layers --store dcn0" in told.value.remedy
    assert at.at.journal.events == []


@pytest.mark.parametrize("silence", ["no answer", "hangs"])
async def test_what_a_silent_manager_may_have_begun_is_not_told_as_refused(
    silence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesync.daemon.layers.DOING", 0.05)
    at = bench(copy=False)
    await at.layer()
    at.blocks.before = silenced("flatten", silence)
    with pytest.raises(TransientError, match="dcn0 has not answered; the manager there may have begun"):
        await at.flatten()


async def test_a_site_that_is_silent_after_that_leaves_the_request_taken() -> None:
    at = bench(copy=False)
    await at.layer()

    async def before(method: str, _: str) -> None:
        if method == "flatten":
            at.blocks.before = silenced("parent", "no answer")

    at.blocks.before = before
    begun = await at.flatten()
    assert (begun.parent, begun.task) == ("images/base", None)
    assert begun.trouble == "Ceph at dcn0 has not told how far that is"
    assert [event.kind for event in at.at.journal.events] == [EventKind.FLATTEN_ASKED]


def silenced(method: str, how: str) -> Callable[[str, str], Awaitable[None]]:
    async def before(called: str, _: str) -> None:
        if called != method:
            return
        if how == "hangs":
            await asyncio.Event().wait()
        raise UnreachableError("cut", sent=how != "not sent")

    return before


async def test_a_copy_is_made_independent_by_the_sites_manager() -> None:
    at = bench(copy=False)
    await at.layer()
    begun = await at.flatten()
    assert (begun.parent, begun.task.running, begun.size) == ("images/base", False, SIZE)
    # Asked again, nothing new begins.
    assert (await at.flatten()).task == begun.task
    assert [event.kind for event in at.at.journal.events] == [EventKind.FLATTEN_ASKED]
    at.blocks.flatten_now()
    over = await at.at.intake.flattened("img", "dcn0")
    assert (over.parent, over.task) == (None, None)
    # No byte went over our line.
    assert (at.blocks.sent, at.blocks.fetched) == ([], 0)
    with pytest.raises(RequestError, match="nothing to flatten"):
        await at.flatten()


async def test_without_a_manager_nothing_is_flattened() -> None:
    at = bench(copy=False)
    await at.layer()
    at.blocks.manages = False
    with pytest.raises(PermanentError, match="may not"):
        await at.flatten()
    seen = await at.at.intake.flattened("img", "dcn0")
    assert (seen.parent, seen.task) == ("images/base", None)
    assert "is not known" in seen.trouble


async def test_a_site_that_can_not_tell_its_layers_says_why() -> None:
    at = bench()
    (site,) = await at.at.intake.layers(None)
    assert [layer.spec for layer in site.layers] == ["images/id-img"]
    at.blocks.manages = False
    (site,) = await at.at.intake.layers("dcn0")
    assert len(site.layers) == 1
    assert "what is being flattened is not known" in site.trouble
    at.cluster.down()
    (site,) = await at.at.intake.layers("dcn0")
    assert (site.layers, "did not answer" in site.trouble) == ((), True)
    with pytest.raises(RequestError, match="central"):
        await at.at.intake.layers("central")


async def test_what_is_not_shown_of_a_site_is_said() -> None:
    at = bench()
    names = [f"odd-{number}" for number in range(7)]
    for name in names:
        at.blocks.put(name, b"x")
    at.blocks.headless = set(names)
    at.blocks.left_out = 12
    (site,) = await at.at.intake.layers("dcn0")
    assert [layer.spec for layer in site.layers] == ["images/id-img"]
    assert set(site.unseen) == {f"images/{name}" for name in names}
    assert "7 can't be looked at: images/odd-0: There is no RBD image odd-0" in site.trouble
    assert "and 2 more" in site.trouble
    assert "12 more disks were not looked at" in site.trouble
    assert "rbd info" in site.remedy
