"""Copies are deleted, unless they must stay."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edgesync.domain.image import Image
from edgesync.domain.job import CopyResult, EventKind, Work
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, PermanentError, UnreachableError
from tests.builders import NOW, image
from tests.unit.execute.doubles import DCN0, DCN1, Rig, rig, work_on

EVERYWHERE = ("central", "dcn0", "dcn1")


async def remove(on: Rig, shown: Image, *stores: str) -> None:
    await on.engines.removals.begin(work_on(shown, Work.REMOVE, *stores))


async def test_a_copy_is_deleted() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id)
    await remove(on, shown, "dcn0")
    assert on.glance.images[shown.id].stores == {"central", "dcn1"}
    assert (on.end.results, on.end.kinds) == ({"dcn0": CopyResult.REMOVED}, [EventKind.COPY_REMOVED])
    assert on.measured == [], "only copies are counted as such"


async def test_doing_it_again_after_a_crash_does_no_harm() -> None:
    on = rig()
    shown = on.glance.put(image(stores=("central",)))
    await on.engines.removals.follow(work_on(shown, Work.REMOVE, "dcn0"))
    assert on.end.results == {"dcn0": CopyResult.REMOVED}
    assert on.glance.asked("delete_from_store") == []


async def test_an_image_that_is_gone_has_no_copy_either() -> None:
    on = rig()
    await remove(on, image(), "dcn0")
    assert on.end.results == {"dcn0": CopyResult.REMOVED}
    assert on.lost == [image().id]


@pytest.mark.parametrize(
    ("stores", "store", "why"),
    [(EVERYWHERE, "central", "is the hub"), (("dcn0",), "dcn0", "the only copy")],
)
async def test_the_hubs_copy_and_the_last_one_stay(stores: tuple[str, ...], store: str, why: str) -> None:
    on = rig()
    shown = on.glance.put(image(stores=stores))
    await remove(on, shown, store)
    assert on.glance.asked("delete_from_store") == []
    assert (on.end.results, on.end.kinds) == ({store: CopyResult.FAILED}, [EventKind.REMOVAL_FAILED])
    assert why in on.end.reasons
    assert on.end.failures == [], "nobody retries a removal"


async def test_of_two_copies_without_a_hub_one_stays() -> None:
    on = rig()
    shown = on.glance.put(image(stores=("dcn0", "dcn1")))
    await remove(on, shown, "dcn0", "dcn1")
    assert on.end.results == {"dcn0": CopyResult.REMOVED, "dcn1": CopyResult.FAILED}


async def test_a_copy_with_clones_stays_and_they_are_named() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id, children=tuple(f"vms/disk{number}" for number in range(7)))
    await remove(on, shown, "dcn0")
    assert on.glance.asked("delete_from_store") == []
    assert "vms/disk0, vms/disk1, vms/disk2, vms/disk3, vms/disk4 and 2 more" in on.end.reasons


@pytest.mark.parametrize("refusal", [ConflictError("in use", remedy="flatten"), PermanentError("no", remedy="flatten")])
async def test_glances_refusal_is_passed_on(refusal: ConflictError | PermanentError) -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.glance.refusals["delete_from_store"] = [refusal]
    await remove(on, shown, "dcn0")
    assert on.end.results == {"dcn0": CopyResult.FAILED}
    assert "flatten" in on.end.reasons


async def test_an_import_in_force_and_a_dead_site_are_waited_for() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE, lock="theirs"))
    on.glance.task("theirs", updated_at=NOW)
    await remove(on, shown, "dcn0")
    on.glance.change(shown.id, lock=None)
    on.clusters[DCN0].down = True
    await remove(on, shown, "dcn0")
    assert len(on.journal.dropped) == 2
    assert on.glance.asked("delete_from_store") == []


async def test_an_expired_lock_is_not_waited_for() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE, lock="theirs"))
    on.glance.task("theirs", updated_at=NOW - timedelta(hours=2))
    await remove(on, shown, "dcn0")
    assert on.end.results == {"dcn0": CopyResult.REMOVED}


async def test_a_lost_answer_leaves_the_attempt_open() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.glance.refusals["delete_from_store"] = [UnreachableError("no answer")]
    with pytest.raises(UnreachableError):
        await remove(on, shown, "dcn0")
    assert (on.journal.finished, on.journal.dropped) == ([], [])


async def test_a_copy_stays_when_no_other_is_known_to_be_good() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id)
    on.sites.find(shown.id, StoreId("central"), Defect.NO_IMAGE)
    on.clusters[DCN1].down = True
    await remove(on, shown, "dcn0")
    assert on.glance.asked("delete_from_store") == []
    assert on.end.results == {"dcn0": CopyResult.FAILED}
    assert "the only good copy" in on.end.reasons
